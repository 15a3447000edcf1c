"""Replay ring: the last `capacity` executed steps in memory, shaped by the first step that it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from handrail.core.errors import InvalidValueError, SchemaError
from handrail.core.values import Array, Observation, Step

SCALARS = {"reward": np.float32, "terminated": np.bool_, "authority": np.int64, "weight": np.float32}


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions, one a row. `terminated` cuts the bootstrap; a step that ran out of time does not."""

    observation: dict[str, Array]  # (B, ...)
    action: Array  # (B, A) executed
    reward: Array  # (B,)
    next_observation: dict[str, Array]  # (B, ...)
    terminated: Array  # (B,) bool
    authority: Array  # (B,) int64
    weight: Array  # (B,) of a sample in weighted losses

    def __len__(self) -> int:
        return len(self.reward)

    def rows(self, index: Array | slice) -> Batch:
        """The transitions at `index`, in that order."""
        return Batch(
            {key: column[index] for key, column in self.observation.items()},
            self.action[index],
            self.reward[index],
            {key: column[index] for key, column in self.next_observation.items()},
            self.terminated[index],
            self.authority[index],
            self.weight[index],
        )

    def split(self, parts: int) -> list[Batch]:
        """`parts` batches of equal size, rows dealt in order.

        Raises:
            InvalidValueError: the rows do not divide by `parts`.
        """
        size, rest = divmod(len(self), parts)
        if rest or size == 0:
            raise InvalidValueError(
                f"batch of {len(self)} rows does not split into {parts} equal parts: sample a multiple of {parts}"
            )
        return [self.rows(slice(i * size, (i + 1) * size)) for i in range(parts)]


class ReplayRing:
    """Uniform replay over the newest steps.

    Vectors are kept as float32 on both sides of a transition. An image is kept once: a step holds the index of its
    frame and of the next one, and consecutive steps of an episode share the frame between them.

    Args:
        capacity: number of steps kept; the oldest leaves first.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise InvalidValueError(f"replay capacity {capacity} is below 1: give the number of steps to keep")
        self.capacity = capacity
        self._frame_capacity = capacity + capacity // 8 + 2
        self._head = self._tail = self._frames = 0  # steps written, oldest step kept, frames written
        self._columns: dict[str, Array] = {}
        self._images: dict[str, Array] = {}
        self._last: Mapping[str, Array] | None = None  # images after the newest step

    def __len__(self) -> int:
        return self._head - self._tail

    def add(self, step: Step, weight: float = 1.0) -> None:
        """Append one executed step; `weight` is its weight in losses that have one.

        Raises:
            SchemaError: another shape or another set of observation keys than the first step.
        """
        row = _row(step, weight)
        if not self._columns:
            self._columns = {key: np.zeros((self.capacity, *value.shape), value.dtype) for key, value in row.items()}
        self._require_schema(row)
        frames = _images(step.observation), _images(step.next_observation)
        if frames[0] or self._images:
            row["frame"], row["next_frame"] = self._frame_indices(*frames)
        slot = self._head % self.capacity
        for key, value in row.items():
            self._columns[key][slot] = value
        self._head += 1
        self._tail = max(self._tail, self._head - self.capacity)
        self._drop_overwritten()

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Draw `batch_size` steps uniformly with replacement.

        Raises:
            InvalidValueError: the ring is empty.
        """
        return self._gather(self._draw(batch_size, rng) % self.capacity)

    def sample_chunks(self, batch_size: int, horizon: int, rng: np.random.Generator) -> Batch:
        """Draw as `sample` does, with the `horizon` actions from each step on: actions (B, H, A).

        Steps belong together while one begins where the other ended; past the end the last action is repeated.

        Raises:
            InvalidValueError: the ring is empty.
        """
        at = self._draw(batch_size, rng)
        batch = self._gather(at % self.capacity)
        actions = [batch.action]
        for _ in range(horizon - 1):
            at = at + self._continues(at)
            actions.append(self._columns["action"][at % self.capacity])
        return replace(batch, action=np.stack(actions, axis=1))

    def all(self) -> Batch:
        """Every step kept, oldest first."""
        return self._gather(np.arange(self._tail, self._head) % self.capacity)

    def state(self) -> dict[str, Array]:
        """Everything needed to go on exactly: columns as far as they are filled, frames and counters."""
        filled, frames = min(self._head, self.capacity), min(self._frames, self._frame_capacity)
        state = {f"columns/{key}": column[:filled].copy() for key, column in self._columns.items()}
        state |= {f"images/{key}": pool[:frames].copy() for key, pool in self._images.items()}
        state |= {f"last/{key}": image.copy() for key, image in (self._last or {}).items()}
        state["counters"] = np.array([self.capacity, self._head, self._tail, self._frames], np.int64)
        return state

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Replace the content by that of `state()`.

        Raises:
            InvalidValueError: the state is of a ring of another capacity.
        """
        capacity, head, tail, frames = (int(count) for count in state["counters"])
        if capacity != self.capacity:
            raise InvalidValueError(f"replay state has capacity {capacity}, this ring {self.capacity}: make them equal")
        self._head, self._tail, self._frames = head, tail, frames
        self._columns = _refill(_under(state, "columns/"), self.capacity)
        self._images = _refill(_under(state, "images/"), self._frame_capacity)
        self._last = _under(state, "last/") or None

    def _draw(self, count: int, rng: np.random.Generator) -> Array:
        """`count` numbers of steps kept, with replacement."""
        if len(self) == 0:
            raise InvalidValueError("replay ring holds 0 steps: add at least one step before sampling")
        return rng.integers(self._tail, self._head, count)

    def _continues(self, at: Array) -> Array:
        """Whether the step after each of `at` (B,) is kept and observes first what that one observed last."""
        after = np.minimum(at + 1, self._head - 1)
        same = after > at
        for key in self._columns:
            if key.startswith("observation/"):
                ended, begun = (
                    self._columns[f"next_{key}"][at % self.capacity],
                    self._columns[key][after % self.capacity],
                )
                same &= (ended == begun).reshape(len(at), -1).all(1)
        if self._images:
            same &= self._columns["next_frame"][at % self.capacity] == self._columns["frame"][after % self.capacity]
        return same

    def _require_schema(self, row: Mapping[str, Array]) -> None:
        known = {key: column.shape[1:] for key, column in self._columns.items() if key not in ("frame", "next_frame")}
        given = {key: value.shape for key, value in row.items()}
        if given != known:
            wrong = sorted(key for key in known.keys() | given.keys() if known.get(key) != given.get(key))
            name = wrong[0]
            raise SchemaError(
                f"step has {name} of shape {given.get(name)}, the replay ring {known.get(name)}: use one ring a task"
            )

    def _frame_indices(self, now: Mapping[str, Array], after: Mapping[str, Array]) -> tuple[Array, Array]:
        if not self._images:
            self._images = {key: np.zeros((self._frame_capacity, *i.shape), i.dtype) for key, i in now.items()}
            for key in ("frame", "next_frame"):
                self._columns[key] = np.zeros(self.capacity, np.int64)
        first = self._frames - 1 if self._follows(now) else self._write_frame(now)
        self._last = {key: image.copy() for key, image in after.items()}
        return np.int64(first), np.int64(self._write_frame(after))  # type: ignore[return-value]

    def _follows(self, now: Mapping[str, Array]) -> bool:
        last = self._last
        return last is not None and all(np.array_equal(last[key], image) for key, image in now.items())

    def _write_frame(self, images: Mapping[str, Array]) -> int:
        for key, pool in self._images.items():
            if key not in images or images[key].shape != pool.shape[1:]:
                shape = images[key].shape if key in images else None
                raise SchemaError(
                    f"step has {key} of shape {shape}, the replay ring {pool.shape[1:]}: use one ring a task"
                )
            pool[self._frames % self._frame_capacity] = images[key]
        self._frames += 1
        return self._frames - 1

    def _drop_overwritten(self) -> None:
        """Many short episodes use more frames than steps: a step goes when its frame has gone."""
        while self._images and self._columns["frame"][self._tail % self.capacity] < self._frames - self._frame_capacity:
            self._tail += 1

    def _gather(self, slots: Array) -> Batch:
        columns = {key: column[slots] for key, column in self._columns.items()}
        now, after = _under(columns, "observation/"), _under(columns, "next_observation/")
        for key, pool in self._images.items():
            now[key] = pool[columns["frame"] % self._frame_capacity]
            after[key] = pool[columns["next_frame"] % self._frame_capacity]
        return Batch(
            observation=now,
            next_observation=after,
            **{key: columns[key] for key in ("action", "reward", "terminated", "authority", "weight")},
        )


def stack(steps: list[Step], weights: Array | None = None) -> Batch:
    """All of `steps` as one batch, in order; `weights` (B,), ones when not given."""
    ring = ReplayRing(len(steps))
    ring._frame_capacity = 2 * len(steps)  # one-step episodes share no frame
    for i, step in enumerate(steps):
        ring.add(step, 1.0 if weights is None else float(weights[i]))
    return ring.all()


def _row(step: Step, weight: float) -> dict[str, Array]:
    row = {f"observation/{key}": value for key, value in _vectors(step.observation).items()}
    row |= {f"next_observation/{key}": value for key, value in _vectors(step.next_observation).items()}
    row["action"] = np.asarray(step.action, np.float32)
    scalars = {"reward": step.reward, "terminated": step.terminated, "authority": step.authority, "weight": weight}
    return row | {key: np.asarray(scalars[key], dtype) for key, dtype in SCALARS.items()}


def _vectors(observation: Observation) -> dict[str, Array]:
    return {
        key: np.asarray(value, np.float32)
        for key, value in observation.items()
        if not isinstance(value, str) and value.dtype != np.uint8
    }


def _images(observation: Observation) -> dict[str, Array]:
    return {key: value for key, value in observation.items() if not isinstance(value, str) and value.dtype == np.uint8}


def _under(mapping: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in mapping.items() if key.startswith(prefix)}


def _refill(filled: Mapping[str, Array], capacity: int) -> dict[str, Array]:
    columns = {key: np.zeros((capacity, *value.shape[1:]), value.dtype) for key, value in filled.items()}
    for key, value in filled.items():
        columns[key][: len(value)] = value
    return columns
