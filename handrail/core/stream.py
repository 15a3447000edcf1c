"""A stream of commands between loops of different rates: the newest value, and how old it is."""

from __future__ import annotations

from typing import Generic, TypeVar

from .clock import SECOND_NS
from .contracts import Clock
from .errors import InvalidValueError

Value = TypeVar("Value")


class Stream(Generic[Value]):
    """A zero-order hold with a watchdog: readers get the newest value until it is older than `max_age_s`.

    One writer and any number of readers, also in other threads: value and stamp are replaced together. A stream of 20
    Hz and one of 90 Hz look the same to whoever reads them at 500 Hz.

    Args:
        clock: stamps what is put.
        max_age_s: older values are not handed out; a command that nobody renews must not act for ever.

    Raises:
        InvalidValueError: `max_age_s` is not positive.
    """

    def __init__(self, clock: Clock, max_age_s: float) -> None:
        if not max_age_s > 0.0:
            raise InvalidValueError(f"max_age_s is {max_age_s}, must be > 0: give a few periods of the stream")
        self._clock, self._max_age_ns = clock, round(max_age_s * SECOND_NS)
        self._newest: tuple[Value, int] | None = None

    def put(self, value: Value) -> None:
        self._newest = (value, self._clock.now_ns())

    def get(self) -> Value | None:
        """The newest value; None when nothing came yet, or nothing for `max_age_s`."""
        newest = self._newest
        if newest is None or self._clock.now_ns() - newest[1] > self._max_age_ns:
            return None
        return newest[0]

    def age_s(self) -> float:
        """Age of the newest value [s]; inf when nothing came yet."""
        newest = self._newest
        return float("inf") if newest is None else (self._clock.now_ns() - newest[1]) / SECOND_NS

    def clear(self) -> None:
        self._newest = None
