"""Index rows that are filled in are, byte for byte, what Arrow writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from handrail.store import DatasetWriter, EpisodeMeta, stats, stencil
from handrail.store.derived import parquet_bytes, read_info, schema_of
from handrail.store.index import load_index
from handrail.store.rows import LEAN, episode_table
from handrail.store.stencil import KEPT, RowFiles, value_offsets

META = EpisodeMeta("TubeInsertion", "insert the tube", 0, 7, None, "ordinary", True, "", "120", "c0ffee")


@pytest.fixture(params=["video", "none"])
def rows(request, record):
    """The schema and the rows, with statistics, of a recorded set."""
    root = record(3, image=16, images=request.param)
    schema = schema_of(read_info(root))
    found = []
    for row in load_index(root).rows:
        (stored,) = pq.read_table(root / f"meta/episodes/chunk-000/file-{row.index:03d}.parquet").to_pylist()
        plain = {key: value for key, value in stored.items() if not key.startswith("stats/")}
        found.append((plain, stats.from_columns(stored)))
    return schema, found


def by_arrow(row, row_stats, schema) -> bytes:
    return bytes(parquet_bytes(episode_table([(row, row_stats)], schema), **LEAN))


def test_filled_in_files_are_arrows(rows, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, found = rows
    variants = [
        {},
        {"env_seed": 123456789012, "success": False},
        {"operator_draw": None},
        {"failure_kind": "dropped", "policy_version": "30120"},
        {"instruction": "inßert", "tasks": ["inßert"]},
    ]
    files = RowFiles(schema)
    for _ in range(2):
        for row, row_stats in found:
            for variant in variants:
                changed = row | variant
                contents = bytes(files.contents(changed, row_stats))
                assert contents == by_arrow(changed, row_stats, schema)
    assert len(files._stencils) == 3 * 2 + 1  # numbers make no kind of their own; the episodes have two instructions

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Arrow writes a file of a known kind")

    monkeypatch.setattr(stencil, "parquet_bytes", refuse)
    row, row_stats = found[0]
    files.contents(row | {"env_seed": 5}, row_stats)


def test_a_writer_fills_in_all_but_the_first(tmp_path: Path, make_steps) -> None:
    with DatasetWriter(tmp_path / "set", 10) as writer:
        for episode in range(4):
            for step in make_steps(8 + episode, first=float(episode)):
                writer.add(step)
            writer.commit(replace(META, env_seed=episode))
        assert len(writer._row_files._stencils) == 1
    tables = [pq.read_table(path) for path in sorted((tmp_path / "set/meta/episodes/chunk-000").iterdir())]
    assert [table["env_seed"].to_pylist() for table in tables] == [[0], [1], [2], [3]]
    assert [table["length"].to_pylist() for table in tables] == [[8], [9], [10], [11]]
    assert [table["stats/observation.state/min"].to_pylist()[0][0] for table in tables] == [0.0, 1.0, 2.0, 3.0]


def test_what_is_not_laid_out_so_is_left_to_arrow(rows) -> None:
    schema, ((row, row_stats), *_) = rows
    table = episode_table([(row, row_stats)], schema)
    ints = np.array([3], "<i8").tobytes()
    parts = [ints if name == "length" else b"" for name in table.column_names]
    assert value_offsets(parquet_bytes(table, **LEAN), parts) is None  # the length is not 3
    found = value_offsets(parquet_bytes(table, **LEAN), [b""] * table.num_columns)
    assert found is not None and len(found) == table.num_columns


def test_few_kinds_are_kept(rows) -> None:
    schema, ((row, row_stats), *_) = rows
    files = RowFiles(schema)
    for length in range(KEPT + 5):
        changed = row | {"policy_version": length * "1"}
        assert bytes(files.contents(changed, row_stats)) == by_arrow(changed, row_stats, schema)
    assert len(files._stencils) == KEPT
