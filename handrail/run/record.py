"""One finished episode onto disk, with what its task says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from handrail.core.values import Authority, Step
from handrail.store import Dataset, DatasetWriter, EpisodeMeta


class Told(Protocol):
    """What a task says of itself and of the episode that has just ended."""

    name: str
    instruction: str

    def failure_kind(self) -> str: ...


def record(writer: DatasetWriter, steps: Sequence[Step], task: Told, **known: Any) -> None:
    """Commit the episode `steps`; `known` are further fields of `EpisodeMeta`: seeds, operator, policy version.

    Raises:
        StoreError: it cannot be written; episodes committed before stay readable.
    """
    for step in steps:
        writer.add(step)
    told = {"task": task.name, "instruction": task.instruction, "failure_kind": task.failure_kind()}
    writer.commit(EpisodeMeta(**told, success=steps[-1].success, **known))


def recorded_env_seeds(root: Path) -> set[int | None]:
    """The env seeds of the episodes in the dataset at `root`; a resumed run does not record the same episode twice."""
    if not (root / "meta" / "info.json").is_file():
        return set()
    dataset = Dataset(root)
    return {dataset.meta(index).env_seed for index in range(dataset.num_episodes)}


def incidents(steps: Sequence[Step]) -> dict[str, int]:
    """What must not go unseen in an episode: steps that the limits changed, and stops."""
    stopped = [step.authority is Authority.STOP for step in steps]
    return {"clipped_steps": sum(step.clipped for step in steps), "stops": int(any(stopped))}
