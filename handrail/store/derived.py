"""The derived files, `info.json`, `stats.json`, `tasks.parquet` and the journal: the episodes rebuild them all."""

from __future__ import annotations

import fcntl
import json
import os
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from handrail.core.errors import CorruptError, SchemaError, WriteError

from . import layout, stats
from .atomic import write_atomically, write_error
from .index import Index, journal_text
from .schema import Schema

PANDAS = {
    "index_columns": ["__index_level_0__"],
    "column_indexes": [
        {
            "name": None,
            "field_name": None,
            "pandas_type": "unicode",
            "numpy_type": "str",
            "metadata": {"encoding": "UTF-8"},
        }
    ],
    "columns": [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {
            "name": None,
            "field_name": "__index_level_0__",
            "pandas_type": "object",
            "numpy_type": "str",
            "metadata": None,
        },
    ],
    "attributes": {},
    "creator": {"library": "pyarrow", "version": pa.__version__},
    "pandas_version": "3.1.1",
}
"""LeRobot reads `tasks.parquet` as a pandas frame whose index is the text; this is how pandas says so."""


@dataclass
class Ledger:
    """Totals of a dataset: what a commit adds one episode to."""

    root: Path
    schema: Schema
    episodes: int = 0
    steps: int = 0
    tasks: dict[str, int] = field(default_factory=dict)
    stats: stats.Stats = field(default_factory=dict)

    def task_index(self, text: str) -> int:
        """Index of this task text, which it may be the first to use."""
        return self.tasks.get(text, len(self.tasks))

    def append(self, length: int, text: str, episode_stats: stats.Stats) -> None:
        """Count one more episode."""
        self.accept(length, text, stats.merge(self.stats, episode_stats))

    def accept(self, length: int, text: str, merged: stats.Stats) -> None:
        """Count one more episode, whose statistics were merged in ahead of time."""
        self.episodes += 1
        self.steps += length
        self.tasks.setdefault(text, len(self.tasks))
        self.stats = merged

    @cached_property
    def _features_text(self) -> str:
        return json.dumps(self.schema.features, indent=4, ensure_ascii=False).replace("\n", "\n    ")

    def info_text(self) -> str:
        """`meta/info.json`, keys as LeRobot writes them; the features, which never change, are spelled once."""
        head = json.dumps(self.info() | {"features": "@"}, indent=4, ensure_ascii=False)
        return head.replace('"@"', self._features_text) + "\n"

    def info(self) -> dict[str, Any]:
        return {
            "codebase_version": layout.VERSION,
            "robot_type": self.schema.robot_type,
            "total_episodes": self.episodes,
            "total_frames": self.steps,
            "total_tasks": len(self.tasks),
            "chunks_size": layout.CHUNK_SIZE,
            "data_files_size_in_mb": layout.DATA_FILE_MB,
            "video_files_size_in_mb": layout.VIDEO_FILE_MB,
            "fps": self.schema.fps,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self.schema.videos else None,
            "features": self.schema.features,
        }

    def write(self) -> None:
        """Rewrite `info.json` and `stats.json`."""
        write_atomically(self.root / layout.STATS, stats.to_json(self.stats).encode(), durable=False)
        write_atomically(self.root / layout.INFO, self.info_text().encode(), durable=False)

    def write_tasks(self, *extra: str) -> None:
        """Rewrite `tasks.parquet`; `extra` is the text of an episode about to be committed."""
        texts = dict(self.tasks)
        for text in extra:
            texts.setdefault(text, len(texts))
        write_atomically(self.root / layout.TASKS, parquet_bytes(_tasks_table(texts)))


def _tasks_table(texts: dict[str, int]) -> pa.Table:
    schema = pa.schema(
        [("task_index", pa.int64()), ("__index_level_0__", pa.large_string())], metadata={"pandas": json.dumps(PANDAS)}
    )
    ordered = sorted(texts, key=texts.__getitem__)
    return pa.table([[texts[text] for text in ordered], ordered], schema=schema)


def parquet_bytes(table: pa.Table, **options: Any) -> memoryview:
    """Serialise `table` in memory, so that the file system is touched in one place only."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return memoryview(sink.getvalue())


def read_info(root: Path) -> dict[str, Any]:
    """Read `meta/info.json`.

    Raises:
        SchemaError: no dataset here, or one of another version.
        CorruptError: the file is damaged.
    """
    path = root / layout.INFO
    try:
        info = json.loads(path.read_text())
    except FileNotFoundError:
        raise SchemaError(
            f"{root} is not a dataset: meta/info.json is missing; check the path, or run `handrail data repair`"
        ) from None
    except ValueError as error:
        raise CorruptError(f"{path} is damaged ({error}): run `handrail data repair`") from error
    if not isinstance(info, dict) or info.get("codebase_version") != layout.VERSION:
        found = info.get("codebase_version") if isinstance(info, dict) else None
        raise SchemaError(
            f"{root} has layout version {found}, not {layout.VERSION}: convert it with LeRobot's own script first"
        )
    return info


def schema_of(info: dict[str, Any]) -> Schema:
    """The schema that an `info.json` describes."""
    return Schema(info["features"], int(info["fps"]), info.get("robot_type") or "")


def read_tasks(root: Path) -> dict[str, int]:
    """Task text -> index; empty where the file is missing or damaged, because it is derived."""
    try:
        table = pq.read_table(root / layout.TASKS)
    except (OSError, pa.ArrowException):
        return {}
    texts = table.column("task" if "task" in table.column_names else "__index_level_0__").to_pylist()
    return dict(zip(texts, table.column("task_index").to_pylist(), strict=True))


def tasks_of(index: Index, known: dict[str, int]) -> dict[str, int]:
    """Task texts that committed episodes use; a row without a task index falls back to what `tasks.parquet` says."""
    tasks: dict[str, int] = {}
    for row in index.rows:
        at = row.task_index if row.task_index is not None else known.get(row.instruction, len(tasks))
        tasks.setdefault(row.instruction, at)
    return dict(sorted(tasks.items(), key=lambda item: item[1]))


def load_ledger(root: Path, schema: Schema, index: Index) -> tuple[Ledger, bool]:
    """Totals of the episodes in `index`, and whether the derived files on disk already say the same."""
    known = read_tasks(root)
    total, counted = _stored_stats(root)
    ledger = Ledger(root, schema, len(index.rows), index.num_steps, tasks_of(index, known))
    first = _rows_after(index, counted)
    ledger.stats = stats.merge_all([total if first else {}, *_stats_rows(root, index, first)])
    fresh = first == len(index.rows) and known == ledger.tasks and _says(root, ledger)
    return ledger, fresh


def _says(root: Path, ledger: Ledger) -> bool:
    try:
        return read_info(root) == ledger.info()
    except (SchemaError, CorruptError):
        return False


def _stored_stats(root: Path) -> tuple[stats.Stats, int]:
    """What `stats.json` holds, and over how many steps; nothing where it is missing or damaged."""
    try:
        total = stats.from_json((root / layout.STATS).read_text())
        return total, int(total["index"]["count"][0])
    except (OSError, ValueError, KeyError, AttributeError, IndexError):
        return {}, 0


def _rows_after(index: Index, counted: int) -> int:
    """Position of the first row that statistics over `counted` steps do not hold yet; 0 where they fit no prefix."""
    steps = 0
    for position, row in enumerate(index.rows):
        if steps == counted:
            return position
        steps += row.length
    return len(index.rows) if steps == counted else 0


def _stats_rows(root: Path, index: Index, first: int) -> list[stats.Stats]:
    """Statistics of the episodes from position `first` on, read from their files."""
    wanted = {row.index for row in index.rows[first:]}
    found: dict[int, stats.Stats] = {}
    for at in sorted({row.listed for row in index.rows[first:]}):
        for record in pq.read_table(layout.episodes_file(root, at)).to_pylist():
            if record["episode_index"] in wanted:
                found[record["episode_index"]] = stats.from_columns(record)
    return [found[number] for number in sorted(found)]


def rebuild(root: Path, schema: Schema, index: Index) -> Ledger:
    """Rewrite all derived files from the episodes where they disagree, and return the totals."""
    ledger, fresh = load_ledger(root, schema, index)
    if not fresh:
        ledger.write_tasks()
        ledger.write()
    return ledger


def write_journal(root: Path, index: Index) -> None:
    """Rewrite the journal from the episodes."""
    write_atomically(root / layout.INDEX, journal_text(root, index.rows).encode(), durable=False)


class WriterLock:
    """Keeps a second writer from the same dataset; the kernel lets go of it when its holder dies.

    A POSIX lock, because children of a fork do not hold it on; it says nothing about a second writer in the same
    process, so those are listed in `_HELD`.
    """

    def __init__(self, root: Path) -> None:
        path = root / layout.LOCK
        self._key = (os.getpid(), path.resolve())
        if self._key in _HELD:
            raise WriteError(f"{root} is being written by this process: close its other writer first")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a")  # noqa: SIM115 - held until release
        except OSError as error:
            raise write_error(path, error) from error
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise WriteError(
                f"{root} is being written by another process: wait for it, or choose another folder"
            ) from error
        _HELD[self._key] = self

    def release(self) -> None:
        _HELD.pop(self._key, None)
        self._file.close()

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


_HELD: weakref.WeakValueDictionary[tuple[int, Path], WriterLock] = weakref.WeakValueDictionary()


def refresh(root: Path, schema: Schema, index: Index) -> None:
    """Bring the derived files up to date if we may: not while somebody records, nor in a read-only folder."""
    if not os.access(root, os.W_OK):
        return
    try:
        with WriterLock(root):
            rebuild(root, schema, index)
            write_journal(root, index)
    except WriteError:
        return
