"""`handrail doctor`: each finding says what it saw and, where something is wrong, what to do."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from handrail.cli import doctor
from handrail.cli.doctor import (
    Finding,
    check_disk,
    check_mujoco,
    check_python,
    check_rendering,
    check_torch,
    check_writing,
)


def test_this_machine_passes() -> None:
    for finding in (check_python(), check_torch(), check_mujoco()):
        assert finding.good, finding


def test_a_frame_is_really_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    finding = check_rendering(timeout_s=120.0)
    assert finding.good, finding
    assert finding.text.startswith("MUJOCO_GL=egl, 64x64 in ")


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "RENDER", "raise ImportError('libEGL.so.1 is not there')")
    finding = check_rendering(timeout_s=60.0)
    assert not finding.good
    assert "ImportError: libEGL.so.1 is not there: sudo apt-get install -y libegl1" in finding.text


def test_a_driver_that_takes_its_process_down_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "RENDER", "import os; os.abort()")
    finding = check_rendering(timeout_s=60.0)
    assert not finding.good
    assert "exit code -6: sudo apt-get" in finding.text


def test_an_empty_frame_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "RENDER", "print(0, 1.0)")
    assert "draws an empty frame: sudo apt-get" in check_rendering(timeout_s=60.0).text


def test_a_driver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "RENDER", "import sys; sys.stdin = None\nwhile True: pass")
    finding = check_rendering(timeout_s=0.2)
    assert not finding.good
    assert "no frame in 0.2 s: try MUJOCO_GL=osmesa" in finding.text


@pytest.mark.parametrize(
    ("version", "good", "said"),
    [("3.8.1", True, "3.8.1"), ("3.10.0", False, "3.10.0 breaks the task packages: pip install 'mujoco<3.9'")],
)
def test_mujoco_too_new_is_refused(version: str, good: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    assert check_mujoco() == Finding("mujoco", good, said)


def test_mujoco_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert check_mujoco() == Finding("mujoco", False, "not installed: pip install -c constraints.txt -e '.[sim]'")


def test_too_little_room_is_found(tmp_path: Path) -> None:
    assert check_disk(tmp_path / "runs", 0.0).good
    finding = check_disk(tmp_path / "runs", 1e9)
    assert not finding.good
    assert finding.text.endswith("1e+09 GB needed: free some space, or give another --folder")


def test_write_access_leaves_nothing_behind(tmp_path: Path) -> None:
    assert check_writing(tmp_path / "runs" / "a").good
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_found() -> None:
    finding = check_writing(Path("/proc/runs"))
    assert not finding.good
    assert finding.text.endswith("give another --folder")


def test_exit_code_and_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen = [Finding("disk", True, "9 GB"), Finding("rendering", False, "no frame: do this")]
    monkeypatch.setattr(doctor, "findings", lambda config: iter(seen))
    assert doctor.main([]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "ok    disk       9 GB",
        "FAIL  rendering  no frame: do this",
        "1 to be put right: see the lines above",
    ]
    monkeypatch.setattr(doctor, "findings", lambda config: iter(seen[:1]))
    assert doctor.main([]) == 0
