"""The record of tuning: every trial of every method on development seeds, so that equal effort can be checked."""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handrail.bench.protocol import DEVELOPMENT_ENV_SEEDS, read_result, write_json
from handrail.core.errors import InvalidValueError
from handrail.core.provenance import git_hash

TUNING_FILE = Path("results/tuning.json")


@dataclass(frozen=True)
class Trial:
    """One configuration tried.

    Attributes:
        config: what was changed, and to what.
        seeds: env seeds it was scored on, all of them development seeds.
        score: autonomous success rate, unless `config` says otherwise.
        git: the code; filled in when empty.
        time: UTC, ISO 8601; filled in when empty.
    """

    system: str
    task: str
    method: str
    config: Mapping[str, Any]
    seeds: Sequence[int]
    score: float
    git: str = ""
    time: str = ""


def record_trial(trial: Trial, file: Path = TUNING_FILE) -> None:
    """Append a trial; two processes that do so at once both get in.

    Raises:
        InvalidValueError: a seed that is not for development, or a score that is not a number.
        CorruptError: the file is damaged.
    """
    for seed in trial.seeds:
        if seed not in DEVELOPMENT_ENV_SEEDS:
            raise InvalidValueError(f"tuning on env seed {seed}, the limit is 0 to 99: evaluation seeds stay unseen")
    filled = asdict(trial) | {"seeds": list(trial.seeds)}
    filled["git"] = trial.git or git_hash()
    filled["time"] = trial.time or datetime.now(UTC).isoformat(timespec="seconds")
    with _locked(file):
        write_json(file, {"trials": [*trials(file), filled]})


def trials(file: Path = TUNING_FILE) -> list[dict[str, Any]]:
    """Return every trial on record, oldest first."""
    return list(read_result(file).get("trials", [])) if file.is_file() else []


def count_trials(system: str, task: str | None = None, file: Path = TUNING_FILE) -> dict[str, int]:
    """Return trials per method of a system, on one task or on all."""
    counted = Counter(
        str(trial["method"]) for trial in trials(file) if trial["system"] == system and task in (None, trial["task"])
    )
    return dict(sorted(counted.items()))


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{file.name}.lock.tmp").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
