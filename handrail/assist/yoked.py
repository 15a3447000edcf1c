"""The yoked control: help at random times, as often and for as long as the method gave it.

If a method's help is worth more than this, its timing is what counts. A burst is a
run of steps with an assistance level above zero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment

if TYPE_CHECKING:
    from handrail.store import Dataset


class YokedTrigger:
    """Gives each episode the bursts of one recorded episode, in random order at random times. It never looks at risk.

    A burst that an early end left no time for is owed to the following episodes, so that the totals match. After the
    last recorded episode only what is owed is given.

    Args:
        recorded: assistance levels of the method's episodes, each (T,).
        seed: fixes the times.
    """

    def __init__(self, recorded: Sequence[Array], seed: int) -> None:
        self._episodes = deque(np.asarray(levels, np.float64) for levels in recorded)
        if not self._episodes:
            raise InvalidValueError("yoked to no episode, the least is 1: record the method first")
        self._horizon = max(len(levels) for levels in self._episodes)
        self._rng = np.random.default_rng([seed, 0x50CED])
        self._owed: list[Array] = []
        self._schedule, self._starts, self._step = np.zeros(0), {}, 0

    @property
    def owed(self) -> int:
        """Bursts that are still to be given, not counting recorded episodes to come."""
        return len(self._owed) + len(self._starts)

    def state(self) -> dict[str, Any]:
        """Between two episodes, what a resumed run needs: JSON values."""
        owed = [burst.tolist() for burst in (*self._owed, *self._starts.values())]
        return {"recorded": len(self._episodes), "owed": owed, "rng": self._rng.bit_generator.state}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()` of a trigger with the same recording."""
        while len(self._episodes) > state["recorded"]:
            self._episodes.popleft()
        self._owed, self._starts = [np.array(levels) for levels in state["owed"]], {}
        self._rng.bit_generator.state = state["rng"]

    def reset(self) -> None:
        """Begin the next episode."""
        levels = self._episodes.popleft() if self._episodes else np.zeros(self._horizon)
        pending = [*self._owed, *self._starts.values(), *bursts(levels)]
        fitting = _fitting(pending, len(levels))
        self._owed = pending[fitting:]
        self._schedule, self._starts = place(pending[:fitting], len(levels), self._rng)
        self._step = 0

    def update(self, assessment: Assessment) -> float:
        """Return this step's level; 0 after the recorded length."""
        step, self._step = self._step, self._step + 1
        self._starts.pop(step, None)
        return float(self._schedule[step]) if step < len(self._schedule) else 0.0


def recorded_levels(dataset: Dataset) -> list[Array]:
    """Return the assistance levels (T,) of every episode of a dataset."""
    return [
        np.asarray(dataset.episode(index).columns["assist_level"], float).reshape(-1)
        for index in range(dataset.num_episodes)
    ]


def bursts(levels: Array) -> list[Array]:
    """Return the maximal runs of positive levels in (T,), oldest first."""
    on = np.concatenate(([False], np.asarray(levels) > 0.0, [False]))
    edges = np.flatnonzero(on[1:] != on[:-1])
    return [np.asarray(levels[start:end]) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def place(chosen: Sequence[Array], length: int, rng: np.random.Generator) -> tuple[Array, dict[int, Array]]:
    """Put bursts into `length` steps, in random order, at least one step apart, every placement equally likely.

    Returns:
        The levels (length,), and the bursts by the step at which each begins.
    """
    schedule, starts = np.zeros(length), {}
    free = length - _room(chosen)
    # a burst with its gap is one slot among the free steps: every choice of slots is a placement, and the only one
    positions = np.sort(rng.choice(free + len(chosen), size=len(chosen), replace=False)) if chosen else ()
    used = 0
    for position, which in zip(positions, rng.permutation(len(chosen)), strict=True):
        burst = chosen[which]
        start = int(position) + used
        schedule[start : start + len(burst)] = burst
        starts[start] = burst
        used += len(burst)
    return schedule, starts


def _fitting(pending: Sequence[Array], length: int) -> int:
    """Return how many of the first bursts fit into `length` steps."""
    return max(count for count in range(len(pending) + 1) if _room(pending[:count]) <= length)


def _room(chosen: Sequence[Array]) -> int:
    return sum(len(burst) for burst in chosen) + max(0, len(chosen) - 1)
