"""The layout is LeRobotDataset v3 to the letter: compared with datasets that stock LeRobot wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from handrail.store import compact, export
from handrail.store.episode_meta import META_TYPES

EPISODES = "meta/episodes/chunk-000/file-000.parquet"
DATA = "data/chunk-000/file-000.parquet"
SHARED = ("observation.state", "action", "intervention", "next.reward", "next.done")
BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
MODES = [("lerobot_v3_state", None, "none"), ("lerobot_v3_video", 64, "video")]


def files(root: Path) -> set[str]:
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("extras/")}


def info(root: Path) -> dict[str, Any]:
    return json.loads((root / "meta/info.json").read_text())


def kinds(value: Any) -> Any:
    """The types of a JSON value, all the way down; list entries by their first."""
    if isinstance(value, dict):
        return {key: kinds(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [kinds(value[0])] if value else []
    return type(value)


def column_kinds(path: Path) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


@pytest.mark.parametrize(("stock", "image", "mode"), MODES)
def test_a_compacted_set_has_the_files_of_a_stock_one(record, fixtures, stock, image, mode) -> None:
    root = record(3, image=image, images=mode)
    compact(root)
    assert files(root) == files(fixtures / stock)


def test_each_episode_has_files_of_its_own_before(record) -> None:
    root = record(2, image=64)
    names = ("data/chunk-000/file-00{}.parquet", "meta/episodes/chunk-000/file-00{}.parquet")
    videos = "videos/observation.images.front/chunk-000/file-00{}.mp4"
    each = {name.format(i) for name in (*names, videos) for i in range(2)}
    assert files(root) == each | {"meta/info.json", "meta/stats.json", "meta/tasks.parquet"}


@pytest.mark.parametrize(("stock", "image", "mode"), MODES)
def test_info(record, fixtures, stock, image, mode) -> None:
    ours, theirs = info(record(3, image=image, images=mode)), info(fixtures / stock)
    assert list(ours) == list(theirs)
    same = set(theirs) - {"features", "robot_type", "total_frames"}
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert kinds({k: v for k, v in ours.items() if k != "features"}) == kinds(
        {k: v for k, v in theirs.items() if k != "features"}
    )


@pytest.mark.parametrize(("stock", "image", "mode"), MODES)
def test_features(record, fixtures, stock, image, mode) -> None:
    ours, theirs = (info(root)["features"] for root in (record(1, image=image, images=mode), fixtures / stock))
    for key, entry in theirs.items():
        assert list(ours[key]) == list(entry), key
        assert ours[key]["dtype"] == entry["dtype"], key
        assert ours[key]["shape"] == (entry["shape"] if key != "observation.state" else [3]), key
    assert list(ours)[-5:] == list(BOOKKEEPING) == list(theirs)[-5:]
    if image:
        camera = "observation.images.front"
        assert ours[camera]["names"] == theirs[camera]["names"]
        codec = ours[camera]["info"].pop("video.codec")
        theirs[camera]["info"].pop("video.codec")
        assert ours[camera]["info"] == theirs[camera]["info"]
        assert codec in ("av1", "h264", "mpeg4")


def test_the_step_record_of_the_design(record) -> None:
    features = info(record(1))["features"]
    types = {key: (entry["dtype"], entry["shape"]) for key, entry in features.items()}
    scalar = {
        "float32": "assist_level risk value next.reward next.cost timestamp",
        "int64": "authority takeover_cause frame_index episode_index index task_index",
        "bool": "intervention has_operator_action has_assistant_action next.done next.terminated next.truncated"
        " next.success clipped",
        "float64": "stamp_s",
    }
    expected = {key: (dtype, [1]) for dtype, keys in scalar.items() for key in keys.split()}
    expected |= {key: ("float32", [2]) for key in ("action", "policy_action", "operator_action", "assistant_action")}
    expected |= {"observation.state": ("float32", [3]), "observation.environment_state": ("float32", [1])}
    assert types == expected
    taken_by_lerobot = [key for key in features if key.startswith(("action", "observation"))]
    assert taken_by_lerobot == ["observation.state", "observation.environment_state", "action"]


@pytest.mark.parametrize(("stock", "image", "mode"), MODES)
def test_stats(record, fixtures, stock, image, mode) -> None:
    ours, theirs = (
        json.loads((root / "meta/stats.json").read_text())
        for root in (record(3, image=image, images=mode), fixtures / stock)
    )
    assert set(ours) == set(info(fixtures.parent.joinpath("fixtures", stock))["features"]) | set(ours)
    for key, entry in theirs.items():
        assert list(ours[key]) == list(entry), key
        assert kinds(ours[key]) == kinds(entry), key


@pytest.mark.parametrize(("stock", "image", "mode"), MODES)
def test_episode_index(record, fixtures, stock, image, mode) -> None:
    root = record(1, image=image, images=mode)
    ours, theirs = column_kinds(root / EPISODES), column_kinds(fixtures / stock / EPISODES)
    assert {name: ours.get(name) for name in theirs} == theirs
    assert [name for name in ours if name in theirs and not name.startswith("stats/")] == [
        name for name in theirs if not name.startswith("stats/")
    ]
    further = {name for name in ours if name not in theirs and not name.startswith("stats/")}
    assert further == set(META_TYPES)


def test_data_columns(record, fixtures) -> None:
    ours, theirs = pq.read_schema(record(1) / DATA), pq.read_schema(fixtures / "lerobot_v3_state" / DATA)
    for name in (*SHARED[1:], *BOOKKEEPING):
        assert ours.field(name).type == theirs.field(name).type, name
    described, stock = (json.loads(schema.metadata[b"huggingface"]) for schema in (ours, theirs))
    assert list(described) == list(stock)
    assert described["info"]["features"]["observation.state"] == stock["info"]["features"]["observation.state"]
    assert list(described["info"]["features"]) == ours.names


def test_tasks(record, fixtures) -> None:
    root = record(3)
    ours, theirs = (pq.read_table(r / "meta/tasks.parquet") for r in (root, fixtures / "lerobot_v3_state"))
    assert ours.to_pydict() == theirs.to_pydict()
    assert ours.schema.equals(theirs.schema)
    pandas = [json.loads(table.schema.metadata[b"pandas"]) for table in (ours, theirs)]
    for made in pandas:
        made.pop("creator"), made.pop("pandas_version")
    assert pandas[0] == pandas[1]


def test_image_mode_is_lerobots_image_type(record) -> None:
    root = record(1, image=16, images="image")
    table = pq.read_table(root / DATA)
    assert table.schema.field("observation.images.front").type == pa.struct(
        [("bytes", pa.binary()), ("path", pa.string())]
    )
    first = table.column("observation.images.front")[0].as_py()
    assert first["bytes"].startswith(b"\x89PNG") and first["path"] == "frame-000000.png"
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["observation.images.front"] == {"_type": "Image"}
    entry = info(root)["features"]["observation.images.front"]
    assert entry == {"dtype": "image", "shape": [16, 16, 3], "names": ["height", "width", "channels"]}
    assert info(root)["video_path"] is None


def test_a_plain_export_has_nothing_of_ours(record, fixtures, tmp_path) -> None:
    out = export(record(3, image=64), tmp_path / "plain", [2, 0])
    assert files(out) == files(fixtures / "lerobot_v3_video") and not (out / "extras").exists()
    assert not set(META_TYPES) & set(column_kinds(out / EPISODES))
    assert b"handrail" not in pq.read_schema(out / DATA).metadata
    table = pq.read_table(out / EPISODES).to_pydict()
    assert table["episode_index"] == [0, 1] and table["length"] == [10, 8]
    assert table["dataset_from_index"] == [0, 10] and table["tasks"] == [["wipe the board"], ["insert the tube"]]
    assert table["videos/observation.images.front/from_timestamp"] == [0.0, 1.0]
    assert pq.ParquetFile(out / DATA).num_row_groups == 2
