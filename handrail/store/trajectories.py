"""Whole episodes in memory, one after the other: what offline learners, PPO and world models read.

Order is kept, and so are costs, ends of episodes and what the driver had proposed; the replay ring has none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from handrail.core.errors import InvalidValueError, SchemaError
from handrail.core.values import Array, Observation, Step
from handrail.store.reader import Dataset
from handrail.store.ring import Batch


@dataclass(frozen=True, slots=True)
class Trajectories:
    """N steps in the order in which they happened."""

    observation: dict[str, Array]  # (N, ...) float32
    next_observation: dict[str, Array]  # (N, ...) float32
    action: Array  # (N, A) executed
    proposed: Array  # (N, A) by the driver, before limits
    reward: Array  # (N,)
    cost: Array  # (N,) in {0, 1}
    terminated: Array  # (N,) bool: the task ended
    last: Array  # (N,) bool: the next row is of another episode, whether the task ended or not
    authority: Array  # (N,) int64

    def __len__(self) -> int:
        return len(self.reward)

    @classmethod
    def of(cls, episodes: Sequence[Sequence[Step]]) -> Trajectories:
        """Stack episodes, or pieces of them; each begins where the one before ended.

        Raises:
            InvalidValueError: there is no step at all.
        """
        steps = [step for episode in episodes for step in episode]
        if not steps:
            raise InvalidValueError(f"{len(episodes)} episodes hold 0 steps: collect at least one step")
        last = np.zeros(len(steps), bool)
        last[np.cumsum([len(episode) for episode in episodes if episode]) - 1] = True
        return cls(
            observation=_columns([step.observation for step in steps]),
            next_observation=_columns([step.next_observation for step in steps]),
            action=np.array([step.action for step in steps], np.float32),
            proposed=np.array([step.policy_action for step in steps], np.float32),
            reward=np.array([step.reward for step in steps], np.float32),
            cost=np.array([step.cost for step in steps], np.float32),
            terminated=np.array([step.terminated for step in steps], bool),
            last=last,
            authority=np.array([step.authority for step in steps], np.int64),
        )

    @classmethod
    def read(cls, dataset: Dataset, episodes: Sequence[int] | None = None) -> Trajectories:
        """All episodes of a dataset, or those of `episodes`, without images."""
        chosen = range(dataset.num_episodes) if episodes is None else episodes
        return cls.of([dataset.episode(index).steps() for index in chosen])

    def rows(self, index: Array | slice) -> Trajectories:
        """The steps at `index`, of any shape, in that order."""
        return _join([self], lambda columns: columns[0][index])

    def episodes(self) -> list[slice]:
        """The rows of each episode."""
        ends = np.flatnonzero(self.last) + 1
        return [slice(int(start), int(end)) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def violation_within(self, steps: int) -> Array:
        """Whether a step or one of the `steps` after it, in the same episode, violates the constraint: (N,) bool."""
        seen = np.concatenate([[0], np.cumsum(self.cost > 0)])
        now = np.arange(len(self))
        return seen[np.minimum(now + steps, self.end_of(now)) + 1] > seen[now]

    def ended_well(self) -> Array:
        """Whether the last step of each step's episode was rewarded, as a sparse success is: (N,) bool."""
        return self.reward[self.end_of(np.arange(len(self)))] > 0

    def end_of(self, index: Array) -> Array:
        """The last row of the episode that each row of `index` (B,) is in: (B,)."""
        ends = np.flatnonzero(self.last)
        return ends[np.searchsorted(ends, index)]

    def pieces(self, chosen: Array) -> Trajectories:
        """The steps where `chosen` (N,) holds, each run of them an episode of its own.

        Raises:
            InvalidValueError: it holds nowhere.
        """
        if not chosen.any():
            raise InvalidValueError(f"none of {len(self)} steps is chosen: a piece has at least 1 step")
        found = self.rows(chosen)
        follows = np.append(chosen[1:], False)[chosen]  # the next step is chosen as well
        return replace(found, last=found.last | ~follows)

    def window(self, starts: Array, length: int) -> tuple[Trajectories, Array]:
        """The `length` steps from each of `starts` (B,): columns (B, length, ...), and which of them are real.

        Past the end of an episode its last step is repeated, and `valid` (B, length) is false.
        """
        stop = self.end_of(starts)
        index = np.asarray(starts)[:, None] + np.arange(length)
        return self.rows(np.minimum(index, stop[:, None])), index <= stop[:, None]

    def batch(self) -> Batch:
        """The same steps as transitions, for learners that do not ask for order."""
        return Batch(
            self.observation,
            self.action,
            self.reward,
            self.next_observation,
            self.terminated,
            self.authority,
            np.ones(len(self), np.float32),
        )


def concatenate(parts: Sequence[Trajectories]) -> Trajectories:
    """All steps of `parts`, in order.

    Raises:
        SchemaError: an observation key is in one of the parts only.
    """
    keys = [part.observation.keys() for part in parts]
    for other in keys:
        if other != keys[0]:
            raise SchemaError(f"observation key '{sorted(other ^ keys[0])[0]}' is in one part only: record both alike")
    return _join(parts, np.concatenate)


def _columns(observations: Sequence[Observation]) -> dict[str, Array]:
    columns = {}
    for key, value in observations[0].items():
        if not isinstance(value, str):
            kind = np.uint8 if value.dtype == np.uint8 else np.float32
            columns[key] = np.array([observation[key] for observation in observations], kind)
    return columns


def _join(parts: Sequence[Trajectories], join: Callable[[list[Array]], Array]) -> Trajectories:
    """Apply `join` to the same column of all parts, column by column."""
    joined: dict[str, Any] = {}
    for name in (field.name for field in fields(Trajectories)):
        columns = [getattr(part, name) for part in parts]
        if isinstance(columns[0], dict):
            joined[name] = {key: join([column[key] for column in columns]) for key in columns[0]}
        else:
            joined[name] = join(columns)
    return Trajectories(**joined)
