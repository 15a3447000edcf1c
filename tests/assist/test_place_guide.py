"""The guide toward a next place: straight, from the operator's hand, as far as it may, and only where it is sure."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.assist.place_guide import PlaceGuide, PlaceGuideConfig, rotation_vector
from handrail.assist.success_score import SuccessScore
from handrail.core import Recovery
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Observation
from handrail.learn.cql import CQL, CQLConfig
from handrail.learn.next_place import NextPlace, NextPlaceConfig, Ways
from handrail.learn.next_place_data import Scene, turned_by
from handrail.tasks.bimanual.kinematics import forward, jacobian

JOINTS = np.tile([0.2, -0.9, 1.1, 0.1, 0.9, 0.2, 0.5], 2)
LEADER = JOINTS + np.tile([0.02, 0.03, -0.02, 0.02, 0.02, -0.03, 0.0], 2)
BASES = (np.eye(3), np.diag([-1.0, -1.0, 1.0]))  # the right arm looks back
ORIGINS = (np.array([-0.5, 0.0, 0.0]), np.array([0.5, 0.0, 0.0]))
SCENE = Scene(hands=(28, 37), grips=(6, 13), objects=1)


class Known(NextPlace):
    """Says what it is told to say."""

    def __init__(self, said: Ways) -> None:
        super().__init__(NextPlaceConfig(hidden=(8,)), SCENE, 0)
        self.said = said

    def ways(self, observation: Observation) -> Ways:
        return self.said


def observation() -> dict[str, Array]:
    state = np.zeros(46, np.float32)
    state[:14] = JOINTS
    for side in (0, 1):
        at, turn = world(side, JOINTS)
        state[28 + 9 * side : 37 + 9 * side] = np.concatenate([at, turn[:, 0], turn[:, 1]])
    return {"state": state, "environment_state": np.zeros(9, np.float32)}


def world(side: int, joints: Array) -> tuple[Array, Array]:
    at, turn = forward(joints[7 * side : 7 * side + 6])
    return ORIGINS[side] + BASES[side] @ at, BASES[side] @ turn


def watch() -> SuccessScore:
    return SuccessScore(CQL(CQLConfig(hidden=(8, 8)), {"state": 46}, 14, 0))


def places(*shifts: Array, turn: Array | None = None, error_m: float = 0.0, error_rad: float = 0.0) -> Ways:
    """Equally likely ways: both hands go by a shift (3,) [m] and a turn (3,) [rad] from where the operator's are."""
    leaders = [world(side, LEADER) for side in (0, 1)]
    spin = turned_by((np.zeros(3) if turn is None else turn)[None].astype(float))[0].astype(float)
    count = len(shifts)
    return Ways(
        np.array([[at + shift for at, _ in leaders] for shift in shifts]),
        np.array([[(spin @ rotation)[:, :2] for _, rotation in leaders]] * count),
        np.full((count, 2), error_m),
        np.full((count, 2), error_rad),
        np.full(count, 1.0 / count),
    )


def pulled(said: Ways, **options: float) -> list[tuple[Array, Array]]:
    """How the guide pulls each hand from the operator's in the world, as stiffness shaped by the Jacobian has it."""
    guide = PlaceGuide(watch(), Known(said), forward, jacobian, PlaceGuideConfig(**options))
    command = LEADER.astype(np.float32)
    found = guide.target(observation(), command, command).astype(float)
    np.testing.assert_allclose(found[[6, 13]], LEADER[[6, 13]])
    ways = []
    for side, base in enumerate(BASES):
        joints = slice(7 * side, 7 * side + 6)
        pull = jacobian(LEADER[joints]) @ (found - LEADER)[joints]
        ways.append((base @ pull[:3], base @ pull[3:]))
    return ways


def test_hands_are_pulled_straight_from_where_the_operator_holds_them() -> None:
    shift, turn = np.array([0.01, -0.02, 0.015]), np.array([0.05, 0.1, -0.08])
    for way, spin in pulled(places(shift, turn=turn), lead_m=0.06, lead_rad=0.5):
        np.testing.assert_allclose(way, shift, atol=2e-3)
        np.testing.assert_allclose(spin, turn, atol=5e-3)


def test_no_pull_is_longer_than_it_may_be() -> None:
    shift, turn = np.array([0.3, 0.0, 0.4]), np.array([0.0, 0.0, 2.0])
    for way, spin in pulled(places(shift, turn=turn), lead_m=0.02, lead_rad=0.1):
        np.testing.assert_allclose(way, 0.02 * shift / 0.5, atol=1e-3)
        np.testing.assert_allclose(spin, [0.0, 0.0, 0.1], atol=5e-3)


def test_doubt_shortens_the_pull_and_ends_it() -> None:
    shift = np.array([0.0, 0.0, 0.03])
    for error, share in ((0.0, 1.0), (0.0075, 0.75), (0.015, 0.0), (0.1, 0.0)):
        for way, _ in pulled(places(shift, error_m=error), doubt=2.0, tolerance_m=0.0):
            np.testing.assert_allclose(way, share * shift, atol=1e-3)


def test_an_error_by_which_people_differ_is_none() -> None:
    shift = np.array([0.0, 0.0, 0.03])
    for error, share in ((0.006, 1.0), (float(np.hypot(0.006, 0.0075)), 0.75)):
        for way, _ in pulled(places(shift, error_m=error), doubt=2.0, tolerance_m=0.006):
            np.testing.assert_allclose(way, share * shift, atol=1e-3)


def test_who_is_on_the_way_by_themselves_is_left_alone() -> None:
    shift, turn = np.array([0.0, 0.0, 0.03]), np.array([0.0, 0.0, 0.1])
    cases = [
        (0.1, 10.0, moved, share) for moved, share in ((-0.05, 1.0), (0.0, 1.0), (0.05, 0.5), (0.1, 0.0), (0.2, 0.0))
    ]
    for pace, approach, moved, share in [*cases, (0.1, 1.5, 0.0225, 0.5), (0.1, 1.5, 0.045, 0.0)]:
        config = PlaceGuideConfig(pace_m=pace, approach=approach)
        guide = PlaceGuide(watch(), Known(places(shift, turn=turn)), forward, jacobian, config)
        came = LEADER.copy()
        for side, base in enumerate(BASES):  # small steps back from where the hands are now
            joints = slice(7 * side, 7 * side + 6)
            step = np.concatenate([base.T @ (moved * shift / 0.03), np.zeros(3)]) / 50
            for _ in range(50):
                came[joints] -= np.linalg.solve(jacobian(came[joints]), step)
        found = guide.target(observation(), LEADER.astype(np.float32), came).astype(float)
        for side, base in enumerate(BASES):
            joints = slice(7 * side, 7 * side + 6)
            pull = jacobian(LEADER[joints]) @ (found - LEADER)[joints]
            np.testing.assert_allclose(base @ pull[:3], share * shift, atol=2e-3)
            np.testing.assert_allclose(base @ pull[3:], share * turn, atol=5e-3)


def test_where_the_place_is_here_nothing_is_pulled() -> None:
    for way, spin in pulled(places(np.zeros(3))):
        np.testing.assert_allclose(way, 0.0, atol=1e-4)
        np.testing.assert_allclose(spin, 0.0, atol=1e-3)


def test_between_two_ways_nothing_is_felt_until_the_operators_motion_tells() -> None:
    one, other = np.array([0.05, 0.0, 0.0]), np.array([-0.05, 0.0, 0.0])
    score = watch()
    guide, seen = PlaceGuide(score, Known(places(one, other)), forward, jacobian), observation()

    def pull(after: Array) -> Array:
        """Of the left hand, where a supervisor asks."""
        proposal = guide.propose(seen, score.assess(seen, after.astype(np.float32)))
        assert proposal is not None
        return BASES[0] @ (jacobian(after[:6]) @ (proposal.actions[0] - after)[:6])[:3]

    np.testing.assert_allclose(pull(LEADER), 0.0, atol=1e-4)
    there = LEADER.copy()
    for _ in range(10):  # both hands move toward the first: 2 mm a step
        for side, base in enumerate(BASES):
            joints = slice(7 * side, 7 * side + 6)
            step = np.concatenate([base.T @ (0.04 * one), np.zeros(3)])
            there[joints] += np.linalg.solve(jacobian(there[joints]), step)
        felt = pull(there)
    assert felt[0] > 0.01 and np.linalg.norm(felt[1:]) < 0.2 * felt[0]
    for part in (score, guide):
        part.reset()
    np.testing.assert_allclose(pull(LEADER), 0.0, atol=1e-4)


def test_it_answers_the_command_that_was_assessed_last() -> None:
    score = watch()
    guide = PlaceGuide(score, Known(places(np.full(3, 0.01))), forward, jacobian)
    assert isinstance(guide, Recovery)
    seen = observation()
    assert guide.propose(seen, Assessment(0.0, 1.0)) is None
    command = LEADER.astype(np.float32)
    assessment = score.assess(seen, command)
    proposal = guide.propose(seen, assessment)
    assert proposal is not None and proposal.source is Authority.ASSISTANT
    np.testing.assert_array_equal(proposal.actions[0], guide.target(seen, command, command))


def test_rotation_vectors_are_undone_by_rodrigues() -> None:
    vectors = np.random.default_rng(0).normal(0.0, 1.0, (200, 3))
    vectors *= np.minimum(1.0, 3.1 / np.linalg.norm(vectors, axis=1))[:, None]
    found = [rotation_vector(turn.astype(float)) for turn in turned_by(vectors)]
    np.testing.assert_allclose(found, vectors, atol=1e-3)
    assert np.linalg.norm(rotation_vector(np.diag([1.0, -1.0, -1.0]))) == pytest.approx(np.pi)
    np.testing.assert_array_equal(rotation_vector(np.eye(3)), 0.0)


def test_error_messages() -> None:
    with pytest.raises(InvalidValueError, match=r"place guide lead_m is 0.0, must be > 0: raise it"):
        PlaceGuideConfig(lead_m=0.0)
    with pytest.raises(InvalidValueError, match=r"place guide tolerance_m is -0.001, must be >= 0: 0 does without"):
        PlaceGuideConfig(tolerance_m=-0.001)
