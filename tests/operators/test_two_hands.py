"""The person at two leader arms: movements, lapses, and hands that give as a spring does. On simulated leaders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handrail.core import SECOND_NS, SimulatedClock
from handrail.operators.hand import STIFFNESS_N_M, HandTraits, Reaction
from handrail.operators.leaders import DIM, PERIOD_NS
from handrail.operators.movement import minimum_jerk
from handrail.operators.replicas import SimulatedLeaders
from handrail.operators.traits import draw_traits
from handrail.operators.two_hands import (
    LEAD_M,
    LEAD_RAD,
    Attention,
    OneHand,
    Submovement,
    TwoHands,
    force_at_hand,
    forward_only,
)
from handrail.run.scheduler import Loop, Scheduler
from handrail.tasks.bimanual.transfer_cube import TransferCube
from handrail.tasks.bimanual.values import Waypoint, quaternion_of, rotation_of, turn_between, turned

HOME = np.tile([0.0, -0.5, 0.9, 0.0, 1.2, 0.0, 0.5], 2)  # tools look down, as in the tasks; well bent wrists
PERIOD_S = PERIOD_NS / SECOND_NS
NOBODY = replace(
    draw_traits(0, "expert"), bias_m=np.zeros(3), bias_sigma_m=0.0, bias_rad=0.0, bias_sigma_rad=0.0,
    execution_noise=0.0, tremor_m=0.0, lapse_rate_hz=0.0,
)  # fmt: skip


def hand_on(leaders: SimulatedLeaders, stiffness: float = 1.0, **traits: float) -> OneHand:
    rngs = [np.random.default_rng(seed) for seed in range(4)]
    hand = OneHand(0, replace(NOBODY, **traits), HandTraits(stiffness, Reaction.IGNORER, 0.6), leaders, rngs)
    hand.begin(0.5)
    return hand


def at_tool(
    leaders: SimulatedLeaders, move: tuple[float, ...] = (0, 0, 0), turn: tuple[float, ...] = (0, 0, 0)
) -> Waypoint:
    position, rotation = leaders.tool(0)
    return Waypoint(position + move, turned(quaternion_of(rotation), np.array(turn, float)), 0.5)


def let_act(
    leaders: SimulatedLeaders, hand: OneHand, waypoint: Waypoint, seconds: float, force: np.ndarray | None = None
) -> np.ndarray:
    """Let the hand act on `waypoint` while `force` (3,) [N] pushes its tool; returns where the tool went, (T, 3)."""
    clock, path = SimulatedClock(), []

    def act() -> None:
        torque = hand.torque(scheduler.now_ns() / SECOND_NS, PERIOD_S, leaders.read()[1])
        leaders.hand_torque = torque if force is None else torque + leaders.jacobian(0)[:3].T @ force
        leaders.step()
        path.append(leaders.tool(0)[0].copy())

    loops = [
        Loop.at(10.0, "look", lambda: hand.look(waypoint, 0.0, 0.0)),
        Loop.at(hand.traits.replan_hz, "plan", lambda: hand.plan(scheduler.now_ns() / SECOND_NS)),
        Loop("act", PERIOD_NS, act),
    ]
    scheduler = Scheduler(clock, PERIOD_NS, loops)
    scheduler.run_until(round(seconds * SECOND_NS))
    return np.array(path)


def test_a_submovement_is_the_minimum_jerk_movement() -> None:
    rng = np.random.default_rng(0)
    rates = rng.normal(size=(2, 6))
    plan = Submovement(np.array([0.1, 0.2, 0.3]), np.array([1.0, 0, 0, 0]), rates)
    move, turn = rng.normal(size=(2, 3))
    plan.aim(move, turn, 0.7)
    state = np.concatenate([np.zeros((1, 6)), rates])
    for at_s in (0.0, 0.1, 0.35, 0.69, 0.7, 2.0):
        expected = minimum_jerk(state, np.concatenate([move, turn]), 0.7, at_s)
        np.testing.assert_allclose(plan.at(at_s), expected, atol=1e-9)


def test_the_next_plan_goes_on_as_the_last_one_moved() -> None:
    start, upright = np.array([0.1, 0.2, 0.3]), np.array([1.0, 0, 0, 0])
    plan = Submovement(start, upright)
    plan.aim(np.array([0.1, 0.0, 0.0]), np.array([0.0, 0.0, 0.3]), 0.8)
    state = plan.at(0.3)
    behind = start + state[0, :3] - (0.01, 0.0, 0.0)
    turned_so_far = turned(upright, state[0, 3:])
    following = plan.replan(0.3, behind, turned_so_far, start + (0.1, 0, 0))
    np.testing.assert_allclose(following.position, start + state[0, :3])
    np.testing.assert_allclose(following.quaternion, turned_so_far)
    np.testing.assert_allclose(following.at(0.0)[1:], state[1:])


def test_a_plan_is_at_most_a_lead_away_from_the_hand_and_help_is_not_undone() -> None:
    plan = Submovement(np.zeros(3), np.array([1.0, 0, 0, 0]))
    target = np.array([0.3, 0.0, 0.0])
    dragged = plan.replan(0.0, np.array([-0.2, 0.0, 0.0]), turned(plan.quaternion, np.array([0, 0, 1.0])), target)
    np.testing.assert_allclose(dragged.position, [-0.2 + LEAD_M, 0.0, 0.0])
    assert np.linalg.norm(turn_between(dragged.quaternion, turned(plan.quaternion, np.array([0, 0, 1.0])))) == (
        pytest.approx(LEAD_RAD)
    )
    helped = plan.replan(0.0, np.array([0.03, 0.0, 0.0]), plan.quaternion, target)
    np.testing.assert_allclose(helped.position, [0.03, 0.0, 0.0])
    np.testing.assert_allclose(forward_only(np.array([-1.0, 2.0, 0.0]), np.array([0.5, 0.0, 0.0])), [0.0, 2.0, 0.0])
    np.testing.assert_allclose(forward_only(np.array([1.0, 2.0, 0.0]), np.array([0.5, 0.0, 0.0])), [1.0, 2.0, 0.0])


def test_lapses_come_at_their_rate_and_freeze_or_confuse() -> None:
    attention, move = Attention(0.3, np.random.default_rng(0)), np.array([1.0, 2.0, 3.0])
    seen: dict[tuple[float, ...] | None, int] = {}
    for _ in range(20_000):
        attention.pass_time(0.1)
        made = attention.distort(move)
        key = None if made is None else tuple(made)
        seen[key] = seen.get(key, 0) + 1
    assert set(seen) == {None, (1.0, 2.0, 3.0), (2.0, 1.0, 3.0), (1.0, 3.0, 2.0), (3.0, 2.0, 1.0)}
    lapsed = 1.0 - seen[(1.0, 2.0, 3.0)] / 20_000
    assert lapsed == pytest.approx(0.75 * 0.3 / (1 + 0.75 * 0.3), abs=0.03)  # three quarters of a second each
    assert seen[None] / 20_000 == pytest.approx(lapsed / 2, abs=0.03)


def test_the_force_that_joint_torques_amount_to() -> None:
    leaders = SimulatedLeaders()
    leaders.reset(np.tile([0.2, -0.9, 1.1, 0.3, 0.6, -0.2, 0.5], 2))
    force = np.array([1.0, -2.0, 0.5])
    for side in (0, 1):
        jacobian = leaders.jacobian(side)
        np.testing.assert_allclose(force_at_hand(jacobian, jacobian[:3].T @ force, side), force, atol=0.15)


@pytest.mark.parametrize("stiffness", [0.5, 1.0, 4.0])
def test_a_held_tool_gives_way_like_the_persons_spring(stiffness: float) -> None:
    leaders = SimulatedLeaders()
    leaders.reset(HOME)
    start = leaders.tool(0)[0].copy()
    force = np.array([0.0, 1.0, 0.5])
    path = let_act(leaders, hand_on(leaders, stiffness), at_tool(leaders), 3.0, force)
    np.testing.assert_allclose(path[-1] - start, force / (STIFFNESS_N_M * stiffness), atol=3e-4)


@pytest.mark.parametrize("stiffness", [0.5, 1.0, 4.0])
def test_a_reach_arrives_and_rests(stiffness: float) -> None:
    leaders = SimulatedLeaders()
    leaders.reset(HOME)
    hand = hand_on(leaders, stiffness)
    goal = at_tool(leaders, (0.05, -0.12, -0.06), (0.0, 0.2, 0.3))
    path = let_act(leaders, hand, goal, 3.0)
    assert np.abs(path[-1] - goal.position).max() < 1e-3
    assert np.linalg.norm(turn_between(quaternion_of(leaders.tool(0)[1]), goal.quaternion)) < 0.02
    way = goal.position - path[0]
    along = (path - path[0]) @ way / (way @ way)
    assert along.max() < 1.1  # little overshoot, even of the most relaxed
    assert 0.3 < np.argmax(along > 0.9) * PERIOD_S < 1.8


def test_tremor_shakes_the_tool_by_less_than_a_millimetre() -> None:
    leaders = SimulatedLeaders()
    leaders.reset(HOME)
    path = let_act(leaders, hand_on(leaders, tremor_m=4e-4), at_tool(leaders), 2.0)[500:]
    spectrum = np.abs(np.fft.rfft(path[:, 1] - path[:, 1].mean()))
    assert 8.0 <= np.fft.rfftfreq(len(path), PERIOD_S)[np.argmax(spectrum)] <= 12.0
    assert 5e-5 < np.abs(path - path.mean(axis=0)).max() < 8e-4


def test_a_finger_presses_the_trigger_into_its_stop() -> None:
    leaders = SimulatedLeaders()
    leaders.reset(HOME)
    hand = hand_on(leaders)
    let_act(leaders, hand, replace(at_tool(leaders), grip=0.0), 1.5)
    assert leaders.read()[0][6] == pytest.approx(0.0, abs=0.02)
    assert leaders.read()[0][13] == pytest.approx(0.5, abs=1e-3)  # the other one is not his


def test_the_search_is_across_the_approach() -> None:
    leaders = SimulatedLeaders()
    leaders.reset(HOME)
    hand = hand_on(leaders)
    waypoint = replace(at_tool(leaders, (0, 0, 0), (0.3, 0.5, 0.1)), contact=True)
    offsets = []
    for _ in range(30):
        hand.look(waypoint, 0.0, 0.0)
        assert hand.target is not None
        offsets.append(hand.target.position - waypoint.position)
    spread = np.linalg.norm(offsets, axis=1)
    assert 0.0015 < spread.max() <= 0.002
    assert np.abs(np.array(offsets) @ rotation_of(waypoint.quaternion)[:, 0]).max() < 1e-12


def test_a_person_is_the_same_person_and_their_episodes_differ() -> None:
    env, leaders = TransferCube(), SimulatedLeaders()
    env.reset(seed=0)

    def targets(draw: int, episode: int | None) -> np.ndarray:
        person = TwoHands(env, leaders, "novice")
        leaders.reset(env.home)
        person.reset(draw, episode)
        person.begin()
        person.look()
        return np.concatenate([hand.target.position for hand in person.hands if hand.target is not None])

    assert np.array_equal(targets(3, 0), targets(3, None))
    assert np.array_equal(targets(3, 1), targets(3, 1))
    assert not np.array_equal(targets(3, 1), targets(3, 0))
    assert not np.array_equal(targets(4, 0), targets(3, 0))


def test_each_hand_sees_its_object_displaced_in_its_own_way() -> None:
    person = TwoHands(TransferCube(), SimulatedLeaders(), "novice")
    person.reset(5)
    left, right = (hand.traits for hand in person.hands)
    assert np.linalg.norm(left.bias_m - right.bias_m) > 1e-3
    assert left.bias_sigma_m == right.bias_sigma_m
    assert left.speed_m_s == right.speed_m_s
    assert len(person.leaders.read()[0]) == DIM
