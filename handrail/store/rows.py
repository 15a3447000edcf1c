"""Rows of `meta/episodes` as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from . import stats
from .episode_meta import META_TYPES
from .layout import FilePosition
from .schema import Schema

LEAN = {"use_dictionary": False, "write_statistics": False, "store_schema": False, "compression": "none"}
"""One-row files of some 280 columns: all that makes big Parquet files small makes these big and slow."""


def video_columns(key: str, at: FilePosition, start_s: float, stop_s: float) -> dict[str, Any]:
    """Where a camera of an episode is, as columns of `meta/episodes`."""
    return {
        f"videos/{key}/chunk_index": at.chunk,
        f"videos/{key}/file_index": at.file,
        f"videos/{key}/from_timestamp": start_s,
        f"videos/{key}/to_timestamp": stop_s,
    }


ROW_TYPES = {"tasks": pa.list_(pa.string()), **META_TYPES}


def row_fields(row: Mapping[str, Any], schema: Schema) -> list[tuple[str, pa.DataType]]:
    """Columns of `meta/episodes` with their types: LeRobot's in its order, statistics, and our metadata last."""
    keys = [key for key in row if key != "task_index"]  # LeRobot keeps that one among the statistics
    plain = [key for key in keys if not key.startswith("meta/episodes/") and key not in META_TYPES]
    rest = [key for key in keys if key not in plain]
    typed = [[(key, _row_type(key)) for key in some] for some in (plain, rest)]
    return [*typed[0], *stats.fields(schema.features), *typed[1]]


def episode_table(rows: list[tuple[dict[str, Any], stats.Stats]], schema: Schema) -> pa.Table:
    """Rows of `meta/episodes` with their statistics."""
    fields = row_fields(rows[0][0], schema)
    values: list[Mapping[str, Any]] = [{**row, **stats.columns(row_stats)} for row, row_stats in rows]
    arrays = [pa.array([value.get(key) for value in values], kind) for key, kind in fields]
    return pa.Table.from_arrays(arrays, names=[key for key, _ in fields])


def _row_type(key: str) -> pa.DataType:
    if key in ROW_TYPES:
        return ROW_TYPES[key]
    return pa.float64() if key.endswith("_timestamp") else pa.int64()
