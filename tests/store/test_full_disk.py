"""A full disk or a read-only folder: one clear line, and what was committed stays readable."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from handrail.core.clock import SECOND_NS, SimulatedClock
from handrail.core.errors import WriteError
from handrail.store import Dataset, DatasetWriter, EpisodeMeta, atomic, check, repair

META = EpisodeMeta("PickCube")
LINE = "no space left on device; committed episodes stay readable: free some space or make the folder writable"


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("survivors", range(7))
def test_a_disk_that_fills_up_during_a_commit(record, make_steps, monkeypatch, survivors) -> None:
    """fsync is where delayed allocation reports a full disk; let it fail at each file in turn, then free some space."""
    root = record(1)
    writer = DatasetWriter(root, 10)
    for step in make_steps(5):
        writer.add(step)
    real, calls = os.fsync, iter(range(100))
    monkeypatch.setattr(atomic.os, "fsync", lambda fd: full() if next(calls) >= survivors else real(fd))
    with pytest.raises(WriteError, match=LINE) as caught:
        writer.commit(META)
    assert "\n" not in str(caught.value)
    assert len(Dataset(root).episode(0)) == 8
    monkeypatch.undo()
    assert writer.commit(META) == 1
    writer.close()
    assert [len(episode) for episode in Dataset(root)] == [8, 5] and check(root) == []


def test_derived_files_may_wait_for_space(record, make_steps, monkeypatch) -> None:
    """After the commit itself nothing may be lost, or claimed to be."""
    root = record(1)
    writer = DatasetWriter(root, 10)
    for step in make_steps(5):
        writer.add(step)
    monkeypatch.setattr("handrail.store.writer.append_journal", full)
    assert writer.commit(META) == 1
    monkeypatch.undo()
    writer.close()
    assert Dataset(root).num_episodes == 2 and check(root) == []


CHILD = """
import resource
import sys
sys.path.insert(0, {folder!r})
from kill_rounds import step
from handrail.core.clock import SECOND_NS, SimulatedClock
from handrail.core.errors import WriteError
from handrail.store import DatasetWriter, EpisodeMeta
writer = DatasetWriter({root!r}, 10, images={images!r})
def episode(length):
    for i in range(length):
        writer.add(step(0, i % 4, {images!r} != "none"))
    return writer.commit(EpisodeMeta("Full"))
episode(4)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    episode(4000)
except WriteError as error:
    print(error)
"""


@pytest.mark.parametrize(("images", "limit"), [("none", 30_000), ("video", 2_000)])
def test_a_file_size_limit_in_a_real_process(tmp_path, images, limit) -> None:
    root = tmp_path / "set"
    code = CHILD.format(folder=str(Path(__file__).parent), root=str(root), images=images, limit=limit)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot write ") and done.stdout.count("\n") == 1, done.stdout
    assert "file too large; committed episodes stay readable" in done.stdout
    assert not [problem for problem in check(root) if problem.kind == "damaged"]
    repair(root)
    assert [len(episode) for episode in Dataset(root)] == [4] and check(root) == []


def test_a_folder_that_cannot_be_made(tmp_path) -> None:
    """A file where a folder should be refuses even root, whom permissions do not bind."""
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="not a directory; committed episodes stay readable"):
        DatasetWriter(tmp_path / "file" / "set", 10)


def test_a_read_only_set_is_readable(record, monkeypatch) -> None:
    root = record(2)
    (root / "extras/index.jsonl").unlink()
    (root / "meta/stats.json").unlink()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(atomic.os, "replace", refuse)
    assert len(Dataset(root).episode(1)) == 9
    with pytest.raises(WriteError, match="read-only file system; committed episodes stay readable"):
        DatasetWriter(root, 10)


def test_derived_files_are_written_at_most_once_a_second(tmp_path, make_steps) -> None:
    """A renamed-over file is flushed by the file system; fast simulations do not wait for that at every episode."""
    clock = SimulatedClock(10 * SECOND_NS)
    root = tmp_path / "set"

    def on_disk() -> int:
        return json.loads((root / "meta/info.json").read_text())["total_episodes"]

    with DatasetWriter(root, 10, clock=clock) as writer:
        seen = []
        for _ in range(4):
            for step in make_steps(2):
                writer.add(step)
            writer.commit(META)
            seen.append(on_disk())
            clock.sleep_until_ns(clock.now_ns() + SECOND_NS // 2)
        assert seen == [1, 1, 3, 3] and Dataset(root).num_episodes == 4
    assert on_disk() == 4 and check(root) == []
