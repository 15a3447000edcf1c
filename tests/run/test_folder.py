"""A run folder: what it forgets, what it refuses, and what it leaves alone."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import CheckpointError, WriteError
from handrail.run.folder import RunFolder
from handrail.store import checkpoint

CONFIG = {"system": "hil-serl", "seed": 0, "config": {"online_steps": 600, "rlpd": {"hidden": (32, 32)}}}


@pytest.fixture
def begun(tmp_path: Path) -> RunFolder:
    out = RunFolder(tmp_path / "run")
    out.write_config(CONFIG)
    for steps in (100, 200, 300):
        out.log("episode", online_steps=steps)
    checkpoint.save(out.checkpoint, {"x": np.zeros(1)}, {"task": "PickCube"})
    return out


def test_config_comes_back_with_where_it_came_from(begun: RunFolder) -> None:
    read = RunFolder.open(begun.path).read_config()
    assert read["config"]["rlpd"]["hidden"] == [32, 32] and {"git", "command", "machine"} <= read.keys()


def test_rewinding_forgets_later_lines_and_a_torn_one(begun: RunFolder) -> None:
    with (begun.path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "episode", "onl')
    begun.rewind(200)
    assert [line["online_steps"] for line in begun.lines("episode")] == [100, 200]


def test_clearing_leaves_what_is_not_a_runs(begun: RunFolder) -> None:
    """`--out ~` must not cost anybody their home."""
    (begun.path / "thesis.tex").write_text("years of work")
    (begun.path / "letters").mkdir()
    for films in (begun.prevented, begun.comparison):
        films.mkdir()
    begun.clear()
    assert sorted(path.name for path in begun.path.iterdir()) == ["letters", "thesis.tex"]
    assert not begun.has_checkpoint()


def test_a_run_goes_on_only_as_it_was_begun(begun: RunFolder) -> None:
    begun.require_same(CONFIG)
    for changed, text in (
        ({**CONFIG, "seed": 1}, "was begun with seed 0, not 1: give another folder, or begin afresh"),
        ({**CONFIG, "config": {"online_steps": 900}}, "was begun with config.online_steps 600, not 900"),
    ):
        with pytest.raises(CheckpointError, match=text):
            begun.require_same(changed)


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no run folder \(no config.json\): give one that 'handrail train'"):
        RunFolder.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"cannot write run folder .*: choose another with --out"):
        RunFolder(tmp_path / "file" / "run")


def test_a_full_disk_is_a_write_error(begun: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("handrail.run.folder._append", full)
    with pytest.raises(WriteError, match=r"cannot write .*metrics.jsonl: no space left on device"):
        begun.log("episode", online_steps=400)
