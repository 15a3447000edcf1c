"""Recordings of others become the step record; a hostile pickle does not."""

from __future__ import annotations

import collections
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from handrail.core.errors import CorruptError, InvalidValueError, NonFiniteError, SchemaError, UnknownNameError
from handrail.core.values import Authority, TakeoverCause
from handrail.store import Dataset, check
from handrail.store.importers import Options, import_dataset
from handrail.store.importers.hil_serl import load
from handrail.store.video import encode_png


def episode_json(folder: Path, name: str = "a", steps: int = 5, **changes: Any) -> Path:
    """Write an episode JSON with its images; `changes` go into step 2."""
    folder.mkdir(exist_ok=True)
    rows = []
    for i in range(steps):
        for camera in ("wrist", "third"):
            image = np.full((32, 48, 3), 40 * i + (camera == "third"), np.uint8)
            (folder / f"{name}-{camera}-{i}.png").write_bytes(encode_png(image))
        rows.append(
            {
                "t": i * 0.05,
                "wrist_rgb": f"{name}-wrist-{i}.png",
                "third_rgb": f"{name}-third-{i}.png",
                "ee_pose": [0.1 * i, 0, 0.2, 0, 0, 0, 1],
                "action": [0.01 * i] * 7,
                "human_intervene": i in (2, 3),
            }
        )
    rows[2] |= changes
    content = {"task": "insert", "instruction": "insert the tube", "success": True, "steps": rows}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def test_episode_json(tmp_path) -> None:
    episode_json(tmp_path / "src", "a"), episode_json(tmp_path / "src", "b", 7)
    assert import_dataset(tmp_path / "src", tmp_path / "out", options=Options(images="image")) == [0, 1]
    dataset = Dataset(tmp_path / "out")
    assert dataset.fps == 20 and [len(episode) for episode in dataset] == [5, 7] and check(tmp_path / "out") == []
    steps = dataset.episode(0).steps(images=True)
    assert [step.intervention for step in steps] == [False, False, True, True, False]
    assert steps[2].authority is Authority.OPERATOR and steps[2].takeover_cause is TakeoverCause.MANUAL
    np.testing.assert_allclose(steps[2].operator_action, np.full(7, 0.02), atol=1e-7)
    np.testing.assert_allclose(steps[3].observation["state"], [0.3, 0, 0.2, 0, 0, 0, 1], atol=1e-6)
    assert steps[4].terminated and steps[4].success and steps[4].reward == 1.0
    assert steps[1].observation["images.wrist"].shape == (32, 48, 3)
    assert (steps[1].observation["images.third"] == 41).all()
    meta = dataset.meta(0)
    assert (meta.task, meta.instruction, meta.success) == ("insert", "insert the tube", True)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"action": [0.0] * 6}, SchemaError, r"steps\[2\].action has 6 numbers, not 7"),
        ({"action": "left"}, SchemaError, r"steps\[2\].action is str, not numbers"),
        ({"action": [float("nan")] * 7}, NonFiniteError, r"action of step 2 holds nan"),
        ({"wrist_rgb": "gone.png"}, CorruptError, r"steps\[2\].wrist_rgb = gone.png cannot be read"),
        ({"wrist_rgb": "a.json"}, CorruptError, r"steps\[2\].wrist_rgb = a.json cannot be read"),
    ],
)
def test_bad_episode_json_is_one_line(tmp_path, changes, error, text) -> None:
    source = episode_json(tmp_path, **changes)
    with pytest.raises(error, match=text) as caught:
        import_dataset(source, tmp_path / "out", options=Options(images="image"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [("{", CorruptError), ("[]", SchemaError), ('{"steps": []}', SchemaError), ('{"steps": [{"t": 0}]}', SchemaError)],
)
def test_what_is_no_episode_json(tmp_path, text, error) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(error):
        import_dataset(tmp_path / "x.json", tmp_path / "out")


def renamed_column(root: Path, old: str, new: str) -> None:
    """Call a feature of a stock dataset by another name, as LeRobot's HIL recordings do."""
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.rename_columns([new if name == old else name for name in table.column_names]), path)
    info = json.loads((root / "meta/info.json").read_text())
    info["features"] = {new if key == old else key: entry for key, entry in info["features"].items()}
    (root / "meta/info.json").write_text(json.dumps(info))


@pytest.mark.parametrize("name", ["intervention", "complementary_info.is_intervention"])
@pytest.mark.parametrize("stock", ["lerobot_v3_state", "lerobot_v3_video"])
def test_lerobot(tmp_path, fixtures, name, stock) -> None:
    source = tmp_path / "src"
    shutil.copytree(fixtures / stock, source)
    expected = pq.read_table(source / "data/chunk-000/file-000.parquet").column("intervention").to_pylist()
    if name != "intervention":
        renamed_column(source, "intervention", name)
    assert import_dataset(source, tmp_path / "out") == [0, 1, 2]
    dataset = Dataset(tmp_path / "out")
    steps = [step for episode in dataset for step in episode.steps()]
    assert [step.intervention for step in steps] == expected and sum(expected) == 11
    assert [step.authority is Authority.OPERATOR for step in steps] == expected
    assert [len(episode) for episode in dataset] == [8, 10, 12] and dataset.meta(2).instruction == "wipe the board"
    assert steps[7].terminated and steps[7].reward == 1.0 and dataset.meta(0).success
    assert check(tmp_path / "out") == []
    if stock.endswith("video"):
        assert dataset.episode(1).images("front").shape == (10, 64, 64, 3)


def test_our_own_sets_come_back_whole(record, tmp_path) -> None:
    root = record(2)
    import_dataset(root, tmp_path / "out")
    for a, b in zip(Dataset(root), Dataset(tmp_path / "out"), strict=True):
        assert a.meta == b.meta
        for key, values in a.columns.items():
            assert (b.columns[key] == values).all(), key


def transitions(length: int = 6, **first: Any) -> list[dict[str, Any]]:
    """Two episodes of `length` as HIL-SERL stores them: observations stacked in time, images included."""
    made = []
    for i in range(2 * length):
        last = i % length == length - 1

        def seen(at: int) -> dict[str, np.ndarray]:
            return {"state": np.full((1, 19), at, np.float32), "wrist": np.full((1, 16, 16, 3), at, np.uint8)}

        made.append(
            {
                "observations": seen(i),
                "next_observations": seen(i + 1),
                "actions": np.full(7, 0.1, np.float32),
                "rewards": np.float64(last and i > length),
                "masks": 1.0 - last,
                "dones": last,
                "infos": {"intervene_action": np.full(7, 0.1)} if i in (1, 2) else {"succeed": last and i > length},
            }
        )
    made[0] |= first
    return made


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_hil_serl(tmp_path, protocol) -> None:
    path = tmp_path / "transitions_0.pkl"
    path.write_bytes(pickle.dumps(transitions(), protocol=protocol))
    assert import_dataset(path, tmp_path / "out", options=Options("image", task="RAM")) == [0, 1]
    dataset = Dataset(tmp_path / "out")
    steps = dataset.episode(0).steps(images=True)
    assert [step.intervention for step in steps] == [False, True, True, False, False, False]
    assert steps[3].observation["state"].shape == (19,) and steps[3].observation["state"][0] == 3
    assert (steps[3].observation["images.wrist"] == 3).all() and steps[5].next_observation["state"][0] == 6
    assert (steps[5].next_observation["images.wrist"] == 6).all()
    assert steps[5].terminated and not dataset.meta(0).success and dataset.meta(1).success
    assert dataset.meta(0).task == "RAM" and check(tmp_path / "out") == []


def test_hil_serl_demonstrations_are_no_interventions(tmp_path) -> None:
    (tmp_path / "demo.pkl").write_bytes(pickle.dumps(transitions()))
    import_dataset(tmp_path / "demo.pkl", tmp_path / "out", "hil-serl", Options("none", demonstrations=True))
    steps = Dataset(tmp_path / "out").episode(0).steps()
    assert {step.takeover_cause for step in steps} == {TakeoverCause.DEMONSTRATION}
    assert not any(step.intervention for step in steps)


def test_time_running_out_is_not_termination(tmp_path) -> None:
    content = transitions(3)[:3]
    content[2]["masks"] = 1.0
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    import_dataset(tmp_path / "a.pkl", tmp_path / "out", options=Options("none"))
    last = Dataset(tmp_path / "out").episode(0).steps()[-1]
    assert last.truncated and not last.terminated


class Runs:
    """Unpickles by calling `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile(tmp_path: Path) -> list[tuple[str, bytes]]:
    import os
    import subprocess

    marker = str(tmp_path / "ran")
    return [
        ("posix.system", pickle.dumps([Runs(os.system, f"touch {marker}")])),
        ("builtins.eval", pickle.dumps(Runs(eval, f"open({marker!r}, 'w')"))),
        ("builtins.exec", pickle.dumps(transitions(infos=Runs(exec, f"open({marker!r}, 'w')")))),
        ("subprocess.Popen", pickle.dumps(Runs(subprocess.Popen, ["touch", marker]))),
        ("builtins.getattr", pickle.dumps(Runs(getattr, "text", "encode"))),
        ("numpy.load", pickle.dumps(Runs(np.load, marker, None, True))),
        ("os.system", b"cos\nsystem\n(S'touch " + marker.encode() + b"'\ntR."),
        ("numpy.core.os.system", b"\x80\x04\x8c\x0anumpy.core\x8c\x09os.system\x93\x8c\x04true\x85R."),
        ("collections.Counter", pickle.dumps(collections.Counter("aa"))),
    ]


@pytest.mark.parametrize("number", range(9))
def test_hostile_pickles_are_refused_by_name_and_nothing_runs(tmp_path, number) -> None:
    name, payload = hostile(tmp_path)[number]
    path = tmp_path / "x.pkl"
    path.write_bytes(payload)
    with pytest.raises(SchemaError, match=rf"refused: the file wants '{name}'.*only NumPy arrays and plain") as caught:
        import_dataset(path, tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"garbage",
        pickle.dumps(transitions())[:200],
        b"\x80\x04\x8c\x07_codecs\x8c\x06encode\x93\x8c\x01a\x8c\x03hex\x86R.",
    ],
)
def test_damaged_pickles(tmp_path, payload) -> None:
    (tmp_path / "x.pkl").write_bytes(payload)
    with pytest.raises(CorruptError, match="is not a readable transition file"):
        load(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"a": 1}, "holds dict, not a list of transitions"),
        ([{"actions": 1}], "transition 0 lacks 'observations'"),
        ([3], "transition 0 lacks"),
    ],
)
def test_pickles_of_something_else(tmp_path, content, text) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(SchemaError, match=text):
        import_dataset(tmp_path / "x.pkl", tmp_path / "out")


def test_what_cannot_be_imported(tmp_path) -> None:
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(InvalidValueError, match="is none of lerobot, episode-json, hil-serl"):
        import_dataset(tmp_path / "x.csv", tmp_path / "out")
    with pytest.raises(InvalidValueError, match="gone does not exist"):
        import_dataset(tmp_path / "gone", tmp_path / "out")
    with pytest.raises(UnknownNameError, match="unknown import format 'lerobt': did you mean lerobot"):
        import_dataset(tmp_path / "x.csv", tmp_path / "out", "lerobt")
    with pytest.raises(SchemaError, match=r"holds no \.json file"):
        import_dataset(tmp_path, tmp_path / "out", "episode-json")
