"""Guidance as torque: the formula, saturation, and that it never injects more energy than the tank holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handrail.assist.guidance import EnergyTank, Guidance, GuidanceConfig
from handrail.core import SECOND_NS, SimulatedClock
from handrail.core.errors import InvalidValueError
from handrail.operators.leaders import DIM, PERIOD_NS, Guide, LeaderLoop
from handrail.operators.replicas import SimulatedLeaders
from handrail.run.scheduler import Loop, Scheduler
from handrail.tasks.bimanual.kinematics import jacobian

from .books import Books

HOME = np.tile([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5], 2)
CONFIG = GuidanceConfig()
ENDLESS = replace(CONFIG, tank_j=1e6, tank_max_j=1e6)
STILL = np.zeros(DIM)


def test_torque_is_the_saturated_impedance_times_the_level() -> None:
    rng = np.random.default_rng(0)
    k, d, top = (np.tile(v, 2) for v in (CONFIG.stiffness, CONFIG.damping, CONFIG.torque_max))
    guidance = Guidance(ENDLESS)
    for _ in range(50):
        q, qd, desired, velocity = rng.normal(0.0, [[0.5], [1.0], [0.5], [1.0]], (4, DIM))
        level = rng.uniform()
        guidance.reset()
        expected = level * np.clip(k * (desired - q) + d * (velocity - qd), -top, top)
        np.testing.assert_allclose(guidance.torque(q, qd, Guide(desired, level, velocity)), expected, atol=1e-12)
        guidance.reset()
        expected = level * np.clip(k * (desired - q) - d * qd, -top, top)
        np.testing.assert_allclose(guidance.torque(q, qd, Guide(desired, level)), expected, atol=1e-12)


def test_with_a_jacobian_a_hand_is_pulled_straight() -> None:
    """Force and moment of the torques are the stiffness times the way, also where they are too large to be rendered."""
    rng = np.random.default_rng(0)
    k_x, k_r = CONFIG.hand_stiffness
    for size in (1e-3, 0.2):
        q = HOME.copy()
        q[:6], q[7:13] = rng.uniform([-1, -1, 0.5, -1, 0.4, -1], [1, -0.2, 1.2, 1, 1.0, 1], (2, 6))
        guidance = Guidance(ENDLESS, jacobian=jacobian)
        away = size * rng.normal(size=DIM)
        torque = guidance.torque(q, STILL, Guide(q + away, 0.5))
        assert (np.abs(torque) <= 0.5 * np.tile(CONFIG.torque_max, 2) + 1e-12).all()
        for joints in (slice(0, 6), slice(7, 13)):
            J = jacobian(q[joints])
            wrench, expected = np.linalg.solve(J.T, torque[joints]), J @ away[joints] * np.repeat([k_x, k_r], 3)
            share = wrench[0] / expected[0]
            np.testing.assert_allclose(wrench, share * expected, atol=1e-9)
            assert 0.0 < share <= 0.5 + 1e-9
            if size == 1e-3:
                assert share == pytest.approx(0.5)


def test_no_guide_and_level_zero_are_transparent() -> None:
    guidance = Guidance()
    for guide in (None, Guide(HOME + 1.0, 0.0), Guide(HOME + 1.0, -1.0)):
        assert np.array_equal(guidance.torque(HOME, STILL, guide), STILL)
    assert guidance.mean_share == 0.0
    assert guidance.tank.level_j == CONFIG.tank_j


def test_a_level_above_one_is_one() -> None:
    guidance = Guidance()
    assert np.abs(guidance.torque(HOME, STILL, Guide(HOME + 9.0, 7.0))).max() == max(CONFIG.torque_max)


def test_energy_is_torque_times_the_distance_it_was_held_over() -> None:
    guidance = Guidance()
    torque = guidance.torque(HOME, STILL, Guide(HOME + 0.05, 1.0))
    moved = np.full(DIM, 0.004)
    guidance.torque(HOME + moved, STILL, None)
    assert guidance.tank.injected_j == pytest.approx(torque @ moved)
    assert guidance.tank.level_j == pytest.approx(CONFIG.tank_j - torque @ moved)
    assert guidance.effort_j == pytest.approx(np.abs(torque * moved).sum())


def test_the_torque_fades_as_the_tank_empties() -> None:
    full = Guidance(ENDLESS).torque(HOME, STILL, Guide(HOME + 9.0, 1.0))
    worst_j = np.abs(full).sum() * CONFIG.speed_reserve * CONFIG.period_s
    for share in (0.0, 0.3, 1.0, 2.0):
        nearly = Guidance(replace(CONFIG, tank_j=share * worst_j))
        np.testing.assert_allclose(nearly.torque(HOME, STILL, Guide(HOME + 9.0, 1.0)), min(share, 1.0) * full)


def test_a_joint_that_is_left_free_silences_no_other() -> None:
    free = replace(ENDLESS, torque_max=(2.5, 0.0, 2.5, 0.6, 0.6, 0.6, 0.0))
    guide = Guide(HOME + 0.05, 1.0)
    torque, usual = (Guidance(c, jacobian=jacobian).torque(HOME, STILL, guide) for c in (free, ENDLESS))
    assert torque[1] == torque[8] == 0.0
    others = np.setdiff1d(np.flatnonzero(usual), [1, 8])
    assert (np.abs(torque[others]) >= np.abs(usual[others]) - 1e-12).all() and torque[others].all()


def test_a_reading_that_is_no_number_shuts_the_tank() -> None:
    guidance = Guidance()
    guidance.torque(HOME, STILL, Guide(HOME + 0.05, 1.0))
    guidance.torque(np.full(DIM, np.nan), STILL, None)
    assert not guidance.torque(HOME, STILL, Guide(HOME + 0.05, 1.0)).any()
    guidance.reset()
    assert guidance.torque(HOME, STILL, Guide(HOME + 0.05, 1.0)).any()


def test_a_joint_that_is_too_fast_is_not_guided() -> None:
    qd = STILL.copy()
    qd[3] = -CONFIG.speed_max * 1.01
    assert not Guidance().torque(HOME, qd, Guide(HOME + 9.0, 1.0)).any()


def test_the_tank_keeps_books() -> None:
    tank = EnergyTank(1.0, 2.0)
    tank.settle(0.4)
    tank.settle(-0.1, 0.2)
    assert (tank.level_j, tank.injected_j, tank.returned_j) == pytest.approx((0.9, 0.3, 0.2))
    tank.settle(0.0, 50.0)
    assert tank.level_j == 2.0  # what does not fit is lost
    assert tank.share(4.0) == 0.5
    tank.settle(2.5)
    assert tank.share(1.0) == tank.share(0.0) == 0.0  # overdrawn
    tank.reset()
    assert (tank.level_j, tank.injected_j, tank.returned_j) == (1.0, 0.0, 0.0)


class Run:
    """Both simulated arms with coupling and guidance, and an operator who pushes them about; books kept apart.

    Targets are as far away in every direction as random networks would never name.
    """

    def __init__(
        self,
        config: GuidanceConfig,
        ticks: int,
        hand: float,
        seed: int,
        adversary: bool = False,
        shaped: bool = True,
    ) -> None:
        self.rng, self.clock, self.hand, self.adversary = np.random.default_rng(seed), SimulatedClock(), hand, adversary
        self.leaders, self.guidance = SimulatedLeaders(), Guidance(config, jacobian=jacobian if shaped else None)
        self.leaders.reset(HOME)
        self.loop = LeaderLoop(self.leaders, self.clock, self.guidance)
        self.books = Books(self.leaders, self.guidance)
        self.level = 0.0
        loops = [
            Loop.at(self.rng.uniform(20.0, 90.0), "decide", self._decide),
            Loop("operator", PERIOD_NS, self._push),
            Loop("device", PERIOD_NS, self.loop.act),
            Loop("physics", PERIOD_NS, self.leaders.step),
        ]
        Scheduler(self.clock, PERIOD_NS, loops).run_until(ticks * PERIOD_NS)

    def _decide(self) -> None:
        self.loop.follower.put(self.leaders.read()[0] + self.rng.normal(0.0, 0.05, DIM))
        self.level = float(self.rng.uniform()) if not self.adversary else 1.0 - self.level
        self.desired = HOME + self.rng.normal(0.0, 0.3, DIM) * (not self.adversary) + 0.3 * self.adversary
        self.loop.guide.put(Guide(self.desired, self.level, self.rng.normal(0.0, 0.5, DIM) * (not self.adversary)))

    def _push(self) -> None:
        scale = self.hand * np.tile([1.0, 1.0, 1.0, 0.05, 0.3, 0.02, 0.02], 2)
        if self.adversary:  # goes along with guidance, and comes back while there is none
            self.leaders.hand_torque = scale * (1.0 if self.level else -1.0)
        elif self.rng.random() < 0.02:
            self.leaders.hand_torque = scale * self.rng.normal(0.0, 1.0, DIM)


@pytest.mark.parametrize("shaped", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_guidance_never_injects_more_than_the_tank_and_what_damping_returned(seed: int, shaped: bool) -> None:
    config = replace(CONFIG, tank_j=float(np.random.default_rng(seed).uniform(0.0, 0.5)))
    run = Run(config, ticks=3000, hand=2.0, seed=seed, shaped=shaped)
    run.books.require_the_bound()
    settled = run.books.injected_j[-2]  # the last period is not settled yet
    assert run.guidance.tank.injected_j == pytest.approx(settled)
    assert run.guidance.mean_share > 0.05  # it did guide


@pytest.mark.parametrize("shaped", [True, False])
def test_an_operator_who_milks_guidance_gets_no_more_than_the_tank(shaped: bool) -> None:
    without = Run(ENDLESS, ticks=3000, hand=1.0, seed=0, adversary=True, shaped=shaped)
    small = replace(CONFIG, tank_j=0.1)
    run = Run(small, ticks=3000, hand=1.0, seed=0, adversary=True, shaped=shaped)
    assert max(without.books.excess) == 0.0
    assert without.books.injected_j.max() > 0.1 + sum(without.books.dissipated)  # the bound is one that bites
    run.books.require_the_bound()


def test_the_bound_holds_over_any_span() -> None:
    books = Run(CONFIG, ticks=2500, hand=2.0, seed=11).books
    injected, dissipated, tank = books.injected_j, np.cumsum(books.dissipated), np.array(books.tank)
    for begin in range(0, 2400, 200):
        spent = injected[begin + 1 :] - injected[begin]
        gained = dissipated[begin + 1 :] - dissipated[begin]
        held = tank[begin + 1]  # settled by the device one period after it is spent
        assert (spent <= held + gained + 1e-9).all()


def test_faster_than_allowed_it_overdraws_by_one_period_at_most() -> None:
    books = Run(replace(CONFIG, tank_j=0.02), ticks=3000, hand=60.0, seed=3).books
    assert max(books.excess) > 0.0  # this operator does outrun the reserve
    assert min(books.tank) >= -max(books.excess) - 1e-12
    assert (books.injected_j <= books.allowed_j + max(books.excess) + 1e-9).all()


def test_a_spring_that_is_let_go_settles() -> None:
    leaders, clock, guidance = SimulatedLeaders(), SimulatedClock(), Guidance()
    leaders.reset(HOME)
    loop = LeaderLoop(leaders, clock, guidance)
    desired = HOME + np.tile([0.15, 0.1, -0.1, 0.1, 0.1, 0.1, 0.1], 2)

    def decide() -> None:
        loop.follower.put(leaders.read()[0])
        loop.guide.put(Guide(desired, 1.0))

    loops = [
        Loop.at(50.0, "decide", decide),
        Loop("device", PERIOD_NS, loop.act),
        Loop("physics", PERIOD_NS, leaders.step),
    ]
    Scheduler(clock, PERIOD_NS, loops).run_until(3 * SECOND_NS)
    guided = guidance.torque_max > 0.0  # the triggers are left free
    np.testing.assert_allclose(leaders.read()[0][guided], desired[guided], atol=0.01)
    assert 0.0 < guidance.tank.injected_j < CONFIG.tank_j + guidance.tank.returned_j


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(
        InvalidValueError, match=r"tank_j is 30.0, must be in \[0, tank_max_j = 20.0\]: raise tank_max_j"
    ):
        GuidanceConfig(tank_j=30.0)
    with pytest.raises(InvalidValueError, match=r"speed_max is 20.0, must be in \(0, speed_reserve = 10.0\]: lower it"):
        GuidanceConfig(speed_max=20.0)
    with pytest.raises(InvalidValueError, match=r"guidance damping is \(-1.0,\), must be >= 0: 0 leaves a joint free"):
        GuidanceConfig(damping=(-1.0,))
    with pytest.raises(InvalidValueError, match=r"guidance hand_stiffness is .*nan.*, must be >= 0"):
        GuidanceConfig(hand_stiffness=(float("nan"), 1.0))
    with pytest.raises(InvalidValueError, match="guidance torque_max has 6 values, needs 7: one for each joint"):
        GuidanceConfig(torque_max=(1.0,) * 6)
    with pytest.raises(InvalidValueError, match=r"guidance period_s is 0.0, must be > 0: 0.002 is 500 Hz"):
        GuidanceConfig(period_s=0.0)
