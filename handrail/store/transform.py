"""Rewriting a dataset: `export` to a plain LeRobot v3 dataset, `compact` into LeRobot's usual large files."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handrail.core.errors import CorruptError, InvalidValueError

from . import layout, stats
from .atomic import guarded, write_atomically
from .derived import Ledger, WriterLock, parquet_bytes, read_info, schema_of, write_journal
from .episode_meta import META_TYPES
from .index import load_index
from .layout import FilePosition
from .reader import Dataset
from .rows import video_columns
from .schema import Schema
from .swap import finish_swap, swap
from .video import (
    CODEC_NAMES,
    choose_encoder,
    codec_signature,
    concatenate,
    count_frames,
    read_frames,
    video_info,
    write_video,
)

MB = 2**20


def export(root: str | Path, out: str | Path, episodes: Sequence[int] | None = None) -> Path:
    """Write chosen episodes to a new, plain LeRobot v3 dataset: large files, no `extras/`, no metadata of ours.

    Args:
        root: the dataset, which is left as it is.
        out: a folder that does not exist yet.
        episodes: which ones, in their new order; all by default.

    Raises:
        InvalidValueError: an episode does not exist, or `out` does.
        CorruptError: a chosen episode is damaged; choose the others.
    """
    out = Path(out)
    dataset = Dataset(root)
    chosen = list(range(dataset.num_episodes)) if episodes is None else list(episodes)
    if out.exists():
        raise InvalidValueError(f"{out} exists already: choose a new folder")
    for number in chosen:
        dataset.episode(number)  # raises where it does not exist or is damaged, before anything is written
    chosen = [number % dataset.num_episodes for number in chosen]
    if not chosen:
        raise InvalidValueError(f"no episode of {root} was chosen; it holds {dataset.num_episodes}")
    building = out.with_name(f"{out.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    _Merge(dataset, building, plain=True).run(chosen)
    guarded(out, lambda: building.rename(out))
    return out


def compact(root: str | Path) -> int:
    """Merge one-episode files into LeRobot's usual large ones, in place; return the number of data files left.

    Everything is written beside the dataset first and put in its place by renames, so that a crash loses nothing.

    Raises:
        WriteError: somebody records into it, or the disk is full; the dataset is as it was.
        CorruptError: an episode is damaged; `repair` or `export` first.
    """
    root = Path(root)
    finish_swap(root)
    schema_of(read_info(root))
    with WriterLock(root):
        dataset = Dataset(root)
        if dataset.damaged:
            raise CorruptError(f"{dataset.damaged[0]} cannot be read: run `handrail data repair {root}`, then compact")
        if not dataset.num_episodes:
            return 0
        for number in range(dataset.num_episodes):
            dataset.episode(number)
        building = root.with_name(f"{root.name}.part")
        shutil.rmtree(building, ignore_errors=True)
        files = _Merge(dataset, building, plain=False).run(range(dataset.num_episodes))
        swap(root, building)
    return files


@dataclass
class _VideoPart:
    """MP4s that become one file."""

    sources: list[Path] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    size: int = 0
    signature: object = None


class _Merge:
    """Copies episodes of `dataset` into large files under `out`, numbering everything anew."""

    def __init__(self, dataset: Dataset, out: Path, plain: bool) -> None:
        self.dataset, self.out, self.plain = dataset, out, plain
        self.schema: Schema = dataset.schema
        self.ledger = Ledger(out, self.schema)
        self.rows: list[dict[str, Any]] = []
        self._data: list[pa.Table] = []
        self._data_bytes = 0
        self._data_files = 0
        self._tables: dict[FilePosition, pa.Table] = {}
        self._lists: dict[FilePosition, list[dict[str, Any]]] = {}

    def run(self, episodes: Sequence[int]) -> int:
        """Copy `episodes`, in this order; return the number of data files."""
        for number in episodes:
            self._add(number)
        self._flush_data()
        for key in self.schema.videos:
            self._copy_videos(key, episodes)
        if not self.plain:
            self._copy_extras(episodes)
        write_atomically(
            layout.episodes_file(self.out, FilePosition(0, 0)),
            parquet_bytes(pa.Table.from_pylist(self.rows, self._row_schema())),
        )
        self.ledger.write_tasks()
        self.ledger.write()
        if not self.plain:
            (self.out / layout.LOCK).parent.mkdir(parents=True, exist_ok=True)
            write_journal(self.out, load_index(self.out))
        return self._data_files

    def _add(self, number: int) -> None:
        """Queue the rows of one episode, and its row in `meta/episodes`."""
        old = self.dataset.rows[number]
        new, first = self.ledger.episodes, self.ledger.steps
        text = old.instruction
        task = self.ledger.task_index(text)
        counted = {
            "episode_index": np.full(old.length, new, np.int64),
            "index": np.arange(first, first + old.length, dtype=np.int64),
            "task_index": np.full(old.length, task, np.int64),
        }
        self._queue_data(self._renumbered(number, counted))
        row = dict(self._listed(number))
        features = {key: self.schema.features[key] for key in counted}
        row |= stats.columns(stats.episode_stats(counted, features))
        row |= {"episode_index": new, "dataset_from_index": first, "dataset_to_index": first + old.length}
        row |= {"data/chunk_index": self._data_position.chunk, "data/file_index": self._data_position.file}
        row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self.rows.append({key: value for key, value in row.items() if not (self.plain and key in META_TYPES)})
        self.ledger.append(old.length, text, stats.from_columns(row))

    @property
    def _data_position(self) -> FilePosition:
        return FilePosition.of_number(self._data_files)

    def _renumbered(self, number: int, counted: dict[str, Any]) -> pa.Table:
        row = self.dataset.rows[number]
        if row.data not in self._tables:
            self._tables = {row.data: pq.read_table(layout.data_file(self.dataset.root, row.data))}
        start = row.start - self.dataset.file_starts[row.data]
        table = self._tables[row.data].slice(start, row.length)
        for key, values in counted.items():
            table = table.set_column(table.column_names.index(key), key, pa.array(values))
        return table

    def _listed(self, number: int) -> dict[str, Any]:
        """The whole `meta/episodes` row of an episode, statistics included."""
        row = self.dataset.rows[number]
        if row.listed not in self._lists:
            self._lists = {row.listed: pq.read_table(layout.episodes_file(self.dataset.root, row.listed)).to_pylist()}
        return next(item for item in self._lists[row.listed] if item["episode_index"] == row.index)

    def _row_schema(self) -> pa.Schema:
        """Arrow schema of the merged rows: that of the first source file, without what was dropped."""
        first = pq.read_schema(layout.episodes_file(self.dataset.root, self.dataset.rows[0].listed))
        fields = [first.field(name) for name in first.names if name in self.rows[0]]
        return pa.schema(fields)

    def _queue_data(self, table: pa.Table) -> None:
        size = table.nbytes
        if self._data and self._data_bytes + size > layout.DATA_FILE_MB * MB:
            self._flush_data()
        self._data.append(table)
        self._data_bytes += size

    def _flush_data(self) -> None:
        """Write the queued episodes, each a row group, as one file."""
        if not self._data:
            return
        sink = io.BytesIO()
        schema = self._data[0].schema.with_metadata(self.schema_metadata())
        with pq.ParquetWriter(sink, schema) as file:
            for table in self._data:
                file.write_table(table.replace_schema_metadata(schema.metadata).cast(schema))
        write_atomically(layout.data_file(self.out, self._data_position), sink.getbuffer())
        self._data, self._data_bytes = [], 0
        self._data_files += 1

    def schema_metadata(self) -> dict[bytes, bytes] | None:
        """Metadata of the first source file; what `repair` reads stays out of a plain dataset."""
        metadata = dict(self._data[0].schema.metadata or {})
        if self.plain:
            metadata.pop(b"handrail", None)
        return metadata

    def _copy_videos(self, key: str, episodes: Sequence[int]) -> None:
        """Join the MP4s of one camera, as many as fit into each file."""
        limit, number = layout.VIDEO_FILE_MB * MB, 0
        with tempfile.TemporaryDirectory(dir=self.out) as scratch:
            part = _VideoPart()
            for new, source in enumerate(self._singles(key, episodes, Path(scratch))):
                size, length, signature = source.stat().st_size, self.rows[new]["length"], codec_signature(source)
                if part.sources and (part.signature != signature or part.size + size > limit):
                    self._join(key, part, number)
                    part, number = _VideoPart(), number + 1
                start, at = sum(part.frames) / self.schema.fps, FilePosition.of_number(number)
                self.rows[new] |= video_columns(key, at, start, start + length / self.schema.fps)
                part.sources.append(source)
                part.frames.append(length)
                part.size, part.signature = part.size + size, signature
            self._join(key, part, number)

    def _singles(self, key: str, episodes: Sequence[int], scratch: Path) -> Iterator[Path]:
        """One MP4 an episode: its own file as it is, or cut out of a longer one by encoding it again.

        Where this machine cannot encode the camera's codec, all is encoded anew, so that one codec stays the rule.
        """
        root, fps, entry = self.dataset.root, self.schema.fps, self.schema.features[key]
        codec = entry.get("info", {}).get("video.codec")
        height, width = entry["shape"][:2]
        encoder = choose_encoder(height, width, fps, codec)
        rows = [self.dataset.rows[episode] for episode in episodes]
        files = [layout.video_file(root, key, row.video(key)) for row in rows]
        frames = {path: count_frames(path) for path in set(files)}
        whole = [frames[path] == row.length for path, row in zip(files, rows, strict=True)]
        if not all(whole) and CODEC_NAMES[encoder] != codec:
            whole = [False] * len(whole)
            entry["info"] = video_info(encoder, entry, fps)
        for row, path, as_it_is in zip(rows, files, whole, strict=True):
            if as_it_is:
                yield path
                continue
            cut = scratch / f"{key}-{row.index}.mp4"
            images = read_frames(path, row.video_start_s(key), row.length, fps)
            write_video(cut, images, encoder, height, width, fps)
            yield cut

    def _join(self, key: str, part: _VideoPart, number: int) -> None:
        target = layout.video_file(self.out, key, FilePosition.of_number(number))
        concatenate(part.sources, target, part.frames, self.schema.fps)

    def _copy_extras(self, episodes: Sequence[int]) -> None:
        """Final observations, streams and quarantine follow, under their new numbers."""
        old_root = self.dataset.root
        renumbered = {
            f"episode-{self.dataset.rows[old].index:06d}.npz": f"episode-{new:06d}.npz"
            for new, old in enumerate(episodes)
        }
        for path in sorted((old_root / "extras").rglob("*")):
            inside = path.relative_to(old_root)
            if path.is_dir() or str(inside) in (layout.INDEX, layout.LOCK):
                continue
            kept = layout.QUARANTINE in str(inside)
            target = self.out / inside.with_name(path.name if kept else renumbered.get(path.name, path.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
