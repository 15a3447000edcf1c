"""The `handrail` command: the list of verbs, unknown verbs, and errors as one line with exit code 2."""

from __future__ import annotations

import errno
import subprocess
import sys
import types

import pytest

import handrail
from handrail.cli import main as command
from handrail.cli.main import VERBS, main, summary_of
from handrail.core import HandrailError, WriteError, unknown_name


def use_verb(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, code: int = 0) -> list[list[str]]:
    """Put a verb in place of `demo` that raises `error`, or returns `code`; returns the arguments it was given."""
    seen: list[list[str]] = []

    def run(argv: list[str]) -> int:
        seen.append(argv)
        if error is not None:
            raise error
        return code

    module = types.ModuleType("handrail.cli.demo")
    module.main = run  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "handrail.cli.demo", module)
    return seen


def line(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err.rstrip("\n")


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_alone_it_lists_the_verbs(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_summary_of_one_line(verb: str) -> None:
    summary = summary_of(verb)
    assert summary
    assert len(summary) <= 68, "does not fit beside the verb in 80 columns"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"handrail {handrail.__version__}\n"


def test_unknown_verb_answers_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "hil-serl"]) == 2
    assert line(capsys) == "handrail: unknown verb 'trian': did you mean train?"


def test_the_verb_gets_its_arguments_and_gives_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = use_verb(monkeypatch, None, code=7)
    assert main(["demo", "--seed", "1"]) == 7
    assert seen == [["--seed", "1"]]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (HandrailError("what, value,\n limit"), 2, "handrail: what, value, limit"),
        (unknown_name("task", "PickCub", ["PickCube"]), 2, "handrail: unknown task 'PickCub': did you mean PickCube?"),
        (WriteError("runs is full: free space"), 2, "handrail: runs is full: free space"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a.json"),
            2,
            "handrail: cannot write runs/a.json: the disk is full: free some space, or give another folder",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "runs"),
            2,
            "handrail: cannot write runs: the file system is read-only: give a folder that can be written",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs"),
            2,
            "handrail: cannot write runs: permission denied: give a folder that can be written",
        ),
        (
            ModuleNotFoundError("No module named 'rerun'", name="rerun.blueprint"),
            2,
            "handrail: 'demo' needs rerun, which is not installed: pip install 'handrail[view]'",
        ),
        (KeyboardInterrupt(), 130, "handrail: stopped by the keyboard; what was recorded is kept"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_errors_are_one_line(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_verb(monkeypatch, error)
    assert main(["demo"]) == code
    assert line(capsys) == said


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ModuleNotFoundError("?", name="nowhere"), OSError(5, "I/O")])
def test_a_bug_is_not_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    use_verb(monkeypatch, error)
    with pytest.raises(type(error)):
        main(["demo"])


@pytest.mark.parametrize(
    ("display", "chosen", "library", "result"),
    [
        ("", None, True, "egl"),
        ("", None, False, None),
        ("", "egl", False, None),
        ("", "osmesa", False, "osmesa"),
        (":0", None, True, None),
        (":0", "egl", True, "egl"),
    ],
)
def test_egl_is_chosen_where_there_is_no_screen(
    display: str, chosen: str | None, library: bool, result: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_can_load", lambda name: library)
    environment = {"DISPLAY": display} | ({"MUJOCO_GL": chosen} if chosen else {})
    monkeypatch.setattr(command.os, "environ", environment)
    command._render_without_a_screen()
    assert environment.get("MUJOCO_GL") == result


def test_python_m_handrail_is_the_command() -> None:
    argv = [sys.executable, "-m", "handrail", "doctr"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "handrail: unknown verb 'doctr': did you mean doctor?\n"
