"""Reads a run folder into one frozen record: what was configured, what happened, and what was recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handrail.core.errors import CorruptError, StoreError

if TYPE_CHECKING:
    from handrail.store import Dataset

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One run folder, as the report needs it.

    Attributes:
        folder: where it lies.
        config: the resolved configuration (`config.json`).
        result: the final numbers (`result.json`), or None while the run is unfinished.
        episodes, updates, evaluations, latencies: lines of `metrics.jsonl` by kind, in order of online steps.
        dataset: the recorded episodes, or None where there are none.
        prevented: a failure and the same episode without one, or None where the run filmed none.
    """

    folder: Path
    config: Line
    result: Line | None
    episodes: tuple[Line, ...] = ()
    updates: tuple[Line, ...] = ()
    evaluations: tuple[Line, ...] = ()
    latencies: tuple[Line, ...] = ()
    dataset: Dataset | None = field(default=None, compare=False)
    prevented: Dataset | None = field(default=None, compare=False)

    @property
    def finished(self) -> bool:
        return self.result is not None

    @property
    def group(self) -> str:
        """What runs of other seeds share: task and method."""
        return f"{self.field('task')} · {self.field('method')}"

    @property
    def label(self) -> str:
        return f"{self.group} · seed {self.field('seed')}"

    @property
    def online_steps(self) -> int:
        lines = (*self.episodes, *self.evaluations)
        return max((int(line.get("online_steps", 0)) for line in lines), default=0)

    @property
    def fps(self) -> float:
        """Steps a second: as recorded, else as configured, else the 10 Hz of the tasks."""
        return float(self.dataset.fps if self.dataset is not None else self.field("fps", 10.0))

    def field(self, name: str, missing: object = "?") -> Any:
        """Return a fact about the run from `result.json`, else from `config.json`."""
        for source in (self.result or {}, self.config):
            if source.get(name) is not None:
                return source[name]
        return missing


def read_run(folder: Path) -> Run:
    """Read one run folder; a run that is still going, or was killed, is read as far as it got.

    Raises:
        StoreError: there is no such folder.
        CorruptError: the folder is not a run, holds a damaged file, or nothing happened in it yet.
    """
    if not folder.is_dir():
        raise StoreError(f"run folder '{folder}' does not exist: give a folder that 'handrail train' has written")
    config = _read_json(folder / "config.json")
    if config is None:
        raise CorruptError(f"run folder '{folder}' has no config.json: give a folder that 'handrail train' has written")
    lines = _read_lines(folder / "metrics.jsonl")
    by_kind = {kind: _latest(kind, lines) for kind in ("episode", "update", "evaluation", "latency")}
    result = _read_json(folder / "result.json")
    if not by_kind["episode"] and not by_kind["evaluation"]:
        raise CorruptError(
            f"run folder '{folder}' holds no episode and no evaluation yet: resume the run and try again"
        )
    return Run(
        folder=folder,
        config=config,
        result=result,
        episodes=by_kind["episode"],
        updates=by_kind["update"],
        evaluations=by_kind["evaluation"],
        latencies=by_kind["latency"],
        dataset=_open_dataset(folder / "episodes"),
        prevented=_open_dataset(folder / "prevented"),
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in `path`, or None where there is no such file."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise CorruptError(f"{path} is not valid JSON ({error}): restore the file or repeat the run") from error
    if not isinstance(content, dict):
        raise CorruptError(
            f"{path} holds a {type(content).__name__}, not an object: restore the file or repeat the run"
        )
    return content


def _read_lines(path: Path) -> list[Line]:
    """Return the lines of `metrics.jsonl`; a last line cut short by a kill is left out."""
    if not path.is_file():
        return []
    texts = path.read_text().splitlines()
    lines: list[Line] = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except ValueError as error:
            if number == len(texts):
                break
            raise CorruptError(f"{path} line {number} is not valid JSON: remove that line and try again") from error
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _latest(kind: str, lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines of one kind; where a resumed run wrote a stretch again, its last version counts."""
    key = "episode" if kind == "episode" else "online_steps"
    kept: list[Line] = []
    for line in lines:
        if line.get("kind") != kind or key not in line:
            continue
        while kept and kept[-1][key] >= line[key]:
            kept.pop()
        kept.append(line)
    return tuple(kept)


def _open_dataset(root: Path) -> Dataset | None:
    """Open the recorded episodes; a run that recorded none has none."""
    if not (root / "meta" / "info.json").is_file():
        return None
    from handrail.store import Dataset

    dataset = Dataset(root)
    return dataset if dataset.num_episodes else None
