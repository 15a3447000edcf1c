"""Corruptions at their rates, take-over by value as in the paper."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError
from handrail.core.values import StepView, TakeoverCause
from handrail.operators.surrogates import HandsOff, Laggy, Noisy, ValueTakeover

VIEW = StepView({"state": np.zeros(3)}, None, 0.0)


class Counting:
    """An expert whose action tells how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def act(self) -> np.ndarray:
        self.asked += 1
        return np.full(4, self.asked * 1e-6, np.float32)


def test_hands_off_is_hands_off() -> None:
    nobody = HandsOff()
    nobody.reset(0)
    assert nobody.intent(VIEW) is None


def test_laggy_repeats_at_its_rate() -> None:
    laggy = Laggy(Counting(), repeat=0.8)
    laggy.reset(0)
    actions = np.array([laggy.intent(VIEW).action for _ in range(5000)])
    repeated = np.mean(np.all(actions[1:] == actions[:-1], axis=1))
    assert abs(repeated - 0.8) < 0.02
    assert laggy.intent(VIEW).cause is TakeoverCause.CORRUPTED


def test_noisy_is_random_at_its_rate() -> None:
    noisy = Noisy(Counting(), random=0.3)
    noisy.reset(0)
    actions = np.array([noisy.intent(VIEW).action for _ in range(5000)])
    assert abs(np.mean(np.abs(actions).max(axis=1) > 0.02) - 0.3) < 0.02
    assert np.abs(actions).max() <= 1.0 and actions.dtype == np.float32


@pytest.mark.parametrize(("kind", "name", "low", "high"), [(Laggy, "repeat", 0.8, 0.85), (Noisy, "random", 0.3, 0.6)])
def test_surrogates_are_somebody_too(kind, name: str, low: float, high: float) -> None:
    values = []
    for draw in range(20):
        one, other = kind(Counting()), kind(Counting())
        one.reset(draw)
        other.reset(draw)
        assert getattr(one, name) == getattr(other, name)
        np.testing.assert_array_equal(one.intent(VIEW).action, other.intent(VIEW).action)
        values.append(getattr(one, name))
        one.reset(draw)
        assert getattr(one, name) == values[-1]
    assert low <= min(values) < max(values) <= high


def value_operator(q_policy: float, **options) -> ValueTakeover:
    """The reference is worth 1, the policy's action `q_policy`."""
    q = lambda observation, action: 1.0 if action[0] > 0 else q_policy  # noqa: E731
    made = ValueTakeover(q, lambda o: np.ones(4, np.float32), lambda o: -np.ones(4, np.float32), **options)
    made.reset(0)
    return made


@pytest.mark.parametrize(("q_policy", "probability", "cause"), [(0.9, 0.95, "DANGER"), (0.98, 0.05, "FALSE_ALARM")])
def test_value_takeover_has_the_papers_probabilities(q_policy: float, probability: float, cause: str) -> None:
    considered, taken = 0, 0
    operator = value_operator(q_policy)
    while considered < 2000:
        considered += 1
        intent = operator.intent(VIEW)
        if intent is not None:
            taken += 1
            assert intent.cause.name == cause
            assert all(operator.intent(VIEW) is not None for _ in range(3))
    assert abs(taken / considered - probability) < 0.02


def test_value_takeover_uses_a_ratio_of_0_97() -> None:
    assert value_operator(0.9699, p_worse=1.0, p_otherwise=0.0).intent(VIEW) is not None
    assert value_operator(0.9701, p_worse=1.0, p_otherwise=0.0).intent(VIEW) is None


def test_bad_surrogates_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"repeat is 1.5, must be in \[0, 1\]"):
        Laggy(Counting(), repeat=1.5)
    with pytest.raises(InvalidValueError, match=r"random is -0.1, must be in \[0, 1\]"):
        Noisy(Counting(), random=-0.1)
    with pytest.raises(InvalidValueError, match="steps is 0, must be >= 1"):
        value_operator(0.5, steps=0)
    with pytest.raises(InvalidValueError, match="operator draw is -1, must be >= 0"):
        Laggy(Counting()).reset(-1)


def test_a_resumed_value_operator_goes_on_with_the_next_episode() -> None:
    def causes(operator: ValueTakeover) -> list[object]:
        operator.reset(0)
        return [None if (intent := operator.intent(VIEW)) is None else intent.cause for _ in range(200)]

    first = value_operator(1.0)
    one, two = causes(first), causes(first)
    resumed = value_operator(1.0)
    resumed.episodes = {0: 2}  # the helper has begun one as well
    assert one != two == causes(resumed) and resumed.episodes == first.episodes == {0: 3}
