"""Reading a dataset: any step, any window, any episode, by index."""

from __future__ import annotations

import bisect
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handrail.core.errors import CorruptError, InvalidValueError, StoreError, unknown_name
from handrail.core.values import Array, Authority, Step, TakeoverCause

from . import layout
from .arrays import final_observation, read_arrays
from .derived import read_info, refresh, schema_of
from .episode_meta import EpisodeMeta
from .index import EpisodeRow, Index, load_index
from .restore import camera_frames
from .schema import ARROW, OBSERVATION, Features, Schema, column_array
from .swap import finish_swap

INTERVENTION_ALIAS = "complementary_info.is_intervention"  # what LeRobot's own HIL recordings call it
MANY_FILES = 50  # reading so many index files one by one takes longer than to write the journal anew
CACHE_BYTES = 512 * 2**20  # decoded columns kept in memory


@dataclass(frozen=True, slots=True)
class Window:
    """An n-step transition and an action chunk that begin at one step, padded where the episode ends.

    Attributes:
        observation: vectors at the first step, by their key without "observation.".
        action: executed actions (chunk, A); the last one is repeated past the end.
        action_is_pad: (chunk,) bool, True past the end.
        reward: (n,); zero past the end.
        reward_is_pad: (n,) bool.
        next_observation: vectors after the last reward that counts, that is after step n or after the episode.
        terminated: the task ended inside the n steps, so that nothing may be bootstrapped.
        authority: (chunk,) int64.
    """

    observation: dict[str, Array]
    action: Array
    action_is_pad: Array
    reward: Array
    reward_is_pad: Array
    next_observation: dict[str, Array]
    terminated: bool
    authority: Array

    def n_step_return(self, gamma: float) -> float:
        """Discounted sum of the rewards (Sutton & Barto 2018, equation 7.1, without its bootstrap)."""
        return float(self.reward @ gamma ** np.arange(len(self.reward)))


class Episode:
    """One episode in memory.

    Attributes:
        index: its number in the dataset.
        columns: key -> (T,) or (T, W); cameras are read by `images`.
        meta: what is known of the whole.
        stored: its row in `meta/episodes`, without the statistics.
    """

    def __init__(self, dataset: Dataset, row: EpisodeRow, columns: dict[str, Array]) -> None:
        self.index, self.columns, self.meta = row.index, columns, row.meta
        self.stored = row.values
        self._dataset, self._row = dataset, row
        self._final: dict[str, Array] | None = None

    def __len__(self) -> int:
        return self._row.length

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names for `images`, e.g. "front"."""
        return tuple(_short(key) for key in self._dataset.schema.cameras)

    @property
    def final_observation(self) -> dict[str, Array]:
        """The observation after the last step; a dataset of others has none, and its last observation stands in."""
        if self._final is None:
            path = layout.final_file(self._dataset.root, self.index)
            self._final = final_observation(path) if path.exists() else self.observation(len(self) - 1)
        return self._final

    def observation(self, step: int) -> dict[str, Array]:
        """Vectors at `step`, by their key without "observation."."""
        return {
            key.removeprefix(OBSERVATION): np.atleast_1d(self.columns[key][step])  # a vector of length 1 stays one
            for key in self._dataset.schema.observation_vectors
        }

    def next_observation(self, step: int) -> dict[str, Array]:
        """Vectors after `step`."""
        if step + 1 < len(self):
            return self.observation(step + 1)
        final, last = self.final_observation, self.observation(step)
        return {key: final.get(key, value) for key, value in last.items()}

    def images(self, camera: str) -> Array:
        """Decode a camera, (T, H, W, 3) uint8.

        Raises:
            UnknownNameError: no such camera.
            CorruptError: its file is missing or damaged.
        """
        keys = dict(zip(self.cameras, self._dataset.schema.cameras, strict=True))
        if _short(camera) not in keys:
            raise unknown_name("camera", camera, keys)
        return camera_frames(self._dataset.root, self._row, keys[_short(camera)], self._dataset.schema)

    def stream(self, name: str) -> tuple[Array, Array]:
        """Read a stream faster than the policy: stamps (N,) [s] and values (N, ...).

        Raises:
            CorruptError: there is none of this name, or its file is damaged.
        """
        arrays = read_arrays(layout.stream_file(self._dataset.root, name, self.index))
        return arrays["stamp_s"], arrays["values"]

    def step(self, step: int) -> Step:
        """One step, without images."""
        return self._build(step, self.observation(step), self.next_observation(step))

    def steps(self, images: bool = False) -> list[Step]:
        """All steps, with or without decoded images."""
        observations: list[dict[str, Array]] = [self.observation(i) for i in range(len(self))]
        following = [*observations[1:], self.next_observation(len(self) - 1)]
        if images:
            self._add_images(observations, following)
        return [self._build(i, observations[i], following[i]) for i in range(len(self))]

    def _add_images(self, observations: list[dict[str, Array]], following: list[dict[str, Array]]) -> None:
        for camera in self.cameras:
            key, frames = f"images.{camera}", self.images(camera)
            for observation, frame in zip(observations, frames, strict=True):
                observation[key] = frame
            last: Array = frames[-1]
            following[-1][key] = self.final_observation.get(key, last)

    def _build(self, i: int, observation: Mapping[str, Array], following: Mapping[str, Array]) -> Step:
        at = self._at(i)
        operator = self._helper(i, "operator_action", at("intervention", False))
        action = np.atleast_1d(self.columns["action"][i])
        return Step(
            observation=observation,
            next_observation=following,
            action=action,
            policy_action=np.atleast_1d(at("policy_action", action)),
            operator_action=operator,
            assistant_action=self._helper(i, "assistant_action", False),
            authority=Authority(int(at("authority", 2 if at("intervention", False) else 0))),
            takeover_cause=TakeoverCause(int(at("takeover_cause", 1 if at("intervention", False) else 0))),
            assist_level=float(at("assist_level", 0.0)),
            risk=float(at("risk", 0.0)),
            value=float(at("value", 0.0)),
            reward=float(at("next.reward", 0.0)),
            cost=float(at("next.cost", 0.0)),
            terminated=bool(at("next.terminated", at("next.done", False))),
            truncated=bool(at("next.truncated", i == len(self) - 1 and not at("next.done", False))),
            success=bool(at("next.success", False)),
            timestamp=float(at("timestamp", i / self._dataset.fps)),
            stamp_s=float(at("stamp_s", at("timestamp", i / self._dataset.fps))),
            clipped=bool(at("clipped", False)),
        )

    def _at(self, i: int) -> Any:
        columns = self.columns

        def at(key: str, default: Any) -> Any:
            return columns[key][i] if key in columns else default

        return at

    def _helper(self, i: int, key: str, otherwise: bool) -> Array | None:
        """The operator's or the assistant's action, None where they had none."""
        flag = self.columns.get(f"has_{key}")
        present = bool(flag[i]) if flag is not None else bool(otherwise)
        return np.atleast_1d(self.columns.get(key, self.columns["action"])[i]) if present else None


class Dataset:
    """A LeRobot v3 dataset, ours or stock, opened for reading.

    Args:
        root: its folder.

    Attributes:
        schema: features, rate and robot type.
        rows: of `meta/episodes`, in order.
        file_starts: index of the first step of each data file.
        damaged: `meta/episodes` files that cannot be read; the other episodes can.

    Raises:
        SchemaError: no dataset here, or another layout version.
        CorruptError: `info.json` is damaged.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        finish_swap(self.root)
        info = read_info(self.root)
        self.schema: Schema = schema_of(info)
        index = load_index(self.root)
        self.rows, self.damaged = index.rows, index.broken
        if self.damaged:
            others = f"{len(self.rows)} other episodes can"
            text = f"{self.damaged[0]} cannot be read; {others}: run `handrail data repair {self.root}`"
            warnings.warn(text, stacklevel=2)
        elif _stale(info, index):
            refresh(self.root, self.schema, index)
        lengths = [row.length for row in self.rows]
        self._ends = np.cumsum(lengths, dtype=np.int64).tolist()
        self.file_starts = _file_starts(self.rows)
        self._tables: OrderedDict[layout.FilePosition, dict[str, Array]] = OrderedDict()
        self._episodes: OrderedDict[int, Episode] = OrderedDict()
        self._cached = 0

    @property
    def num_episodes(self) -> int:
        return len(self.rows)

    @property
    def num_steps(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def features(self) -> Features:
        return self.schema.features

    @property
    def fps(self) -> int:
        return self.schema.fps

    def __len__(self) -> int:
        return self.num_episodes

    def __iter__(self) -> Iterator[Episode]:
        return (self.episode(i) for i in range(self.num_episodes))

    def meta(self, i: int) -> EpisodeMeta:
        return self._row(i).meta

    def episode(self, i: int) -> Episode:
        """Read episode `i`; negative numbers count from the end.

        Raises:
            InvalidValueError: there is no such episode.
            CorruptError: its data file is missing or damaged; the other episodes stay readable.
        """
        row = self._row(i)
        if row.index not in self._episodes:
            start = row.start - self.file_starts[row.data]
            columns = self._table(row.data)
            part = {key: values[start : start + row.length] for key, values in columns.items()}
            if INTERVENTION_ALIAS in part:
                part.setdefault("intervention", part[INTERVENTION_ALIAS])
            self._require_whole(row, part)
            self._episodes[row.index] = Episode(self, row, part)
        return self._episodes[row.index]

    def step(self, global_index: int) -> Step:
        """The `global_index`-th step of the dataset, without images."""
        episode, step = self._locate(global_index)
        return episode.step(step)

    def window(self, global_index: int, n: int, chunk: int) -> Window:
        """The n-step transition and the action chunk that begin at a step.

        Args:
            global_index: of the first step in the dataset.
            n: number of rewards.
            chunk: number of actions.
        """
        if n < 1 or chunk < 1:
            raise InvalidValueError(f"window of n={n}, chunk={chunk}: both must be at least 1")
        episode, first = self._locate(global_index)
        columns, length = episode.columns, len(episode)
        rewards = (
            columns["next.reward"][first : first + n]
            if "next.reward" in columns
            else np.zeros(min(n, length - first), np.float32)
        )
        rows = np.minimum(np.arange(first, first + chunk), length - 1)
        last = first + len(rewards) - 1
        ended = columns.get("next.terminated", columns.get("next.done"))
        authority = columns["authority"][rows] if "authority" in columns else np.zeros(chunk, np.int64)
        return Window(
            observation=episode.observation(first),
            action=columns["action"][rows],
            action_is_pad=np.arange(first, first + chunk) >= length,
            reward=np.concatenate([rewards, np.zeros(n - len(rewards), np.float32)]),
            reward_is_pad=np.arange(n) >= len(rewards),
            next_observation=episode.next_observation(last),
            terminated=bool(ended[first : last + 1].any()) if ended is not None else False,
            authority=authority,
        )

    def _row(self, i: int) -> EpisodeRow:
        if not -self.num_episodes <= i < self.num_episodes:
            raise InvalidValueError(
                f"episode {i} does not exist: {self.root} holds {self.num_episodes}, counted from 0"
            )
        return self.rows[i]

    def _locate(self, global_index: int) -> tuple[Episode, int]:
        if not 0 <= global_index < self.num_steps:
            raise InvalidValueError(
                f"step {global_index} does not exist: {self.root} holds {self.num_steps}, counted from 0"
            )
        at = bisect.bisect_right(self._ends, global_index)
        return self.episode(at), global_index - (self._ends[at] - self.rows[at].length)

    def _table(self, at: layout.FilePosition) -> dict[str, Array]:
        """Columns of a data file, from memory if it was read lately."""
        if at in self._tables:
            self._tables.move_to_end(at)
            return self._tables[at]
        columns = read_columns(layout.data_file(self.root, at), self.schema)
        self._tables[at] = columns
        self._cached += _bytes(columns)
        while self._cached > CACHE_BYTES and len(self._tables) > 1:
            _, dropped = self._tables.popitem(last=False)
            self._cached -= _bytes(dropped)
            self._episodes.clear()
        return columns

    def _require_whole(self, row: EpisodeRow, part: Mapping[str, Array]) -> None:
        owners = part["episode_index"]
        if len(owners) != row.length or np.any(owners != row.index):
            path = layout.data_file(self.root, row.data)
            raise CorruptError(
                f"{path} does not hold the {row.length} steps of episode {row.index}: run `handrail data check`"
            )


def _stale(info: Mapping[str, Any], index: Index) -> bool:
    """Whether derived files lag: the totals, or the journal of a set that was copied without its modification times."""
    totals = (info["total_episodes"], info["total_frames"])
    return totals != (len(index.rows), index.num_steps) or index.reread >= MANY_FILES


def _file_starts(rows: Sequence[EpisodeRow]) -> dict[layout.FilePosition, int]:
    """Dataset index of the first step in each data file."""
    starts: dict[layout.FilePosition, int] = {}
    for row in rows:
        starts[row.data] = min(row.start, starts.get(row.data, row.start))
    return starts


def _short(camera: str) -> str:
    """Name of a camera without what all of them begin with; stock datasets also have a plain "observation.image"."""
    return camera.removeprefix(OBSERVATION).removeprefix("images.")


def _bytes(columns: Mapping[str, Array]) -> int:
    return sum(values.nbytes for values in columns.values())


def readable(schema: Schema) -> list[str]:
    """Columns that this reader turns into arrays: vectors and scalars of known types."""
    features = schema.features
    return [key for key in schema.columns if features[key]["dtype"] in ARROW and len(features[key]["shape"]) == 1]


def read_columns(path: Path, schema: Schema) -> dict[str, Array]:
    """Read a data file without its images.

    Raises:
        CorruptError: it is missing, damaged, or lacks a column.
    """
    keys = readable(schema)
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(keys, use_threads=False)
        return {key: column_array(table.column(key), schema.features[key]) for key in keys}
    except (OSError, pa.ArrowException, KeyError) as error:
        if isinstance(error, StoreError):
            raise
        reason = "is missing" if not path.exists() else f"cannot be read ({str(error).splitlines()[0]})"
        raise CorruptError(f"{path} {reason}; other episodes stay readable: run `handrail data check`") from error
