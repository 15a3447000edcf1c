"""`handrail collect failurebench`: scripted demonstrations, failures and escapes, into a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from handrail.cli.parse import parse
from handrail.core.errors import InvalidValueError, unknown_name
from handrail.systems.farl import TASKS
from handrail.systems.farl_data import KINDS, collect


@dataclass(frozen=True)
class CollectScripted:
    """Record what FARL starts from: task demonstrations, episodes of a bad driver, or escapes from near failures.

    Failures made on the way are counted and printed beside those that were kept.
    """

    task: str = "BoundedPush"
    """BoundedPush, BoundedSoccer, FragilePushWall or ObstructedPush"""
    kind: str = "task"
    """task (clean successes), failure (a bad driver, near misses among them) or recovery (escapes that worked)"""
    amount: int = 60
    """episodes to keep; of failures, steps"""
    seed: int = 0
    """run seed of resets and drivers"""
    out: Path | None = None
    """dataset; data/TASK-KIND-SEED when not given"""


def main(argv: list[str]) -> int:
    options = parse(CollectScripted, argv, "handrail collect failurebench")
    for what, name, known in (("task", options.task, TASKS), ("kind of data", options.kind, KINDS)):
        if name not in known:
            raise unknown_name(what, name, known)
    if options.amount < 1:
        raise InvalidValueError(f"--amount {options.amount} is below 1: give how many to record")
    out = options.out or Path("data", f"{options.task}-{options.kind}-{options.seed}")
    if out.exists() and any(out.iterdir()) and not (out / "tally.json").is_file():
        raise InvalidValueError(f"{out} is not empty and no finished collection: give another --out")
    console = Console()
    with console.status(f"recording {options.kind} data of {options.task}"):
        tally = collect(options.task, options.kind, options.amount, options.seed, out)
    console.print(
        f"{tally.kept} of {tally.episodes} episodes ({tally.kept_steps} steps) in {out}; failures made on the way "
        f"{tally.failures}, kept {tally.failures_kept}    look at them: handrail data view {out}",
        highlight=False,
        soft_wrap=True,
    )
    return 0
