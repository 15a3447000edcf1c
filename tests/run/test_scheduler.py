"""Several rates in one loop: exact on simulated time, counted on real time."""

from __future__ import annotations

import mujoco
import pytest

from handrail.core import SECOND_NS, RealClock, SimulatedClock
from handrail.core.errors import InvalidValueError
from handrail.core.stream import Stream
from handrail.run.scheduler import Loop, Scheduler
from handrail.tasks.physics import Tick, advance, now_ns

MS = 1_000_000
BALL = "<mujoco><option timestep='0.002'/><worldbody><body><freejoint/><geom size='0.1'/></body></worldbody></mujoco>"


def test_a_loop_acts_on_the_first_tick_at_or_after_its_nominal_time() -> None:
    clock, seen = SimulatedClock(), []
    scheduler = Scheduler(clock, 2 * MS, [Loop("odd", 7 * MS, lambda: seen.append(clock.now_ns()))])
    scheduler.run_until(100 * MS)
    assert seen == [-(-k * 7 // 2) * 2 * MS for k in range(15)]
    assert clock.now_ns() == 100 * MS
    assert (scheduler.counts["odd"].calls, scheduler.counts["odd"].missed, scheduler.overruns) == (15, 0, 0)


def test_the_rule_is_that_of_the_ticks_in_the_physics() -> None:
    model = mujoco.MjModel.from_xml_string(BALL)
    data, clock = mujoco.MjData(model), SimulatedClock()
    in_physics: dict[int, list[int]] = {30: [], 90: [], 500: []}
    on_clock: dict[int, list[int]] = {rate: [] for rate in in_physics}
    ticks = [Tick(SECOND_NS // rate, lambda seen=seen: seen.append(now_ns(data))) for rate, seen in in_physics.items()]
    loops = [Loop.at(rate, str(rate), lambda seen=seen: seen.append(clock.now_ns())) for rate, seen in on_clock.items()]
    scheduler = Scheduler(clock, 2 * MS, loops)
    for step in range(1, 51):
        advance(model, data, step * 0.02, ticks)
        scheduler.run_until(step * 20 * MS)
    assert [len(seen) for seen in on_clock.values()] == [30, 90, 500]
    assert on_clock == in_physics


def test_loops_due_together_act_in_their_order_and_reproduce() -> None:
    def run() -> list[tuple[str, int]]:
        clock, seen = SimulatedClock(), []
        names = ("sight", "hand", "device")
        loops = [
            Loop.at(rate, name, lambda name=name: seen.append((name, clock.now_ns())))
            for name, rate in zip(names, (20.0, 90.0, 500.0), strict=True)
        ]
        Scheduler(clock, 2 * MS, loops).run_until(SECOND_NS)
        return seen

    seen = run()
    assert seen == run()
    assert [name for name, at in seen if at == 0] == ["sight", "hand", "device"]
    assert [name for name, at in seen if at == 100 * MS] == ["sight", "hand", "device"]


def test_a_late_tick_is_counted_and_what_it_missed_is_not_made_up_for() -> None:
    clock, seen = SimulatedClock(), []

    def act() -> None:
        seen.append(clock.now_ns() // MS)
        if len(seen) == 3:
            clock.sleep_until_ns(clock.now_ns() + 11 * MS)  # a page fault

    scheduler = Scheduler(clock, 2 * MS, [Loop("device", 2 * MS, act), Loop("slow", 8 * MS, lambda: None)])
    scheduler.run_until(30 * MS)
    # 4 ms + 11 ms of work: the tick of 6 ms is late, and comes at 15 ms
    assert seen == [0, 2, 4, 15, 17, 19, 21, 23, 25, 27, 29]
    assert scheduler.overruns == 1
    assert (scheduler.counts["device"].calls, scheduler.counts["device"].missed) == (
        11,
        4,
    )  # 6, 8, 10, 12; 14 acts at 15
    assert (scheduler.counts["slow"].calls, scheduler.counts["slow"].missed) == (4, 0)  # 0, 8 at 15, 16 at 17, 24 at 25
    scheduler.start()
    assert (scheduler.overruns, scheduler.counts["device"].calls, scheduler.now_ns()) == (0, 0, 0)


def test_on_real_time_every_nominal_time_is_served_or_counted() -> None:
    scheduler = Scheduler(
        RealClock(), 2 * MS, [Loop.at(500, "device", lambda: None), Loop.at(30, "eyes", lambda: None)]
    )
    before_ns = 0
    while scheduler.now_ns() < 60 * MS:
        before_ns = scheduler.now_ns()
        scheduler.tick()
    for loop in scheduler.loops:
        count = scheduler.counts[loop.name]
        assert 1 + before_ns // loop.period_ns <= count.calls + count.missed <= 1 + scheduler.now_ns() // loop.period_ns
        assert count.calls >= 1


def test_streams_of_other_rates_join_without_the_loop_knowing() -> None:
    clock = SimulatedClock()
    streams = {rate: Stream(clock, 0.1) for rate in (20, 30, 90)}
    ages: dict[int, list[float]] = {rate: [] for rate in streams}
    sources = [Loop.at(rate, f"source {rate}", lambda s=stream: s.put(0)) for rate, stream in streams.items()]
    device = Loop.at(500, "device", lambda: [ages[rate].append(stream.age_s()) for rate, stream in streams.items()])
    Scheduler(clock, 2 * MS, [*sources, device]).run_until(2 * SECOND_NS)
    for rate, seen in ages.items():
        assert len(seen) == 1000
        assert 1 / rate - 0.004 < max(seen) < 1 / rate + 1e-9  # never older than a period, on a grid of 2 ms


def test_what_cannot_be_scheduled_is_refused() -> None:
    clock, idle = SimulatedClock(), Loop("idle", 5 * MS, lambda: None)
    with pytest.raises(InvalidValueError, match="tick_ns is 0, must be > 0: give the period of the fastest loop"):
        Scheduler(clock, 0, [])
    with pytest.raises(InvalidValueError, match=r"loop 'idle' has a period of 5000000 ns.*: lower tick_ns"):
        Scheduler(clock, 6 * MS, [idle])
    with pytest.raises(InvalidValueError, match=r"loops are named idle, idle, names must differ: rename one"):
        Scheduler(clock, MS, [idle, idle])
