"""Clocks: exact simulated time, absolute deadlines, counted overruns. Nothing here sleeps."""

from __future__ import annotations

from handrail.core import SECOND_NS, Clock, Pacer, RealClock, SimulatedClock

TENTH = SECOND_NS // 10


def work(clock: SimulatedClock, seconds: float) -> None:
    clock.sleep_until_ns(clock.now_ns() + round(seconds * SECOND_NS))


def test_simulated_time_passes_only_when_waited_for() -> None:
    clock = SimulatedClock()
    assert clock.now_ns() == 0
    clock.sleep_until_ns(7)
    clock.sleep_until_ns(3)
    assert clock.now_ns() == 7


def test_both_clocks_are_clocks() -> None:
    assert isinstance(SimulatedClock(), Clock)
    assert isinstance(RealClock(), Clock)


def test_real_clock_is_monotonic_and_past_deadlines_return_at_once() -> None:
    clock = RealClock()
    before = clock.now_ns()
    clock.sleep_until_ns(before - SECOND_NS)
    clock.sleep_until_ns(before + 1000)
    assert before + 1000 <= clock.now_ns() < before + SECOND_NS


def test_pacer_keeps_the_period_whatever_the_work_takes() -> None:
    clock = SimulatedClock()
    pacer = Pacer(clock, TENTH)
    stamps = []
    for seconds in (0.0, 0.02, 0.09, 0.1):
        work(clock, seconds)
        stamps.append(pacer.wait())
    assert stamps == [0.1, 0.2, 0.3, 0.4]
    assert pacer.overruns == 0


def test_missed_deadline_is_counted_and_not_chased() -> None:
    clock = SimulatedClock()
    pacer = Pacer(clock, TENTH)
    work(clock, 0.25)
    assert pacer.wait() == 0.25
    assert pacer.overruns == 1
    work(clock, 0.01)
    assert pacer.wait() == 0.35
    assert pacer.overruns == 1


def test_start_begins_a_new_episode() -> None:
    clock = SimulatedClock()
    pacer = Pacer(clock, TENTH)
    pacer.wait()
    work(clock, 3.0)
    pacer.start()
    assert pacer.elapsed_s() == 0.0
    assert pacer.wait() == 0.1
    assert pacer.overruns == 0


def test_periods_that_do_not_divide_a_second_do_not_drift() -> None:
    clock = SimulatedClock()
    pacer = Pacer(clock, SECOND_NS // 3)
    for _ in range(300):
        pacer.wait()
    assert clock.now_ns() == 300 * (SECOND_NS // 3)
