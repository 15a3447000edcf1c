"""The smooth gate: step responses, monotone, bounded rate, hysteresis and no chatter, by numbers."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from handrail.assist.gate import ConstantLevel, Gate, GateConfig, combined_risk
from handrail.core import Assessment, Trigger
from handrail.core.errors import InvalidValueError, NonFiniteError

CONFIG = GateConfig()


def levels(risks: list[float] | np.ndarray, config: GateConfig = CONFIG) -> np.ndarray:
    gate = Gate(config)
    return np.array([gate.update(Assessment(float(risk), 0.0)) for risk in risks])


def test_gates_are_triggers() -> None:
    assert isinstance(Gate(), Trigger)
    assert isinstance(ConstantLevel(0.3), Trigger)


@pytest.mark.parametrize(
    ("parts", "rho"),
    [
        ({"score": 0.8, "failure": 0.25}, 1 - 0.75 * 0.8),
        ({"score": 0.8}, 0.2),
        ({"failure": 0.3}, 0.3),
        ({"spread": 0.5}, 0.9),
        ({}, 0.9),
        ({"score": 1.2, "failure": -0.1}, 0.0),
    ],
)
def test_risk_of_score_and_failure(parts: dict[str, float], rho: float) -> None:
    gate = Gate()
    gate.update(Assessment(0.9, 0.1, parts))
    assert gate.rho == pytest.approx(rho)


def test_risk_is_low_only_where_score_is_high_and_failure_is_not() -> None:
    corners = [(1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (0.0, 1.0)]
    assert [combined_risk(score, failure) for score, failure in corners] == [0.0, 1.0, 1.0, 1.0]


def test_steady_level_is_the_sigmoid_without_its_dead_band() -> None:
    gate = Gate(replace(CONFIG, dead_band=0.0))
    assert gate.steady_level(0.5) == 0.5
    assert gate.steady_level(0.7) == pytest.approx(1 / (1 + exp(-12 * 0.2)))
    banded = Gate()
    edge = 0.5 + log(0.05 / 0.95) / 12  # the risk at which the sigmoid leaves the dead-band
    assert banded.steady_level(edge - 1e-9) == 0.0
    assert 0.0 < banded.steady_level(edge + 1e-6) < 1e-5  # continuous there
    assert banded.steady_level(1.0) > 0.99


def test_good_commands_feel_nothing_at_all() -> None:
    assert np.array_equal(levels(np.full(200, 0.2)), np.zeros(200))


def test_step_response_is_the_low_pass_where_the_rate_limit_is_slack() -> None:
    config = replace(CONFIG, hysteresis=0.0, rate_per_s=1e3)
    got = levels(np.full(60, 0.8), config)
    final = Gate(config).steady_level(0.8)
    steps = 1 + np.arange(60)
    np.testing.assert_allclose(got, final * (1 - np.exp(-steps / (0.1 * 50))), atol=1e-12)


def test_step_response_rises_at_the_rate_limit_and_settles_without_overshoot() -> None:
    up_and_down = levels(np.concatenate([np.full(100, 1.0), np.zeros(150)]))
    steps = np.diff(np.concatenate([[0.0], up_and_down]))
    most = CONFIG.rate_per_s / CONFIG.rate_hz
    assert np.abs(steps).max() == pytest.approx(most)
    assert (steps[:100] >= 0.0).all()
    assert (steps[101:] <= 1e-12).all()
    assert 0.1 < np.argmax(up_and_down > 0.9) / CONFIG.rate_hz < 0.5  # felt within half a second
    assert up_and_down[99] == pytest.approx(Gate().steady_level(0.95), abs=1e-3)
    assert up_and_down[-1] < 1e-3


def test_level_is_monotone_in_the_risk() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        low = rng.uniform(0.0, 1.0, 80)
        high = np.clip(low + rng.uniform(0.0, 0.3, 80), 0.0, 1.0)
        assert (levels(high) >= levels(low) - 1e-12).all()


def test_rate_is_bounded_whatever_comes() -> None:
    rng = np.random.default_rng(1)
    got = levels(rng.integers(0, 2, 5000).astype(float))
    assert np.abs(np.diff(got)).max() <= CONFIG.rate_per_s / CONFIG.rate_hz + 1e-12
    assert got.min() >= 0.0
    assert got.max() <= 1.0


def test_the_way_back_is_another_than_the_way_there() -> None:
    slow = np.linspace(0.0, 1.0, 3000)
    up = levels(np.concatenate([slow, slow[::-1]]))
    there = np.interp(0.5, up[:3000], slow)
    back = np.interp(0.5, up[3000:][::-1], slow)
    assert there - back == pytest.approx(2 * CONFIG.hysteresis, abs=0.01)  # and a little for the low-pass


def test_noise_within_the_hysteresis_does_not_chatter() -> None:
    rng = np.random.default_rng(2)
    noise = rng.uniform(-CONFIG.hysteresis, CONFIG.hysteresis, 1000)
    calm = levels(0.5 + noise)
    assert np.ptp(calm[500:]) < 1e-6
    bare = levels(0.5 + noise, replace(CONFIG, hysteresis=0.0))
    assert np.ptp(bare[500:]) > 0.05  # the hysteresis is what calms it


def test_reset_forgets() -> None:
    gate = Gate()
    first = [gate.update(Assessment(0.9, 0.0)) for _ in range(20)]
    gate.reset()
    assert [gate.update(Assessment(0.9, 0.0)) for _ in range(20)] == first


def test_constant_level() -> None:
    assert ConstantLevel(0.3).update(Assessment(0.9, 0.1)) == 0.3
    with pytest.raises(InvalidValueError, match=r"level is 1.5, must be in \[0, 1\]: 0 is no assistance"):
        ConstantLevel(1.5)


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(NonFiniteError, match="failure holds nan"):
        Gate().update(Assessment(0.5, 0.5, {"score": 0.5, "failure": float("nan")}))
    with pytest.raises(InvalidValueError, match=r"gate rate_per_s is 0.0, must be > 0: the default is 4.0"):
        GateConfig(rate_per_s=0.0)
    with pytest.raises(InvalidValueError, match=r"gate hysteresis is 0.5, must be in \[0, 0.5\)"):
        GateConfig(hysteresis=0.5)
