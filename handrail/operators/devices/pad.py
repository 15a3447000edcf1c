"""Where gamepad readings come from: pygame, or a list in a test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from handrail.core.clock import SECOND_NS, RealClock
from handrail.core.contracts import Clock
from handrail.core.errors import DeviceError


@dataclass(frozen=True, slots=True)
class PadState:
    """One reading; sticks are in [-1, 1], `stamp_s` is when the device was last heard of, on the operator's clock."""

    axes: tuple[float, ...]
    buttons: tuple[bool, ...]
    stamp_s: float


class PadSource(Protocol):
    """Something with sticks and buttons, opened as a context manager."""

    def __enter__(self) -> PadSource: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def read(self) -> PadState | None:
        """The present reading, without waiting; None when the device is unplugged."""
        ...


class PygamePad:
    """A gamepad through pygame, without a window.

    Args:
        index: which one, in pygame's order.
        clock: stamps the readings; the machine's monotonic clock when not given.
    """

    def __init__(self, index: int = 0, clock: Clock | None = None) -> None:
        self._index, self._clock = index, clock or RealClock()
        self._pygame: Any = None
        self._pad: Any = None

    def __enter__(self) -> PygamePad:
        self._pygame = load_pygame()
        self._pygame.display.init()  # events need it; pygame.init() would look for a sound card too
        self._pygame.joystick.init()
        found = self._pygame.joystick.get_count()
        if self._index >= found:
            self._close()
            raise DeviceError(
                f"gamepad {self._index} is not there, {found} found: connect one, then `handrail devices list`"
            )
        self._pad = self._pygame.joystick.Joystick(self._index)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def read(self) -> PadState | None:
        if self._pad is None:
            return None
        gone = [event.instance_id for event in self._pygame.event.get(self._pygame.JOYDEVICEREMOVED)]
        if self._pad.get_instance_id() in gone:
            self._pad = None
            return None
        self._pygame.event.pump()
        axes = tuple(float(self._pad.get_axis(i)) for i in range(self._pad.get_numaxes()))
        buttons = tuple(bool(self._pad.get_button(i)) for i in range(self._pad.get_numbuttons()))
        return PadState(axes, buttons, self._clock.now_ns() / SECOND_NS)

    def _close(self) -> None:
        self._pad = None
        if self._pygame is not None:
            self._pygame.joystick.quit()
            self._pygame.quit()
            self._pygame = None


def load_pygame() -> Any:
    """Import pygame so that it needs no screen and says nothing; raises `DeviceError` where it is missing."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        raise DeviceError("gamepad needs pygame, which is not installed: pip install 'handrail[devices]'") from error
    return pygame


def gamepad_names() -> list[str]:
    """Names of the connected gamepads, in pygame's order."""
    pygame = load_pygame()
    pygame.display.init()
    try:
        pygame.joystick.init()
        return [pygame.joystick.Joystick(i).get_name() for i in range(pygame.joystick.get_count())]
    finally:
        pygame.quit()
