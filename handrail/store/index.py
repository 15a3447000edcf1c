"""Which episodes are committed: the rows of `meta/episodes`, by way of a journal that makes opening fast.

The truth is the set of files under `meta/episodes/`. `extras/index.jsonl` repeats their rows without the statistics,
one line a file with its size and modification time; a line that does not match its file is not believed, and the file
is read instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .episode_meta import EpisodeMeta
from .layout import INDEX, FilePosition

EPISODES = "meta/episodes"
TASK_INDEX = "stats/task_index/min"  # the one statistic that is also an identity
READERS = 4


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One row of `meta/episodes` without its statistics."""

    values: Mapping[str, Any]

    @property
    def index(self) -> int:
        return self.values["episode_index"]

    @property
    def length(self) -> int:
        return self.values["length"]

    @property
    def start(self) -> int:
        """Index of its first step in the dataset."""
        return self.values["dataset_from_index"]

    @property
    def stop(self) -> int:
        return self.values["dataset_to_index"]

    @property
    def instruction(self) -> str:
        tasks = self.values.get("tasks") or [""]
        return tasks[0]

    @property
    def task_index(self) -> int | None:
        return self.values.get("task_index")

    @property
    def data(self) -> FilePosition:
        return FilePosition(self.values["data/chunk_index"], self.values["data/file_index"])

    @property
    def listed(self) -> FilePosition:
        """The `meta/episodes` file that this row is in."""
        return FilePosition(self.values["meta/episodes/chunk_index"], self.values["meta/episodes/file_index"])

    def video(self, key: str) -> FilePosition:
        return FilePosition(self.values[f"videos/{key}/chunk_index"], self.values[f"videos/{key}/file_index"])

    def video_start_s(self, key: str) -> float:
        return self.values[f"videos/{key}/from_timestamp"]

    @property
    def meta(self) -> EpisodeMeta:
        return EpisodeMeta.from_columns(self.values, self.instruction)


@dataclass(frozen=True)
class Index:
    """All readable episodes in order.

    Attributes:
        rows: of `meta/episodes`, by episode.
        broken: files that cannot be read.
        reread: how many files the journal did not vouch for.
    """

    rows: list[EpisodeRow]
    broken: list[Path]
    reread: int = 0

    @property
    def next_episode(self) -> int:
        return self.rows[-1].index + 1 if self.rows else 0

    @property
    def next_step(self) -> int:
        return self.rows[-1].stop if self.rows else 0

    @property
    def num_steps(self) -> int:
        return sum(row.length for row in self.rows)


def load_index(root: Path) -> Index:
    """List the committed episodes of the dataset at `root`."""
    listing = _listing(root)
    journal = read_journal(root)
    rows: list[EpisodeRow] = []
    unknown: list[str] = []
    for name, (size, mtime_ns) in listing.items():
        line = journal.get(name)
        if line is not None and line["size"] == size and line["mtime_ns"] == mtime_ns:
            rows.extend(EpisodeRow(values) for values in line["rows"])
        else:
            unknown.append(name)
    found, broken = _read_files(root, unknown)
    return Index(sorted(rows + found, key=lambda row: row.index), broken, len(unknown))


def _listing(root: Path) -> dict[str, tuple[int, int]]:
    """Name under `meta/episodes` -> (size, modification time) of every committed file."""
    found: dict[str, tuple[int, int]] = {}
    base = root / EPISODES
    if not base.is_dir():
        return found
    for chunk in sorted(os.scandir(base), key=lambda entry: entry.name):
        if not chunk.is_dir():
            continue
        for entry in os.scandir(chunk.path):
            if entry.name.endswith(".parquet"):
                status = entry.stat()
                found[f"{chunk.name}/{entry.name}"] = (status.st_size, status.st_mtime_ns)
    return dict(sorted(found.items()))


def _read_files(root: Path, names: list[str]) -> tuple[list[EpisodeRow], list[Path]]:
    rows: list[EpisodeRow] = []
    broken: list[Path] = []
    if not names:
        return rows, broken
    paths = [root / EPISODES / name for name in names]
    with ThreadPoolExecutor(READERS) as readers:
        for path, found in zip(paths, readers.map(_read_or_none, paths), strict=True):
            if found is None:
                broken.append(path)
            else:
                rows.extend(found)
    return rows, broken


def _read_or_none(path: Path) -> list[EpisodeRow] | None:
    try:
        return read_rows(path)
    except (OSError, pa.ArrowException, KeyError, TypeError):
        return None


def read_rows(path: Path) -> list[EpisodeRow]:
    """Read one `meta/episodes` file without its statistics."""
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = [name for name in names if not name.startswith("stats/") or name == TASK_INDEX]
        records = file.read(wanted, use_threads=False).to_pylist()
    return [EpisodeRow(_plain(record)) for record in records]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Put the task index where a row has it, and insist on the columns without which a row is none."""
    task_index = record.pop(TASK_INDEX, None)
    if task_index:
        record["task_index"] = task_index[0]
    for key in ("episode_index", "length", "dataset_from_index", "dataset_to_index"):
        if record[key] is None:
            raise KeyError(key)
    return record


def read_journal(root: Path) -> dict[str, dict[str, Any]]:
    """Lines of the journal by file name, the newest of each; a torn line is skipped."""
    lines: dict[str, dict[str, Any]] = {}
    try:
        text = (root / INDEX).read_bytes()
    except OSError:
        return lines
    for raw in text.splitlines():
        try:
            line = json.loads(raw)
            lines[line["file"]] = line
        except (ValueError, KeyError, TypeError):
            continue
    return lines


def journal_line(root: Path, path: Path, rows: Iterable[EpisodeRow]) -> str:
    """The line that vouches for `path`, a `meta/episodes` file."""
    status = path.stat()
    name = str(path.relative_to(root / EPISODES))
    values = [dict(row.values) for row in rows]
    return json.dumps({"file": name, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "rows": values}) + "\n"


def append_journal(root: Path, path: Path, rows: Iterable[EpisodeRow]) -> None:
    """Add a line; it is derived, so it is neither fsynced nor renamed."""
    with open(root / INDEX, "a", encoding="utf-8") as file:
        file.write(journal_line(root, path, rows))


def journal_text(root: Path, rows: Iterable[EpisodeRow]) -> str:
    """The whole journal, anew."""
    files: dict[FilePosition, list[EpisodeRow]] = {}
    for row in rows:
        files.setdefault(row.listed, []).append(row)
    base = root / EPISODES
    return "".join(
        journal_line(root, base / f"chunk-{at.chunk:03d}/file-{at.file:03d}.parquet", group)
        for at, group in files.items()
    )
