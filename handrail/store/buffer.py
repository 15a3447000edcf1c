"""The episode in progress, in memory: one row a step, in the types of the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from handrail.core.errors import SchemaError, require_finite
from handrail.core.values import Array, Observation, Step

from .schema import ACTIONS, COUNTS, FLAGS, OBSERVATION, REALS, STAMP, Schema

FIRST_CAPACITY = 256


class EpisodeBuffer:
    """Copies every step into preallocated matrices: about 10 us a step, and nothing of the environment's is kept.

    All float32 columns share one matrix (capacity, D), so that one look finds a NaN anywhere in a step.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.length = 0
        self.last_next: dict[str, Array] = {}
        self._observations: list[tuple[str, int, int]] = []
        self._actions: list[tuple[int, int]] = []
        self._slices: dict[str, slice] = {}
        self._scalars = slice(0, 0)
        self._lay_out()
        self._allocate(FIRST_CAPACITY)

    def _lay_out(self) -> None:
        start = 0
        for key in [*self.schema.observation_vectors, *ACTIONS, *REALS]:
            stop = start + self.schema.width(key)
            self._slices[key] = slice(start, stop)
            start = stop
        ranges = {key: (part.start, part.stop) for key, part in self._slices.items()}
        self._observations = [(key.removeprefix(OBSERVATION), *ranges[key]) for key in self.schema.observation_vectors]
        self._actions = [ranges[key] for key in ACTIONS]
        self._scalars = slice(ranges[REALS[0]][0], start)
        self._width = start

    def _allocate(self, capacity: int) -> None:
        self._reals = np.zeros((capacity, self._width), np.float32)
        self._counts = np.zeros((capacity, len(COUNTS)), np.int64)
        self._flags = np.zeros((capacity, len(FLAGS)), np.bool_)
        self._stamps = np.zeros(capacity, np.float64)

    def _grow(self) -> None:
        old = (self._reals, self._counts, self._flags, self._stamps)
        self._allocate(2 * len(self._stamps))
        for new, kept in zip((self._reals, self._counts, self._flags, self._stamps), old, strict=True):
            new[: len(kept)] = kept

    def add(self, step: Step) -> None:
        """Copy one step in; on an error the step is left out and the ones before it stay.

        Raises:
            NonFiniteError: NaN or infinity anywhere in it.
            SchemaError: a key is missing or has another shape.
        """
        at = self.length
        if at == len(self._stamps):
            self._grow()
        row = self._reals[at]
        self._fill_vectors(row, step)
        row[self._scalars] = (step.assist_level, step.risk, step.value, step.reward, step.cost)
        if not np.isfinite(row).all():
            self._complain(row)
        self._counts[at] = (step.authority, step.takeover_cause)
        self._flags[at] = (
            step.operator_action is not None,
            step.assistant_action is not None,
            step.intervention,
            step.terminated or step.truncated,
            step.terminated,
            step.truncated,
            step.success,
            step.clipped,
        )
        self._stamps[at] = step.stamp_s
        self._keep_next(step)
        self.length = at + 1

    def _fill_vectors(self, row: Array, step: Step) -> None:
        observation = step.observation
        for key, start, stop in self._observations:
            try:
                value = observation[key]
            except KeyError:
                raise SchemaError(
                    f"step {self.length} has no observation {key}; every step of a dataset needs it"
                ) from None
            row[start:stop] = self._fitting(OBSERVATION + key, value, stop - start)
        proposals = (step.action, step.policy_action, step.operator_action, step.assistant_action)
        for key, (start, stop), action in zip(ACTIONS, self._actions, proposals, strict=True):
            row[start:stop] = 0.0 if action is None else self._fitting(key, action, stop - start)

    def _fitting(self, key: str, value: Any, width: int) -> Any:
        if np.shape(value) == (width,) or (width == 1 and np.shape(value) == ()):
            return value
        raise SchemaError(
            f"{key} of step {self.length} has shape {np.shape(value)}; this dataset holds ({width},): "
            "choose another folder"
        )

    def _complain(self, row: Array) -> None:
        for key, part in self._slices.items():
            require_finite(f"{key} of step {self.length}", row[part])

    def _keep_next(self, step: Step) -> None:
        """Keep the newest next-observation; images are copied only where the episode ends, for the sake of speed."""
        following: Observation = step.next_observation
        if step.terminated or step.truncated:
            self.last_next = {key: np.array(value) for key, value in following.items() if not isinstance(value, str)}
        else:
            self.last_next = {key: value for key, value in following.items() if not isinstance(value, str)}

    def columns(self, episode: int, first_index: int, task_index: int) -> dict[str, Array]:
        """All columns but the images, as they go to disk.

        Args:
            episode: index of the episode.
            first_index: index of its first step in the dataset.
            task_index: of its task text.
        """
        used = slice(0, self.length)
        columns: dict[str, Array] = {key: self._reals[used, part] for key, part in self._slices.items()}
        columns |= {key: self._counts[used, i] for i, key in enumerate(COUNTS)}
        columns |= {key: self._flags[used, i] for i, key in enumerate(FLAGS)}
        return columns | {STAMP: self._stamps[used]} | self._bookkeeping(episode, first_index, task_index)

    def _bookkeeping(self, episode: int, first_index: int, task_index: int) -> dict[str, Array]:
        frames = np.arange(self.length, dtype=np.int64)
        return {
            "timestamp": (frames / self.schema.fps).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(self.length, episode, np.int64),
            "index": frames + first_index,
            "task_index": np.full(self.length, task_index, np.int64),
        }
