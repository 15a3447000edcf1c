"""One-row Parquet files that differ in their values only: Arrow writes one of a kind, the others are filled in.

An index row has some 280 columns, and Arrow spends more time on each of their headers than a commit has in all. Values
are stored plain and uncompressed, at the end of their column's page, so that rows whose values take the same room give
files that differ in these bytes alone. A file that is filled in is, byte for byte, the one that Arrow would write.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .derived import parquet_bytes
from .rows import LEAN, episode_table, row_fields
from .schema import Schema
from .stats import Stats, stat_arrays

KEPT = 16  # kinds of rows: texts change their length now and then
Plain = tuple[int, bytes]
"""How many values, and their bytes as Parquet's PLAIN encoding has them; (-1, b"") for null."""


class RowFiles:
    """Makes the `meta/episodes` files of one dataset, one row each."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._columns: list[tuple[str, Callable[[Any], bytes]]] = []
        self._stencils: dict[tuple[int, ...], Stencil] = {}

    def contents(self, row: Mapping[str, Any], row_stats: Stats) -> memoryview:
        """The file that holds `row` with its statistics."""
        if not self._columns:
            self._columns = [(key, _encoder(kind)) for key, kind in row_fields(row, self._schema)]
        values = {**row, **stat_arrays(row_stats)}
        parts = [_plain(values.get(key), encode) for key, encode in self._columns]
        room = tuple(size for count, contents in parts for size in (count, len(contents)))
        stencil = self._stencils.get(room)
        if stencil is not None:
            return stencil.filled([contents for _, contents in parts])
        whole = parquet_bytes(episode_table([(dict(row), row_stats)], self._schema), **LEAN)
        self._keep(room, whole, [contents for _, contents in parts])
        return whole

    def _keep(self, room: tuple[int, ...], whole: memoryview, parts: list[bytes]) -> None:
        offsets = value_offsets(whole, parts)
        if offsets is None:
            return
        while len(self._stencils) >= KEPT:
            del self._stencils[next(iter(self._stencils))]
        self._stencils[room] = Stencil(bytes(whole), offsets)


class Stencil:
    """A file, and where its values begin."""

    def __init__(self, contents: bytes, offsets: list[int]) -> None:
        self._contents, self._offsets = contents, offsets

    def filled(self, parts: list[bytes]) -> memoryview:
        """The same file with other values, which take the same room."""
        contents = bytearray(self._contents)
        for offset, part in zip(self._offsets, parts, strict=True):
            contents[offset : offset + len(part)] = part
        return memoryview(contents)


def value_offsets(whole: memoryview, parts: list[bytes]) -> list[int] | None:
    """Where the values of each column of a one-row file begin; None where they are not found as `parts` has them."""
    group = pq.read_metadata(io.BytesIO(whole)).row_group(0)
    offsets = []
    for number, part in enumerate(parts):
        column = group.column(number)
        stop = column.data_page_offset + column.total_compressed_size
        offsets.append(stop - len(part))
        if bytes(whole[stop - len(part) : stop]) != part:
            return None
    return offsets


def _plain(value: Any, encode: Callable[[Any], bytes]) -> Plain:
    if value is None:
        return -1, b""
    return np.size(value), encode(value)


def _encoder(kind: pa.DataType) -> Callable[[Any], bytes]:
    """From a value of this Arrow type, all lists flat, to Parquet's PLAIN encoding of it."""
    while pa.types.is_list(kind):
        kind = kind.value_type
    if pa.types.is_string(kind):
        return _text_bytes
    if pa.types.is_boolean(kind):
        return lambda value: np.packbits(np.ravel(value), bitorder="little").tobytes()
    dtype = np.dtype(kind.to_pandas_dtype()).newbyteorder("<")
    return lambda value: np.asarray(value, dtype).tobytes()


def _text_bytes(value: str | list[str]) -> bytes:
    texts = [text.encode() for text in ([value] if isinstance(value, str) else value)]
    return b"".join(struct.pack("<i", len(text)) + text for text in texts)
