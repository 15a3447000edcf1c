"""Several rates in one loop, on simulated or real time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from handrail.core.clock import SECOND_NS, Pacer
from handrail.core.contracts import Clock
from handrail.core.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class Loop:
    """Something that acts every `period_ns` [ns]; loops talk through `core.stream.Stream`s."""

    name: str
    period_ns: int
    act: Callable[[], None]

    @classmethod
    def at(cls, rate_hz: float, name: str, act: Callable[[], None]) -> Loop:
        """A loop of `rate_hz`, its period rounded to a nanosecond."""
        return cls(name, round(SECOND_NS / rate_hz), act)


@dataclass(slots=True)
class Count:
    """How one loop fared: `calls`, and nominal times at which it should have acted and did not."""

    calls: int = 0
    missed: int = 0


class Scheduler:
    """Calls each loop on the first tick at or after its nominal times 0, P, 2 P, ...; rates need not divide.

    Loops that are due at the same tick act in the order given. On a `SimulatedClock` every run is the same, to the
    nanosecond. On a `RealClock` ticks have absolute deadlines: a late tick is counted in `overruns`, and nominal times
    that passed meanwhile in the `missed` of their loop: they are not made up for, since old commands are worth nothing.
    (`tasks.physics.Tick` is the same rule for loops that hang in MuJoCo's own steps.)

    Args:
        clock: where time comes from.
        tick_ns: the shortest period there is [ns]; all loops act on ticks.
        loops: what to run.

    Raises:
        InvalidValueError: `tick_ns` is not positive, a loop is faster than the ticks, or two loops share a name.
    """

    def __init__(self, clock: Clock, tick_ns: int, loops: Sequence[Loop]) -> None:
        if tick_ns <= 0:
            raise InvalidValueError(f"tick_ns is {tick_ns}, must be > 0: give the period of the fastest loop")
        for loop in loops:
            if loop.period_ns < tick_ns:
                raise InvalidValueError(
                    f"loop '{loop.name}' has a period of {loop.period_ns} ns, shorter than the tick of {tick_ns} ns: "
                    "lower tick_ns"
                )
        if len({loop.name for loop in loops}) < len(loops):
            raise InvalidValueError(
                f"loops are named {', '.join(loop.name for loop in loops)}, names must differ: rename one"
            )
        self.clock, self.loops = clock, tuple(loops)
        self._pacer = Pacer(clock, tick_ns)
        self.start()

    def start(self) -> None:
        """Begin anew: time 0 is now, every loop is due, and all counts are zero."""
        self._pacer.start()
        self._pacer.overruns = 0
        self._started_ns = self.clock.now_ns()
        self._next_ns = [0] * len(self.loops)
        self.counts = {loop.name: Count() for loop in self.loops}

    @property
    def overruns(self) -> int:
        """Ticks that came late."""
        return self._pacer.overruns

    def now_ns(self) -> int:
        """Time since `start` [ns]."""
        return self.clock.now_ns() - self._started_ns

    def tick(self) -> None:
        """Let every loop that is due act, then wait for the next tick."""
        now_ns = self.now_ns()
        for index, loop in enumerate(self.loops):
            late_ns = now_ns - self._next_ns[index]
            if late_ns < 0:
                continue
            loop.act()
            count, missed = self.counts[loop.name], late_ns // loop.period_ns
            count.calls += 1
            count.missed += missed
            self._next_ns[index] += (1 + missed) * loop.period_ns
        self._pacer.wait()

    def run_until(self, end_ns: int) -> None:
        """Tick until `end_ns` [ns] since `start`; what is due exactly then acts in the next run."""
        while self.now_ns() < end_ns:
            self.tick()
