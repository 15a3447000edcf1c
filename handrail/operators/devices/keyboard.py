"""A person at a keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import numpy as np

from handrail.core.contracts import Clock
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Event, Intent, StepView
from handrail.operators.devices.engagement import Session, known_action_dim, positive
from handrail.operators.devices.keys import KeyEvent, KeySource, TerminalKeys

MOTION: Mapping[str, tuple[str, float]] = {
    "up": ("dx", 1.0),
    "down": ("dx", -1.0),
    "left": ("dy", 1.0),
    "right": ("dy", -1.0),
    "u": ("dz", 1.0),
    "j": ("dz", -1.0),
    "q": ("yaw", 1.0),
    "e": ("yaw", -1.0),
    "o": ("grip", 1.0),
    "c": ("grip", -1.0),
}
"""Key -> which part of the action, and its sign."""

EVENTS: Mapping[str, Event] = {
    "s": Event.SUCCESS,
    "f": Event.FAILURE,
    "r": Event.RERECORD,
    "space": Event.STOP,
    "escape": Event.STOP,
}
HELP = "arrows dx dy, u/j up down, q/e yaw, o/c open close, s success, f failure, r re-record, space or escape STOP"
DIMENSIONS = {4: ("dx", "dy", "dz", "grip"), 5: ("dx", "dy", "dz", "yaw", "grip")}


class Keyboard:
    """Keys to intents; a context manager that owns the key source. `HELP` lists the keys.

    A person takes over with the first motion key and hands back after `release_s` without one; in between the action is
    zero. STOP wins over every other key of the same step. A keyboard that is gone stops the robot.

    Args:
        action_dim: 4 (dx dy dz grip) or 5 (dx dy dz yaw grip).
        source: where keys come from; the terminal when not given.
        speed: share of the full action that a held key gives, in (0, 1].
        timeout_s: a key counts as held this long after its last repeat, where the source does not say that it went up.
        release_s: hands are off after this long without a motion key.
        drives: always at the controls, for demonstrations.
        clock: the machine's monotonic clock when not given.
    """

    def __init__(
        self,
        action_dim: int,
        source: KeySource | None = None,
        *,
        speed: float = 1.0,
        timeout_s: float = 0.25,
        release_s: float = 1.0,
        drives: bool = False,
        clock: Clock | None = None,
    ) -> None:
        if not 0.0 < speed <= 1.0:
            raise InvalidValueError(f"speed is {speed}, must be in (0, 1]: 1 is the full action")
        self._names = DIMENSIONS[known_action_dim(action_dim)]
        self._source: KeySource = source or TerminalKeys()
        self._speed, self._timeout_s = speed, positive("timeout_s", timeout_s)
        self._session = Session("keyboard", release_s, drives, clock)
        self._held: dict[str, float] = {}  # key -> when it was last heard of

    def __enter__(self) -> Keyboard:
        self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def reset(self, draw: int) -> None:
        """Forget keys pressed between episodes. A stop pressed there counts: it comes with the first intent.

        Raises:
            DeviceError: the keyboard was lost.
        """
        self._session.reset()
        self._held.clear()
        waiting = self._source.poll()
        self._stop_waiting = waiting is not None and _event(waiting) is Event.STOP

    def intent(self, view: StepView) -> Intent | None:
        events = self._source.poll()
        if events is None or self._session.lost:
            return self._session.lose("was closed")
        stop, self._stop_waiting = self._stop_waiting, False
        self._hear(events)
        action = self._action()
        return self._session.intent(action, bool(np.any(action)), Event.STOP if stop else _event(events))

    def _hear(self, events: list[KeyEvent]) -> None:
        """Update which motion keys are held. A key that went down and up within one step counts for that step."""
        now_s = self._session.now_s()
        if not self._source.reports_release:
            self._held = {key: at for key, at in self._held.items() if now_s - at < self._timeout_s}
        else:
            self._held = {key: at for key, at in self._held.items() if at >= 0.0}
        for event in events:
            if event.key not in MOTION:
                continue
            if event.down:
                self._held[event.key] = now_s
            elif event.key in self._held:
                self._release(event.key, tapped=self._held[event.key] == now_s)

    def _release(self, key: str, tapped: bool) -> None:
        if tapped:
            self._held[key] = -1.0  # this step only
        else:
            del self._held[key]

    def _action(self) -> Array:
        action = np.zeros(len(self._names), np.float32)
        for key in self._held:
            name, sign = MOTION[key]
            if name in self._names:
                action[self._names.index(name)] += sign
        action[:-1] *= self._speed
        return action


def _event(events: list[KeyEvent]) -> Event | None:
    """The event of this step: a stop, else the last one pressed."""
    said = [EVENTS[event.key] for event in events if event.down and event.key in EVENTS]
    return Event.STOP if Event.STOP in said else said[-1] if said else None
