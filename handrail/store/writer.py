"""Recording: steps into memory, episodes onto disk, each by one commit.

Order of a commit, every file by temporary, fsync and rename: data, videos, final observation, streams, `tasks.parquet`
if the text is new, and last the episode's own `meta/episodes` file. That last rename is the commit: before it the
episode does not exist, after it nothing can undo it. The journal follows, and at most once a second `info.json` and
`stats.json`; they are rebuilt if a crash came between.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.clock import SECOND_NS, RealClock
from handrail.core.contracts import Clock
from handrail.core.errors import CorruptError, InvalidValueError, WriteError, unknown_name
from handrail.core.values import Array, Step

from . import layout, stats
from .arrays import arrays_bytes, final_arrays
from .atomic import discard_temporaries, fsync_file, guarded, prepare, settle, temporary_name
from .buffer import EpisodeBuffer
from .cameras import CameraRecorder
from .check import clear_leftovers
from .derived import Ledger, WriterLock, parquet_bytes, read_info, rebuild, schema_of, write_journal
from .episode_meta import EpisodeMeta
from .index import EpisodeRow, append_journal, load_index
from .layout import FilePosition
from .rows import video_columns
from .schema import IMAGE_MODES, Schema, features_of
from .stencil import RowFiles
from .video import choose_encoder, video_info

DERIVED_PERIOD_NS = SECOND_NS
"""Renaming over a file makes the file system flush it; a simulation that ends ten episodes a second shall not wait."""


class DatasetWriter:
    """Records episodes into the LeRobot v3 dataset at `root`, which it begins or continues.

    Args:
        root: folder of the dataset.
        fps: policy rate [Hz].
        robot_type: free text for `info.json`.
        images: how cameras are stored: "video", "image" or "none".
        clock: tells when the derived files were last written; the machine's own by default.

    Raises:
        WriteError: full disk, read-only folder, or another writer at work; what is committed stays readable.
        SchemaError: the dataset there has another rate or other features.
        CorruptError: an episode there is damaged; `repair` first.
    """

    def __init__(
        self,
        root: str | Path,
        fps: int,
        *,
        robot_type: str = "panda",
        images: str = "video",
        clock: Clock | None = None,
    ) -> None:
        if images not in IMAGE_MODES:
            raise unknown_name("image mode", images, IMAGE_MODES)
        if fps <= 0 or int(fps) != fps:
            raise InvalidValueError(f"fps={fps} is not a rate: LeRobot needs a whole number of Hz, at least 1")
        self.root = Path(root)
        self._fps, self._robot_type, self._images = int(fps), robot_type, images
        self._ledger: Ledger | None = None
        self._buffer: EpisodeBuffer | None = None
        self._cameras: CameraRecorder | None = None
        self._camera_stats: stats.Stats = {}
        self._streams: dict[str, list[tuple[float, Array]]] = {}
        self._next_episode = self._next_step = self._next_file = 0
        self._stale, self._clock, self._derived_ns = False, clock or RealClock(), 0
        self._background = ThreadPoolExecutor(3, "handrail-store")
        self._lock = WriterLock(self.root)
        try:
            self._continue()
        except BaseException:
            self._lock.release()
            raise

    def _continue(self) -> None:
        """Take up the dataset that is already here, if there is one."""
        index = load_index(self.root)
        if index.broken:
            raise CorruptError(
                f"{index.broken[0]} is damaged: run `handrail data repair {self.root}`, then record again"
            )
        clear_leftovers(self.root, index)
        if not index.rows:
            return
        schema = schema_of(read_info(self.root))
        schema.require_same(Schema(schema.features, self._fps), str(self.root))
        self._ledger = rebuild(self.root, schema, index)
        write_journal(self.root, index)
        self._next_episode, self._next_step = index.next_episode, index.next_step
        self._next_file = 1 + max((_last_file(row, schema) for row in index.rows), default=-1)

    @property
    def num_episodes(self) -> int:
        """Episodes committed so far."""
        return self._ledger.episodes if self._ledger else 0

    @property
    def length(self) -> int:
        """Steps of the episode in progress."""
        return self._buffer.length if self._buffer else 0

    def add(self, step: Step) -> None:
        """Record one step of the episode in progress. Everything is copied; a state step takes about 10 us.

        Raises:
            NonFiniteError: NaN or infinity in the step; it is left out, and the steps before it stay.
            SchemaError: the step does not fit the dataset.
        """
        if self._buffer is None:
            self._begin(step)
        assert self._buffer is not None
        self._buffer.add(step)
        if self._cameras is not None:
            try:
                self._cameras.add(step.observation)
            except BaseException:
                self._buffer.length -= 1
                raise

    def stream(self, name: str, stamp_s: float, value: Array) -> None:
        """Record one sample of a stream faster than the policy, e.g. force at 500 Hz; kept in `extras/streams/<name>/`.

        Args:
            stamp_s: measured [s] since the episode began.
            value: one shape throughout the episode.
        """
        if not name.replace("_", "").replace("-", "").replace(".", "").isalnum() or name.startswith("."):
            raise InvalidValueError(
                f"stream name '{name}' must be letters, digits, '_', '-' and '.': it names a folder"
            )
        self._streams.setdefault(name, []).append((stamp_s, np.array(value)))

    def discard(self) -> None:
        """Forget the episode in progress, e.g. because the operator wants to record it again."""
        if self._cameras is not None:
            self._cameras.abandon()
        self._buffer = self._cameras = None
        self._camera_stats, self._streams = {}, {}

    def commit(self, meta: EpisodeMeta) -> int:
        """Put the episode in progress on disk; when this returns, a crash cannot take it away.

        Returns:
            The index of the episode.

        Raises:
            WriteError: the file system refused; the steps are still in memory, so that it can be tried again.
        """
        if self._buffer is None or self._buffer.length == 0 or self._ledger is None:
            raise InvalidValueError("the episode in progress has no steps: add at least one before commit")
        episode, text = self._next_episode, meta.instruction
        ledger, buffer = self._ledger, self._buffer
        self._finish_cameras()
        columns = buffer.columns(episode, self._next_step, ledger.task_index(text))
        episode_stats = stats.episode_stats(columns, ledger.schema.features) | self._camera_stats
        row = self._row(meta, episode, buffer.length)
        path = layout.episodes_file(self.root, self._position)
        sides = self._sides(episode, columns) | {path: lambda: self._row_files.contents(row, episode_stats)}
        prepared = self._prepare(sides)
        merged = stats.merge(ledger.stats, episode_stats)
        prepared()
        settle([file for file in sides if file != path] + self._finished_videos())
        if text not in ledger.tasks:
            ledger.write_tasks(text)
        settle([path])
        self._committed(row, path, merged)
        return episode

    def close(self) -> None:
        """Forget an episode in progress, bring the derived files up to date, and let others write."""
        try:
            self.discard()
            self._refresh()
        finally:
            self._background.shutdown()
            self._lock.release()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _position(self) -> FilePosition:
        return FilePosition.of_number(self._next_file)

    @cached_property
    def _row_files(self) -> RowFiles:
        assert self._ledger is not None
        return RowFiles(self._ledger.schema)

    def _begin(self, step: Step) -> None:
        """Open the buffers of an episode; the first step of all decides the schema."""
        schema = Schema(features_of(step, self._images), self._fps, self._robot_type)
        if self._ledger is None:
            for key in schema.videos:
                entry = schema.features[key]
                encoder = choose_encoder(*entry["shape"][:2], self._fps)
                entry["info"] = video_info(encoder, entry, self._fps)
            self._ledger = Ledger(self.root, schema)
            self._ledger.write()
        else:
            self._ledger.schema.require_same(schema, str(self.root))
        self._buffer = EpisodeBuffer(self._ledger.schema)
        if schema.cameras:
            videos = {key: layout.video_file(self.root, key, self._position) for key in schema.videos}
            self._cameras = CameraRecorder(self._ledger.schema, videos)

    def _finish_cameras(self) -> None:
        """Wait for the encoders; a second try of a commit finds them done."""
        if self._cameras is None or self._camera_stats:
            return
        try:
            self._camera_stats = self._cameras.finish()
        except WriteError:
            self.discard()  # frames that the encoder could not write are gone
            raise

    def _sides(self, episode: int, columns: dict[str, Array]) -> dict[Path, Callable[[], memoryview]]:
        """Everything of an episode beside its row and its videos: path -> how its contents are made."""
        assert self._buffer is not None and self._ledger is not None
        schema, last = self._ledger.schema, self._buffer.last_next
        whole = {**columns, **(self._cameras.pngs if self._cameras else {})}
        files: dict[Path, Callable[[], memoryview]] = {
            layout.data_file(self.root, self._position): lambda: parquet_bytes(schema.table(whole)),
            layout.final_file(self.root, episode): lambda: arrays_bytes(final_arrays(last, self._images)),
        }
        for name, samples in self._streams.items():
            arrays = {"stamp_s": np.array([s for s, _ in samples]), "values": np.stack([value for _, value in samples])}
            files[layout.stream_file(self.root, name, episode)] = partial(arrays_bytes, arrays)
        return files

    def _prepare(self, files: dict[Path, Callable[[], memoryview]]) -> Callable[[], None]:
        """Write all temporaries side by side, since Arrow and fsync do without the interpreter's lock; call to wait."""
        futures = [
            self._background.submit(lambda p=path, make=make: prepare(p, make())) for path, make in files.items()
        ]

        def finish() -> None:
            wait(futures)
            failed = [error for future in futures if (error := future.exception()) is not None]
            if failed:
                discard_temporaries(files)
                raise failed[0]

        return finish

    def _finished_videos(self) -> list[Path]:
        """Videos whose temporaries wait to be renamed; on the second try of a commit they may have been already."""
        targets = self._cameras.targets.values() if self._cameras else ()
        waiting = [path for path in targets if temporary_name(path).exists()]
        for path in waiting:
            guarded(path, partial(fsync_file, temporary_name(path)))
        return waiting

    def _row(self, meta: EpisodeMeta, episode: int, length: int) -> dict[str, Any]:
        assert self._ledger is not None
        at = self._position
        row: dict[str, Any] = {
            "episode_index": episode,
            "tasks": [meta.instruction],
            "length": length,
            "data/chunk_index": at.chunk,
            "data/file_index": at.file,
            "dataset_from_index": self._next_step,
            "dataset_to_index": self._next_step + length,
        }
        for key in self._ledger.schema.videos:
            row |= video_columns(key, at, 0.0, length / self._fps)
        row |= {"meta/episodes/chunk_index": at.chunk, "meta/episodes/file_index": at.file}
        return row | meta.columns()

    def _committed(self, row: dict[str, Any], path: Path, merged: stats.Stats) -> None:
        """Move on to the next episode, and bring the derived files up to date."""
        assert self._ledger is not None
        text = row["tasks"][0]
        task_index = self._ledger.task_index(text)
        self._ledger.accept(row["length"], text, merged)
        self._next_episode += 1
        self._next_step += row["length"]
        self._next_file += 1
        self._buffer = self._cameras = None
        self._camera_stats, self._streams = {}, {}
        self._stale = True
        try:
            append_journal(self.root, path, [EpisodeRow(row | {"task_index": task_index})])
            self._refresh(DERIVED_PERIOD_NS)
        except OSError:  # the episode is safe; the next commit, `close` or the next opening writes these again
            return

    def _refresh(self, period_ns: int = 0) -> None:
        """Rewrite the derived files if they lag, and not more often than once in `period_ns`."""
        now_ns = self._clock.now_ns()
        if self._ledger is None or not self._stale or now_ns - self._derived_ns < period_ns:
            return
        self._ledger.write()
        self._stale, self._derived_ns = False, now_ns


def _last_file(row: EpisodeRow, schema: Schema) -> int:
    return max(at.number for at in (row.data, row.listed, *(row.video(key) for key in schema.videos)))
