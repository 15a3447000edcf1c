"""Finding and opening devices, and the verb for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from handrail.cli import devices as verb
from handrail.core.errors import InvalidValueError, UnknownNameError
from handrail.core.values import Event, Intent, StepView
from handrail.operators.devices import DEVICES, Gamepad, Keyboard, open_device


def test_open_device_by_name() -> None:
    assert isinstance(open_device("keyboard", 4), Keyboard)
    assert isinstance(open_device("keyboard-window", 4), Keyboard)
    assert isinstance(open_device("gamepad", 5), Gamepad)
    with pytest.raises(UnknownNameError, match="unknown device 'gampad': did you mean gamepad"):
        open_device("gampad", 4)


def test_list_has_one_line_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main(["list"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line[7:].split()[0] for line in lines] == list(DEVICES)


def test_unknown_action_and_device_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError, match="unknown devices action 'lst': did you mean list"):
        verb.main(["lst"])
    with pytest.raises(UnknownNameError, match="unknown device 'gampad'"):
        verb.main(["test", "gampad"])
    with pytest.raises(InvalidValueError, match="--seconds is 0, must be > 0"):
        verb.main(["test", "keyboard", "--seconds", "0"])
    with pytest.raises(SystemExit) as stop:
        verb.main(["test", "--secnds", "3"])
    assert stop.value.code == 2
    assert "did you mean --seconds" in capsys.readouterr().err


class Stopping:
    """Moves once, then stops."""

    def reset(self, draw: int) -> None:
        self._left = [None, Intent(event=Event.STOP)]

    def intent(self, view: StepView) -> Intent | None:
        return self._left.pop(0)


def test_listening_ends_with_stop(capsys: pytest.CaptureFixture[str]) -> None:
    verb.listen(Stopping(), seconds=60.0)
    said = capsys.readouterr().out
    assert "hands off" in said and said.rstrip().endswith("STOP")


def test_devices_load_no_hardware_library_and_no_simulator() -> None:
    heavy = ("pygame", "pynput", "mujoco", "torch")
    code = f"import sys, handrail.operators.devices; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
