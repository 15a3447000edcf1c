"""One finished episode onto disk, with what its task says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from handrail.core.values import Step
from handrail.store import DatasetWriter, EpisodeMeta


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
