"""Limits, by numbers: box, rate, workspace, force, finiteness, shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.core import Array, Authority, Command, InvalidValueError, Limits, NonFiniteError, Observation

LOW, HIGH = -np.ones(3, np.float32), np.ones(3, np.float32)
NOTHING: Observation = {}


def command(*action: float, authority: Authority = Authority.POLICY) -> Command:
    return Command(np.array(action, np.float32), authority, level=0.25, reason="asked")


def test_inside_the_box_nothing_changes() -> None:
    asked = command(0.5, -1.0, 1.0)
    given_out, clipped = Limits(LOW, HIGH).apply(asked, NOTHING, None)
    np.testing.assert_array_equal(given_out.action, asked.action)
    assert not clipped
    assert given_out.action.dtype == np.float32


def test_box_clips_and_keeps_the_rest_of_the_command() -> None:
    out, clipped = Limits(LOW, HIGH).apply(command(0.5, -3.0, 1.5), NOTHING, None)
    np.testing.assert_array_equal(out.action, np.array([0.5, -1.0, 1.0], np.float32))
    assert clipped
    assert (out.authority, out.level, out.reason) == (Authority.POLICY, 0.25, "asked")


def test_rate_limits_the_change_from_the_last_action() -> None:
    limits = Limits(LOW, HIGH, rate=np.array([0.1, 0.2, 2.0], np.float32))
    out, clipped = limits.apply(command(1.0, -1.0, -1.0), NOTHING, np.array([0.0, 0.0, 1.0], np.float32))
    np.testing.assert_allclose(out.action, [0.1, -0.2, -1.0])
    assert clipped


def test_rate_does_not_hold_up_a_stop_or_the_first_step() -> None:
    limits = Limits(LOW, HIGH, rate=np.full(3, 0.1, np.float32))
    stop = command(0.0, 0.0, 0.0, authority=Authority.STOP)
    np.testing.assert_array_equal(limits.apply(stop, NOTHING, HIGH)[0].action, np.zeros(3))
    np.testing.assert_array_equal(limits.apply(command(1.0, 1.0, 1.0), NOTHING, None)[0].action, HIGH)


def no_lower_than_table(observation: Observation, action: Array) -> Array:
    height = float(np.asarray(observation["height"])[0])
    return np.array([action[0], action[1], max(action[2], -height)])


def halved(observation: Observation, action: Array) -> Array:
    return action / 2


def test_workspace_sees_the_observation_and_force_comes_after_it() -> None:
    limits = Limits(LOW, HIGH, workspace=no_lower_than_table, force=halved)
    out, clipped = limits.apply(command(0.4, 0.0, -0.8), {"height": np.array([0.3])}, None)
    np.testing.assert_allclose(out.action, [0.2, 0.0, -0.15], atol=1e-7)
    assert clipped


def test_box_holds_whatever_a_bound_answers() -> None:
    out, _ = Limits(LOW, HIGH, workspace=lambda _, action: action * 10).apply(command(0.5, -0.5, 0.0), NOTHING, None)
    np.testing.assert_array_equal(out.action, np.array([1.0, -1.0, 0.0], np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_refused_by_name_and_index(bad: float) -> None:
    with pytest.raises(NonFiniteError, match=r"action of POLICY holds -?(nan|inf) at index \[1\], every entry"):
        Limits(LOW, HIGH).apply(command(0.0, bad, 0.0), NOTHING, None)


def test_a_bound_that_answers_nan_is_refused() -> None:
    with pytest.raises(NonFiniteError, match="action after a workspace or force bound holds nan"):
        Limits(LOW, HIGH, force=lambda _, action: action * np.nan).apply(command(0.0, 0.0, 0.0), NOTHING, None)


def test_another_shape_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"action of POLICY has shape \(2,\), the limits have \(3,\)"):
        Limits(LOW, HIGH).apply(command(0.0, 0.0), NOTHING, None)


@pytest.mark.parametrize("low", [np.full(3, 2.0), np.full(2, -1.0), np.full(3, np.nan)])
def test_low_above_high_is_refused(low: Array) -> None:
    with pytest.raises(InvalidValueError, match=r"exceed high .*: give low <= high of one shape"):
        Limits(low, HIGH)


def test_negative_rate_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="is negative: give the largest change per step"):
        Limits(LOW, HIGH, rate=np.array([0.1, -0.1, 0.1]))


finite = st.floats(-1e6, 1e6, width=32)


@given(st.lists(finite, min_size=3, max_size=3), st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3))
def test_executed_action_is_always_inside(asked: list[float], last: list[float]) -> None:
    rate = np.full(3, 0.25, np.float32)
    before = np.array(last, np.float32)
    out, clipped = Limits(LOW, HIGH, rate).apply(command(*asked), NOTHING, before)
    assert np.all(out.action >= LOW)
    assert np.all(out.action <= HIGH)
    assert np.all(np.abs(out.action - before) <= 0.25 + 1e-6)
    assert clipped == (float(np.abs(out.action - np.array(asked, np.float32)).max()) > 1e-6)
