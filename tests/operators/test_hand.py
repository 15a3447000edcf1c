"""A compliant hand and what it does about guidance: stiffness, damping, reactions, by numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError, UnknownNameError
from handrail.operators.hand import (
    PATIENCE_S,
    REACTION_SHARES,
    RESIST,
    STIFFNESS_RANGE,
    YIELD_MAX_M,
    CompliantHand,
    HandTraits,
    Reach,
    Reaction,
    Response,
    draw_hand,
    finger_torque,
)

PERIOD_S = 0.02
AVERAGE = HandTraits(1.0, Reaction.IGNORER, 0.6)
STILL = Reach(np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3))


def feel(response: Response, push: tuple[float, ...], seconds: float, way: tuple[float, ...] = (0.1, 0, 0)) -> None:
    for _ in range(round(seconds / PERIOD_S)):
        response.update(np.array(push, float), np.array(way, float), PERIOD_S)


def test_the_measured_arm_pulls_with_135_n_m_and_damps_with_6_5() -> None:
    hand = CompliantHand(AVERAGE)
    offset = hand.wrench(np.array([0.0, 0.01, 0.0]), np.zeros(6), STILL)
    np.testing.assert_allclose(offset, [0.0, -1.35, 0.0, 0.0, 0.0, 0.0])
    moving = hand.wrench(np.zeros(3), np.array([0.1, 0, 0, 0, 0, 2.0]), STILL)
    np.testing.assert_allclose(moving, [-0.65, 0.0, 0.0, 0.0, 0.0, -0.3])
    hurried = hand.wrench(np.zeros(3), np.zeros(6), replace(STILL, acceleration=np.array([0.0, 0.0, 2.0])))
    np.testing.assert_allclose(hurried[:3], [0.0, 0.0, 1.1])


def test_bracing_keeps_the_damping_ratio_and_the_range() -> None:
    hand = CompliantHand(AVERAGE)
    hand.brace(2.0)
    np.testing.assert_allclose(hand.wrench(np.ones(3), np.zeros(6), STILL)[:3], -270.0)
    np.testing.assert_allclose(hand.wrench(np.zeros(3), np.ones(6), STILL)[:3], -6.5 * sqrt(2.0))
    hand.brace(100.0)
    np.testing.assert_allclose(hand.wrench(np.ones(3), np.zeros(6), STILL)[:3], -135.0 * STIFFNESS_RANGE[1])


def test_a_finger_is_a_spring_and_a_damper() -> None:
    assert finger_torque(0.5, 0.0, 0.7) == pytest.approx(0.4)
    assert finger_torque(0.5, 1.0, 0.5) == pytest.approx(-0.12)


def test_a_draw_is_always_the_same_hand() -> None:
    hands = [draw_hand(draw, "ordinary") for draw in range(400)]
    assert hands == [draw_hand(draw, "ordinary") for draw in range(400)]
    kinds = Counter(hand.reaction.value for hand in hands)
    for kind, share in REACTION_SHARES.items():
        assert abs(kinds[kind] / 400 - share) < 3 * sqrt(share * (1 - share) / 400)
    patience = [hand.patience_s for hand in hands]
    assert PATIENCE_S[0] <= min(patience) < 0.45
    assert 0.75 < max(patience) <= PATIENCE_S[1]
    logs = np.log([hand.stiffness for hand in hands])
    assert log(STIFFNESS_RANGE[0]) <= logs.min() < log(0.55)
    assert log(3.7) < logs.max() <= log(STIFFNESS_RANGE[1])
    assert draw_hand(3, "novice") != draw_hand(3, "expert")


def test_a_type_can_be_asked_for_and_nothing_else_changes() -> None:
    for kind in REACTION_SHARES:
        asked = draw_hand(7, "ordinary", kind)
        assert asked.reaction is Reaction(kind)
        assert replace(asked, reaction=Reaction.IGNORER) == replace(draw_hand(7, "ordinary"), reaction=Reaction.IGNORER)
    with pytest.raises(UnknownNameError, match="unknown reaction 'yelder': did you mean yielder"):
        draw_hand(7, "ordinary", "yelder")
    with pytest.raises(InvalidValueError, match=r"hand stiffness is 9, must be in \[0.5, 4.0\]: 1 is a measured arm"):
        HandTraits(9, Reaction.IGNORER, 0.6)


@pytest.mark.parametrize("kind", list(Reaction))
def test_nobody_reacts_before_their_patience_is_over(kind: Reaction) -> None:
    response = Response(replace(AVERAGE, reaction=kind))
    feel(response, (-2.0, 0, 0), 0.58)
    assert not response.reacting
    assert np.array_equal(response.yielded, np.zeros(3))
    assert response.stiffness == 1.0
    feel(response, (-2.0, 0, 0), 0.02)
    assert response.reacting


def test_a_yielder_moves_the_intent_toward_the_push_up_to_a_limit_and_back() -> None:
    response = Response(replace(AVERAGE, reaction=Reaction.YIELDER))
    feel(response, (-2.0, 0, 0), 0.6 + 0.5)
    np.testing.assert_allclose(response.yielded, [-0.06 * 0.52, 0.0, 0.0], atol=1e-9)  # from the moment they react
    feel(response, (-2.0, 0, 0), 10.0)
    np.testing.assert_allclose(response.yielded, [-YIELD_MAX_M, 0.0, 0.0])
    assert response.stiffness == 1.0
    feel(response, (0.0, 0, 0), 6.0)
    assert np.linalg.norm(response.yielded) < 0.02


def test_a_resister_stiffens_and_relaxes_again() -> None:
    response = Response(replace(AVERAGE, reaction=Reaction.RESISTER))
    feel(response, (-2.0, 0, 0), 2.0)
    assert response.stiffness == pytest.approx(RESIST, abs=0.01)
    assert np.array_equal(response.yielded, np.zeros(3))
    feel(response, (0.0, 0, 0), 4.0)
    assert response.stiffness == pytest.approx(1.0, abs=0.01)


def test_an_ignorer_goes_on_as_before() -> None:
    response = Response(AVERAGE)
    feel(response, (-2.0, 0, 0), 5.0)
    assert response.reacting
    assert response.stiffness == 1.0
    assert np.array_equal(response.yielded, np.zeros(3))


@pytest.mark.parametrize(
    ("push", "way", "against"),
    [
        ((2.0, 0, 0), (0.1, 0, 0), False),  # it helps
        ((0.0, 2.0, 0), (0.1, 0, 0), False),  # it leads aside
        ((-0.4, 0, 0), (0.1, 0, 0), False),  # too weak to be felt
        ((-2.0, 0, 0), (0.1, 0, 0), True),
        ((0.0, 2.0, 0), (0.001, 0, 0), True),  # away from where they mean to stay
    ],
)
def test_only_a_push_against_the_intent_counts(push: tuple[float, ...], way: tuple[float, ...], against: bool) -> None:
    response = Response(AVERAGE)
    feel(response, push, 3.0, way)
    assert response.reacting is against


def test_short_pushes_do_not_add_up() -> None:
    response = Response(AVERAGE)
    for _ in range(20):
        feel(response, (-2.0, 0, 0), 0.3)
        feel(response, (2.0, 0, 0), 0.3)
    assert not response.reacting


def test_nobody_leans_against_what_takes_them_there() -> None:
    for push, leans in (((2.0, 0, 0), False), ((-2.0, 0, 0), True), ((-0.4, 0, 0), False)):
        response = Response(AVERAGE)
        feel(response, push, 0.1, (0.01, 0, 0))
        beyond_m, _ = response.lean(np.array([0.01, 0.0, 0.0]), np.zeros(3))
        assert bool(beyond_m.any()) is leans
        assert beyond_m[0] >= 0.0  # and if so, beyond the target, against the push
