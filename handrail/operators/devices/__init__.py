"""Input devices for a person at the machine. What talks to hardware is imported only when a device is opened."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from handrail.core.errors import DeviceError, unknown_name
from handrail.operators.devices.engagement import Engagement
from handrail.operators.devices.gamepad import HELP as GAMEPAD_HELP
from handrail.operators.devices.gamepad import Gamepad, PadLayout
from handrail.operators.devices.keyboard import HELP as KEYBOARD_HELP
from handrail.operators.devices.keyboard import Keyboard
from handrail.operators.devices.keys import KeyEvent, KeySource, TerminalKeys, WindowKeys
from handrail.operators.devices.pad import PadSource, PadState, PygamePad, gamepad_names


@dataclass(frozen=True)
class Found:
    """One kind of device on this machine. `text` says what was found or what is missing."""

    name: str
    ready: bool
    text: str


def find_keyboard() -> Found:
    """A terminal to read keys from."""
    stdin = sys.__stdin__
    ready = stdin is not None and not stdin.closed and os.isatty(stdin.fileno())
    return Found("keyboard", ready, KEYBOARD_HELP if ready else "standard input is not a terminal: run it in one")


def find_window() -> Found:
    """A window system to read keys from."""
    try:
        with WindowKeys():
            return Found("keyboard-window", True, KEYBOARD_HELP)
    except DeviceError as error:
        return Found("keyboard-window", False, str(error))


def find_gamepad() -> Found:
    """A gamepad."""
    try:
        names = gamepad_names()
    except DeviceError as error:
        return Found("gamepad", False, str(error))
    return Found("gamepad", bool(names), f"{', '.join(names)}; {GAMEPAD_HELP}" if names else "none found: connect one")


DEVICES: dict[str, Callable[[], Found]] = {
    "keyboard": find_keyboard,
    "keyboard-window": find_window,
    "gamepad": find_gamepad,
}
"""Name -> looks for that device on this machine."""


def open_device(name: str, action_dim: int, drives: bool = False) -> Keyboard | Gamepad:
    """Build the operator of a device, still closed: use it in a `with` statement.

    Raises:
        UnknownNameError: there is no such device.
    """
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    if name == "gamepad":
        return Gamepad(action_dim, drives=drives)
    return Keyboard(action_dim, WindowKeys() if name == "keyboard-window" else TerminalKeys(), drives=drives)


__all__ = [
    "DEVICES",
    "Engagement",
    "Found",
    "Gamepad",
    "KeyEvent",
    "KeySource",
    "Keyboard",
    "PadLayout",
    "PadSource",
    "PadState",
    "PygamePad",
    "TerminalKeys",
    "WindowKeys",
    "open_device",
]
