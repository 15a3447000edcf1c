"""Where key presses come from: a terminal, a window system, or a list in a test."""

from __future__ import annotations

import os
import queue
import select
import sys
import termios
import tty
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from handrail.core.errors import DeviceError


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One key going down (or repeating), or up."""

    key: str  # a printable character, or up down left right space escape
    down: bool = True


class KeySource(Protocol):
    """Something with keys, opened as a context manager. `reports_release` is False where keys go up unseen."""

    reports_release: bool

    def __enter__(self) -> KeySource: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def poll(self) -> list[KeyEvent] | None:
        """What happened since the last poll, without waiting; None when the keyboard is gone."""
        ...


ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
CHUNK_BYTES = 4096


class TerminalKeys:
    """The keys of a terminal, read without waiting and without echo; the terminal is put back however this ends.

    A terminal repeats a held key and never says that it went up. Control-C still interrupts.

    Args:
        fd: file descriptor of the terminal; standard input when not given.
    """

    reports_release = False

    def __init__(self, fd: int | None = None) -> None:
        self._fd = sys.__stdin__.fileno() if fd is None and sys.__stdin__ is not None else -1 if fd is None else fd
        self._saved: list[Any] | None = None

    def __enter__(self) -> TerminalKeys:
        if self._fd < 0 or not os.isatty(self._fd):
            raise DeviceError(
                "keyboard needs a terminal, standard input is not one: run it in a terminal, without a pipe"
            )
        self._saved = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        saved, self._saved = self._saved, None
        if saved is None:
            return
        try:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, saved)
        except termios.error:  # the terminal itself is gone: nothing is left to be put back
            return

    def poll(self) -> list[KeyEvent] | None:
        try:
            readable, _, _ = select.select([self._fd], [], [], 0.0)
            data = os.read(self._fd, CHUNK_BYTES) if readable else None
        except OSError:
            return None
        if data is None:
            return []
        return None if data == b"" else [KeyEvent(key) for key in decode(data.decode("utf-8", errors="replace"))]


def decode(text: str) -> list[str]:
    """Turn what a terminal sent into key names. Sequences of other special keys are left out; a lone escape is one."""
    keys: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == "\x1b" and text[at + 1 : at + 2] in ("[", "O"):
            end = at + 2
            while end < len(text) and not "@" <= text[end] <= "~":  # parameters come before the final byte
                end += 1
            name = ARROWS.get(text[end : end + 1])
            keys += [] if name is None else [name]
            at = end + 1
            continue
        keys.append({"\x1b": "escape", " ": "space"}.get(text[at], text[at].lower()))
        at += 1
    return keys


class WindowKeys:
    """The keys of the window system through pynput, whichever window has the focus; they also say when they go up."""

    reports_release = True

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[KeyEvent] = queue.SimpleQueue()
        self._listener: Any = None

    def __enter__(self) -> WindowKeys:
        try:
            from pynput import keyboard
        except ImportError as error:  # not installed, or no display: pynput says both this way
            raise DeviceError(
                f"keyboard window source needs pynput and a display ({_first_line(error)}): "
                "pip install 'handrail[devices]', or use the terminal"
            ) from error
        self._listener = keyboard.Listener(
            on_press=lambda key: self._put(key, True), on_release=lambda key: self._put(key, False)
        )
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()

    def poll(self) -> list[KeyEvent] | None:
        if self._listener is None or not self._listener.is_alive():
            return None
        events: list[KeyEvent] = []
        while not self._events.empty():
            events.append(self._events.get())
        return events

    def _put(self, key: Any, down: bool) -> None:
        name: str | None = getattr(key, "char", None) or getattr(key, "name", None)
        if name is not None:
            self._events.put(KeyEvent("escape" if name == "esc" else name.lower(), down))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
