"""Checkpoints: exact round trip, atomic replacement, and one line for everything that can be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import CheckpointError
from handrail.store import checkpoint

TENSORS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
    "count": np.array(7, np.int64),
    "flags": np.array([True, False]),
    "image": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
    "empty": np.zeros((0, 3), np.float32),
}


def saved(folder: Path, **meta: object) -> Path:
    checkpoint.save(folder, TENSORS, {"task": "PickCube", **meta})
    return folder


def test_round_trip_is_exact(tmp_path: Path):
    generator = np.random.default_rng(5)
    generator.random(3)
    folder = saved(tmp_path / "last", generator=generator.bit_generator.state, step=12)
    tensors, meta = checkpoint.load(folder, task="PickCube")
    assert tensors.keys() == TENSORS.keys()
    for key, value in TENSORS.items():
        assert tensors[key].dtype == value.dtype and tensors[key].shape == value.shape
        np.testing.assert_array_equal(tensors[key], value)
    again = np.random.default_rng()
    again.bit_generator.state = meta["generator"]
    assert again.random() == generator.random()
    assert meta["step"] == 12 and meta["git"]


def test_saving_again_replaces_the_whole_folder(tmp_path: Path):
    folder = saved(tmp_path / "last", step=1)
    checkpoint.save(folder, {"only": np.ones(1)}, {"step": 2})
    tensors, meta = checkpoint.load(folder)
    assert list(tensors) == ["only"] and meta["step"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_crash_before_the_rename_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = saved(tmp_path / "last", step=1)

    def crash(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", crash)
        saved(folder, step=2)
    assert checkpoint.load(folder)[1]["step"] == 1


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path: Path):
    folder = saved(tmp_path / "last", step=1)
    folder.rename(tmp_path / "last.old")
    assert checkpoint.exists(folder)
    assert checkpoint.load(folder)[1]["step"] == 1
    saved(folder, step=2)
    assert checkpoint.load(folder)[1]["step"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_exists(tmp_path: Path):
    assert not checkpoint.exists(tmp_path / "last")
    assert checkpoint.exists(saved(tmp_path / "last"))


def one_line(error: pytest.ExceptionInfo[CheckpointError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_error_missing(tmp_path: Path):
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(tmp_path / "none")
    assert "no complete checkpoint in" in one_line(error) and "done.json is missing" in str(error.value)


@pytest.mark.parametrize("name", ["tensors.safetensors", "meta.json"])
def test_error_one_byte_changed(tmp_path: Path, name: str):
    path = saved(tmp_path / "last") / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(tmp_path / "last")
    assert f"SHA-256 of {name} does not match" in one_line(error)


def test_error_done_is_not_json(tmp_path: Path):
    (saved(tmp_path / "last") / "done.json").write_text("{")
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(tmp_path / "last")
    assert "done.json is not JSON" in one_line(error)


def test_error_another_task(tmp_path: Path):
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(saved(tmp_path / "last"), task="TubeInsertion")
    assert "is of task 'PickCube', not 'TubeInsertion'" in one_line(error)


def test_error_meta_is_not_json(tmp_path: Path):
    with pytest.raises(CheckpointError) as error:
        checkpoint.save(tmp_path / "last", {}, {"array": np.ones(2)})
    assert "meta is not JSON" in one_line(error) and not (tmp_path / "last").exists()


def test_error_the_file_system_refuses(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError) as error:
        saved(tmp_path / "file" / "last")
    assert "cannot write checkpoint" in one_line(error)


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path: Path):
    folder = saved(tmp_path / "last")
    assert sorted(path.name for path in folder.iterdir()) == ["done.json", "meta.json", "tensors.safetensors"]
    hashes = json.loads((folder / "done.json").read_text())
    assert sorted(hashes) == ["meta.json", "tensors.safetensors"]
    assert all(len(digest) == 64 for digest in hashes.values())
