"""Delay, minimum jerk, gripper hysteresis, noise: each against its formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from handrail.operators.movement import Eye, Grip, Hand, Nerves, minimum_jerk
from handrail.operators.traits import draw_traits
from handrail.tasks.base import Waypoint

PERIOD_S = 0.1
SCALE = np.array([0.025, 0.025, 0.025])


def waypoint(x: float, phase: str = "") -> Waypoint:
    return Waypoint(np.array([x, 0.0, 0.0]), 0.0, 1.0, False, phase)


def test_minimum_jerk_from_rest_is_the_textbook_polynomial() -> None:
    start, goal = np.zeros(4), np.array([1.0, -2.0, 0.5, 0.0])
    state = np.stack([start, start, start])
    for s in (0.0, 0.25, 0.5, 0.9):
        x, v, _ = minimum_jerk(state, goal, 2.0, 2.0 * s)
        np.testing.assert_allclose(x, goal * (10 * s**3 - 15 * s**4 + 6 * s**5), atol=1e-12)
        np.testing.assert_allclose(v, goal * (30 * s**2 - 60 * s**3 + 30 * s**4) / 2.0, atol=1e-12)
    assert np.array_equal(minimum_jerk(state, goal, 2.0, 2.5)[0], goal)


def test_minimum_jerk_meets_its_moving_start_and_its_end() -> None:
    rng = np.random.default_rng(0)
    state, goal = rng.normal(size=(3, 4)), rng.normal(size=4)
    np.testing.assert_allclose(minimum_jerk(state, goal, 0.7, 0.0), state, atol=1e-9)
    end = minimum_jerk(state, goal, 0.7, 0.7 - 1e-9)
    np.testing.assert_allclose(end[0], goal, atol=1e-6)
    np.testing.assert_allclose(end[1:], 0.0, atol=1e-4)


def test_the_eye_delays_by_a_fraction_of_steps() -> None:
    eye = Eye(delay_s=0.25, period_s=PERIOD_S)
    seen = [eye.see(waypoint(float(x), str(x))) for x in range(8)]
    np.testing.assert_allclose([w.position[0] for w in seen[3:]], [0.5, 1.5, 2.5, 3.5, 4.5])
    assert [w.phase for w in seen[3:]] == ["0", "1", "2", "3", "4"]


def test_a_whole_delay_is_not_interpolated() -> None:
    eye = Eye(delay_s=0.2, period_s=PERIOD_S)
    seen = [eye.see(waypoint(float(x))).position[0] for x in range(6)]
    np.testing.assert_allclose(seen[3:], [1.0, 2.0, 3.0], atol=1e-9)


def test_the_grip_changes_only_when_wanted_twice() -> None:
    grip = Grip()
    assert [grip.update(w) for w in (1, 1, -1, 1, -1, -1, 1)] == [0, 1, 1, 1, 1, -1, -1]


def test_the_hand_reaches_its_target_without_overshoot() -> None:
    hand, pose, target = Hand(draw_traits(0, "ordinary"), PERIOD_S), np.zeros(4), np.array([0.2, 0.0, 0.0, 0.3])
    hand.begin(pose)
    path = [pose]
    for _ in range(60):
        path.append(hand.reference(path[-1], target))
    x = np.array(path)[:, 0]
    assert abs(x[-1] - 0.2) < 1e-3
    assert x.max() < 0.2 + 0.01
    assert abs(path[-1][3] - 0.3) < 1e-2


def test_the_hand_replans_at_its_rate() -> None:
    traits = replace(draw_traits(0, "ordinary"), replan_hz=4.0)
    hand, plans = Hand(traits, PERIOD_S), []
    replan = hand._replan
    hand._replan = lambda pose, target: plans.append(1) or replan(pose, target)  # type: ignore[method-assign]
    hand.begin(np.zeros(4))
    for _ in range(100):
        hand.reference(np.zeros(4), np.array([0.1, 0.0, 0.0, 0.0]))
    assert abs(len(plans) - 40) <= 1


def test_noise_grows_with_the_signal_and_tremor_does_not() -> None:
    traits = replace(draw_traits(0, "ordinary"), execution_noise=0.1, tremor_m=4e-4, lapse_rate_hz=0.0)
    nerves = Nerves(traits, SCALE, PERIOD_S, np.random.default_rng(0))
    still = np.array([nerves.execute(np.zeros(4)) for _ in range(4000)])
    moving = np.array([nerves.execute(np.array([0.5, 0.0, 0.0, -1.0])) for _ in range(4000)])
    tremor = 4e-4 / np.sqrt(2.0) / 0.025
    np.testing.assert_allclose(still[:, :3].std(axis=0), tremor, rtol=0.05)
    assert abs(moving[:, 0].std() - np.hypot(0.05, tremor)) < 0.003
    assert np.all(moving[:, 3] == -1.0)
    assert moving.dtype == np.float32


def test_lapses_come_at_their_rate_and_last_half_to_one_second() -> None:
    traits = replace(draw_traits(0, "ordinary"), execution_noise=0.0, tremor_m=0.0, lapse_rate_hz=0.2)
    nerves = Nerves(traits, SCALE, PERIOD_S, np.random.default_rng(1))
    asked = np.array([0.9, 0.5, 0.1, 1.0], np.float32)
    wrong = [bool(np.any(nerves.execute(asked) != asked)) for _ in range(20_000)]
    runs = "".join("x" if w else " " for w in wrong).split()
    lengths = np.array([len(run) for run in runs])
    assert lengths.min() >= 5 and np.median(lengths) <= 10
    assert 0.1 < len(runs) / 2000.0 < 0.2  # per second; not while one lasts
    assert not np.array_equal(asked, np.zeros(4))
