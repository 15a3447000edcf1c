"""Segments: runs of steps under one authority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from handrail.core.values import Authority, Step, TakeoverCause


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps `start` to `stop` (not included) of an episode under one authority; the cause is that of the first."""

    authority: Authority
    start: int
    stop: int
    cause: TakeoverCause = TakeoverCause.NONE

    def __len__(self) -> int:
        return self.stop - self.start


def segments(steps: Sequence[Step]) -> list[Segment]:
    """Split the steps of one episode into runs of one authority."""
    return runs([step.authority for step in steps], [step.takeover_cause for step in steps])


def runs(authority: ArrayLike, causes: ArrayLike | None = None) -> list[Segment]:
    """Split columns of one episode, authority (T,) and optionally takeover causes (T,), into runs of one authority."""
    values = np.asarray(authority)
    if len(values) == 0:
        return []
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    stops = np.concatenate([starts[1:], [len(values)]])
    because = np.zeros(len(values), np.int64) if causes is None else np.asarray(causes)
    return [
        Segment(Authority(int(values[start])), int(start), int(stop), TakeoverCause(int(because[start])))
        for start, stop in zip(starts, stops, strict=True)
    ]
