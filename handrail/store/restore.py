"""Rebuilding from what is left: `info.json`, and the row of an episode whose data is whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handrail.core.errors import CorruptError, HandrailError, SchemaError
from handrail.core.values import Array

from . import layout, stats
from .atomic import write_atomically
from .derived import Ledger, parquet_bytes, read_info, read_tasks
from .episode_meta import EpisodeMeta
from .index import EPISODES, EpisodeRow, read_journal
from .layout import FilePosition
from .rows import LEAN, episode_table, video_columns
from .schema import Schema, column_array
from .video import decode_png, read_frames


def restore_info(root: Path) -> list[str]:
    """Write `info.json` anew, from what every data file knows of the dataset, if it is missing or damaged.

    Raises:
        SchemaError: no data file knows; it was not written here.
    """
    try:
        read_info(root)
        return []
    except (CorruptError, SchemaError) as error:
        schema = _schema_in_data(root)
        if schema is None:
            raise error
    Ledger(root, schema).write()
    return ["rewrote info.json from the data files"]


def _schema_in_data(root: Path) -> Schema | None:
    for path in sorted((root / "data").glob("chunk-*/file-*.parquet")):
        try:
            metadata = pq.read_schema(path).metadata or {}
        except (OSError, pa.ArrowException):
            continue
        if b"handrail" in metadata:
            known = json.loads(metadata[b"handrail"])
            return Schema(known["features"], known["fps"], known["robot_type"])
    return None


def restore_rows(root: Path, path: Path, schema: Schema) -> str:
    """Replace the damaged `meta/episodes` file `path` by one rebuilt from the data, or quarantine it; say which."""
    name = str(path.relative_to(root / EPISODES))
    aside = root / layout.QUARANTINE / path.relative_to(root)
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, aside)
    try:
        rows = _rows_of(root, path, schema)
        table = episode_table([(dict(row.values), _statistics(root, row, schema)) for row in rows], schema)
    except (HandrailError, OSError, pa.ArrowException, KeyError, IndexError) as error:
        path.unlink()
        return f"moved {name} to {layout.QUARANTINE}: its data is damaged too ({str(error).splitlines()[0]})"
    write_atomically(path, parquet_bytes(table, **LEAN))
    return f"finished {name} from its data"


def _rows_of(root: Path, path: Path, schema: Schema) -> list[EpisodeRow]:
    """The rows that `path` held: out of the journal, else inferred from the data file of the same number."""
    line = read_journal(root).get(str(path.relative_to(root / EPISODES)))
    if line is not None:
        return [EpisodeRow(values) for values in line["rows"]]
    at = FilePosition(int(path.parent.name.removeprefix("chunk-")), int(path.stem.removeprefix("file-")))
    return [_inferred(root, at, schema)]


def _inferred(root: Path, at: FilePosition, schema: Schema) -> EpisodeRow:
    columns = _columns(root, at, schema)
    episodes = np.unique(columns["episode_index"])
    if len(episodes) != 1:
        raise CorruptError(f"data file {at.number} holds {len(episodes)} episodes and no journal tells them apart")
    texts = {number: text for text, number in read_tasks(root).items()}
    text = texts.get(int(columns["task_index"][0]), "")
    length = len(columns["index"])
    success = bool(np.any(columns.get("next.success", False)))
    row: dict[str, Any] = {
        "episode_index": int(episodes[0]),
        "tasks": [text],
        "length": length,
        "data/chunk_index": at.chunk,
        "data/file_index": at.file,
        "dataset_from_index": int(columns["index"][0]),
        "dataset_to_index": int(columns["index"][0]) + length,
    }
    for key in schema.videos:
        row |= video_columns(key, at, 0.0, length / schema.fps)
    row |= {"meta/episodes/chunk_index": at.chunk, "meta/episodes/file_index": at.file}
    return EpisodeRow(row | EpisodeMeta(text, success=success).columns())


def _columns(root: Path, at: FilePosition, schema: Schema) -> dict[str, Array]:
    table = pq.read_table(layout.data_file(root, at), use_threads=False)
    return {
        key: column_array(table.column(key), schema.features[key])
        for key in schema.columns
        if key not in schema.cameras
    }


def _statistics(root: Path, row: EpisodeRow, schema: Schema) -> stats.Stats:
    columns = _columns(root, row.data, schema)
    mine = columns["episode_index"] == row.index
    if int(mine.sum()) != row.length:
        raise CorruptError(f"episode {row.index} has {int(mine.sum())} steps on disk, not {row.length}")
    found = stats.episode_stats({key: values[mine] for key, values in columns.items()}, schema.features)
    for key in schema.cameras:
        counted = stats.ImageStats()
        for image in camera_frames(root, row, key, schema):
            counted.add(image)
        found[key] = counted.stats()
    return found


def camera_frames(root: Path, row: EpisodeRow, key: str, schema: Schema) -> Array:
    """Decode one camera of one episode, (T, H, W, 3) uint8.

    Raises:
        CorruptError: a file is missing or damaged.
    """
    if key in schema.videos:
        path = layout.video_file(root, key, row.video(key))
        return read_frames(path, row.video_start_s(key), row.length, schema.fps)
    filters = [("episode_index", "=", row.index)]
    try:
        table = pq.read_table(layout.data_file(root, row.data), columns=[key], filters=filters, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise CorruptError(
            f"images of episode {row.index} cannot be read ({error}): run `handrail data check`"
        ) from error
    return np.stack([decode_png(item["bytes"]) for item in table.column(key).to_pylist()])
