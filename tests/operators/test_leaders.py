"""The loop between a leader and the robot: coupling, limits, watchdog; on simulated and on real time."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.core import SECOND_NS, RealClock, SimulatedClock
from handrail.core.errors import InvalidValueError, NonFiniteError
from handrail.operators.leaders import DIM, PERIOD_NS, BothArms, Guide, LeaderArm, LeaderConfig, LeaderLoop
from handrail.operators.replicas import SimulatedLeaders
from handrail.run.scheduler import Loop, Scheduler

HOME = np.tile([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5], 2)
CONFIG = LeaderConfig()


class Bench:
    """A device on a table: it is where it was put, and remembers what it was told."""

    def __init__(self, q: np.ndarray) -> None:
        self.q, self.qd, self.torque = q, np.zeros_like(q), np.full_like(q, np.nan)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return self.q, self.qd

    def apply(self, torque: np.ndarray) -> None:
        self.torque = torque


class Push:
    """Guidance of one constant torque while there is a guide."""

    def __init__(self, torque: float = 0.1) -> None:
        self.torque_max = np.full(DIM, torque)
        self.last = np.zeros(DIM)

    def reset(self) -> None:
        self.last = np.zeros(DIM)

    def torque(self, q: np.ndarray, qd: np.ndarray, guide: Guide | None, dissipated_j: float) -> np.ndarray:
        self.last = self.torque_max * (0.0 if guide is None else guide.level)
        return self.last


def rig(arm: LeaderArm, follower: np.ndarray | None = None) -> tuple[SimulatedClock, LeaderLoop]:
    clock = SimulatedClock()
    loop = LeaderLoop(arm, clock, Push())
    if follower is not None:
        loop.follower.put(follower)
    return clock, loop


def test_simulated_and_joined_arms_are_leader_arms() -> None:
    leaders = SimulatedLeaders()
    assert isinstance(leaders, LeaderArm)
    left, right = Bench(np.arange(7.0)), Bench(np.arange(7.0) + 7)
    both = BothArms(left, right)
    assert isinstance(both, LeaderArm)
    assert np.array_equal(both.read()[0], np.arange(14.0))
    both.apply(np.arange(14.0))
    assert np.array_equal(left.torque, np.arange(7.0))
    assert np.array_equal(right.torque, np.arange(7.0) + 7)


def test_coupling_is_a_saturated_spring_to_the_follower_and_a_damper() -> None:
    arm = Bench(HOME)
    arm.qd = np.full(DIM, 0.5)
    offset = np.tile([0.1, -0.1, 5.0, -5.0, 0.2, 0.0, 0.3], 2)
    _, loop = rig(arm, HOME + offset)
    loop.act()
    k, top, d = (np.tile(v, 2) for v in (CONFIG.stiffness, CONFIG.stiffness_max, CONFIG.damping))
    np.testing.assert_allclose(arm.torque, np.clip(k * offset, -top, top) - d * 0.5, atol=1e-12)


def test_torque_never_exceeds_its_limit() -> None:
    arm, limit = Bench(HOME), np.tile(CONFIG.torque_limit, 2)
    _, loop = rig(arm, HOME + 100.0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        arm.qd = rng.normal(0.0, 50.0, DIM)
        loop.act()
        assert (np.abs(arm.torque) <= limit).all()
    arm.qd = np.full(DIM, -1000.0)
    loop.act()
    assert np.array_equal(arm.torque, limit)


def test_watchdog_lets_go_when_the_follower_falls_silent() -> None:
    arm = Bench(HOME)
    clock, loop = rig(arm)
    loop.act()
    assert loop.holding  # nothing was heard yet
    assert np.array_equal(arm.torque, np.zeros(DIM))
    loop.follower.put(HOME + 0.1)
    loop.guide.put(Guide(HOME, 1.0))
    clock.sleep_until_ns(SECOND_NS // 10)
    loop.act()
    assert not loop.holding
    assert (arm.torque > 0.0).all()
    clock.sleep_until_ns(SECOND_NS // 10 + 1)
    loop.act()
    assert loop.holding
    assert np.array_equal(arm.torque, np.zeros(DIM))
    loop.follower.put(HOME + 0.1)
    loop.act()
    assert not loop.holding


def test_guidance_that_is_not_renewed_ends_and_the_coupling_stays() -> None:
    arm = Bench(HOME)
    clock, loop = rig(arm, HOME)
    loop.guide.put(Guide(HOME, 0.5))
    loop.act()
    np.testing.assert_allclose(arm.torque, 0.05)
    clock.sleep_until_ns(SECOND_NS // 10 + 1)
    loop.follower.put(HOME)
    loop.act()
    np.testing.assert_allclose(arm.torque, 0.0)
    assert not loop.holding


@pytest.mark.parametrize(("what", "text"), [("q", "leader joints holds nan"), ("qd", "leader velocities holds inf")])
def test_a_broken_reading_leaves_the_arm_without_torque(what: str, text: str) -> None:
    arm = Bench(HOME)
    _, loop = rig(arm, HOME + 0.1)
    loop.act()
    assert arm.torque.any()
    setattr(arm, what, np.full(DIM, np.nan if what == "q" else np.inf))
    with pytest.raises(NonFiniteError, match=text), np.errstate(invalid="ignore"):
        loop.act()
    assert np.array_equal(arm.torque, np.zeros(DIM))


def test_guidance_that_is_not_a_number_leaves_the_arm_without_torque() -> None:
    arm = Bench(HOME)
    _, loop = rig(arm, HOME + 0.1)
    loop.guide.put(Guide(HOME, float("nan")))
    with pytest.raises(NonFiniteError, match="leader torque holds nan"):
        loop.act()
    assert np.array_equal(arm.torque, np.zeros(DIM))


def test_a_limit_that_would_cut_into_guidance_is_refused() -> None:
    with pytest.raises(
        InvalidValueError,
        match=r"torque_limit of leader joint 6 is 0.5 N m, coupling, damping and guidance need 5.16: raise it or lower",
    ):
        LeaderLoop(Bench(HOME), SimulatedClock(), Push(5.0))


def test_left_alone_the_leader_comes_to_the_follower_and_rests() -> None:
    leaders = SimulatedLeaders()
    leaders.reset(HOME)
    follower = HOME + np.tile([0.2, 0.1, -0.1, 0.1, 0.1, 0.1, 0.2], 2)
    clock = SimulatedClock()
    loop = LeaderLoop(leaders, clock)
    follow = Loop.at(50.0, "follower", lambda: loop.follower.put(follower))
    loops = [follow, Loop("device", PERIOD_NS, loop.act), Loop("physics", PERIOD_NS, leaders.step)]
    Scheduler(clock, PERIOD_NS, loops).run_until(6 * SECOND_NS)
    q, qd = leaders.read()
    np.testing.assert_allclose(q, follower, atol=0.01)
    assert np.abs(qd).max() < 0.02


def test_the_same_loop_on_real_time_serves_every_period_or_counts_it() -> None:
    leaders = SimulatedLeaders()
    leaders.reset(HOME)
    clock = RealClock()
    loop = LeaderLoop(leaders, clock)
    loops = [
        Loop.at(50.0, "follower", lambda: loop.follower.put(HOME + 0.1)),
        Loop("device", PERIOD_NS, loop.act),
        Loop("physics", PERIOD_NS, leaders.step),
    ]
    scheduler = Scheduler(clock, PERIOD_NS, loops)
    scheduler.run_until(SECOND_NS // 10)
    device = scheduler.counts["device"]
    assert device.calls == scheduler.counts["physics"].calls
    assert device.calls >= 1
    q, _ = leaders.read()
    assert (q - HOME).sum() > 0.0  # on its way
