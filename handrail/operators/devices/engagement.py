"""When a device's signal counts as holding the robot: with a minimum length, so that no one-frame corrections occur."""

from __future__ import annotations

from handrail.core.clock import SECOND_NS, RealClock
from handrail.core.contracts import Clock
from handrail.core.errors import DeviceError, InvalidValueError
from handrail.core.values import Array, Event, Intent, TakeoverCause


class Engagement:
    """Hands on at the first input, hands off once there was none for `release_s`.

    Args:
        release_s: also the shortest intervention [s].
    """

    def __init__(self, release_s: float) -> None:
        self._release_s = positive("release_s", release_s)
        self.reset()

    def reset(self) -> None:
        self._last_input_s: float | None = None

    def update(self, active: bool, now_s: float) -> bool:
        """Take in whether there is input now; return whether the person holds the robot."""
        if active:
            self._last_input_s = now_s
        elif self._last_input_s is not None and now_s - self._last_input_s >= self._release_s:
            self._last_input_s = None
        return self._last_input_s is not None


class Session:
    """What every device operator shares: engagement, cause, and a stop that a lost device latches.

    A device that is lost in an episode stops the robot in that step and in every later one; the next `reset` raises
    `DeviceError`, so that no episode begins without a hand on the stop.

    Args:
        name: of the device, for messages.
        release_s: hands are off after this long without input [s].
        drives: always at the controls, for demonstrations.
        clock: the machine's monotonic clock when not given.
    """

    def __init__(self, name: str, release_s: float, drives: bool, clock: Clock | None) -> None:
        self.name, self.drives, self._clock = name, drives, clock or RealClock()
        self._engagement = Engagement(release_s)
        self.lost = ""

    def reset(self) -> None:
        """Hands off. Raises `DeviceError` when the device was lost."""
        if self.lost:
            raise DeviceError(f"{self.name} {self.lost}: connect it again and open it anew")
        self._engagement.reset()

    def now_s(self) -> float:
        return self._clock.now_ns() / SECOND_NS

    def lose(self, why: str) -> Intent:
        """Remember that the device is gone and stop."""
        self.lost = self.lost or why
        return Intent(event=Event.STOP)

    def intent(self, action: Array, active: bool, event: Event | None) -> Intent | None:
        """Combine motion (A,) and event; STOP carries no motion."""
        if event is Event.STOP:
            return Intent(event=event)
        holding = self._engagement.update(active, self.now_s())
        if self.drives:
            return Intent(action, event, TakeoverCause.DEMONSTRATION)
        if holding:
            return Intent(action, event)
        return None if event is None else Intent(event=event)


def positive(name: str, value: float) -> float:
    """Return `value`, or raise `InvalidValueError` unless it is > 0."""
    if not value > 0.0:
        raise InvalidValueError(f"{name} is {value}, must be > 0: give seconds, or leave the default")
    return value


def known_action_dim(value: int) -> int:
    """Return `value`, or raise `InvalidValueError` unless it is 4 (dx dy dz grip) or 5 (dx dy dz yaw grip)."""
    if value not in (4, 5):
        raise InvalidValueError(
            f"action_dim is {value}, must be 4 (dx dy dz grip) or 5 (dx dy dz yaw grip): take the task's"
        )
    return value
