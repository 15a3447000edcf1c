"""Clocks: exact simulated time, and monotonic real time with absolute deadlines. Nothing else may look at the time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .contracts import Clock

SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class SimulatedClock:
    """Time that passes only when somebody waits for it."""

    _now_ns: int = 0

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self._now_ns = max(self._now_ns, deadline_ns)


class RealClock:
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        remaining = deadline_ns - time.monotonic_ns()
        if remaining > 0:
            time.sleep(remaining / SECOND_NS)


class Pacer:
    """Holds a loop to a fixed period by absolute deadlines, and counts the ones it missed.

    Args:
        clock: where time comes from.
        period_ns: integer period [ns].
    """

    def __init__(self, clock: Clock, period_ns: int) -> None:
        self.clock, self.period_ns = clock, period_ns
        self.overruns = 0
        self.start()

    def start(self) -> None:
        """Begin an episode: the first deadline is one period from now."""
        self._started_ns = self.clock.now_ns()
        self._deadline_ns = self._started_ns

    def wait(self) -> float:
        """Sleep until the next deadline; return the time since `start` [s].

        A missed deadline is counted, not chased: the next one is a whole period later.
        """
        self._deadline_ns += self.period_ns
        if self.clock.now_ns() > self._deadline_ns:
            self.overruns += 1
            self._deadline_ns = self.clock.now_ns()
        self.clock.sleep_until_ns(self._deadline_ns)
        return self.elapsed_s()

    def elapsed_s(self) -> float:
        return (self.clock.now_ns() - self._started_ns) / SECOND_NS
