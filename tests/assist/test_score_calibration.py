"""Measures of a success score by numbers that can be counted."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.assist.score_calibration import lead_times_s, score_quality


def at(length: int, *steps: int) -> np.ndarray:
    values = np.zeros(length)
    values[list(steps)] = 1.0
    return values


def test_lead_is_how_long_the_alarm_that_met_the_failure_had_been_on():
    low, high = 0.2, 0.8
    risks = [
        np.array([high, low, low, high, high, high]),  # on for three steps when it failed
        np.array([low, low, high, low]),  # off again: no warning
        np.array([high, high, high]),  # on from the beginning
        np.array([high, high]),  # nothing failed
    ]
    costs = [at(6, 5), at(4, 3), at(3, 2), at(2)]
    np.testing.assert_allclose(lead_times_s(risks, costs, 0.5, rate_hz=10.0), [0.3, 0.0, 0.3])


def test_quality_of_a_score_that_knows_and_of_one_that_does_not():
    successes, costs = [True, False], [at(100), at(100, 99)]
    knows = score_quality(
        [np.ones(100), np.zeros(100)], [np.zeros(100), at(100, *range(89, 100))], successes, costs, horizon=10
    )
    assert (knows.auroc, knows.ece, knows.failure_auroc, knows.failure_ece) == (1.0, 0.0, 1.0, 0.0)
    assert (knows.lead_s, knows.called, knows.false_alarms) == (2.0, 1.0, 0.0)
    blind = score_quality([np.full(100, 0.3)] * 2, [np.zeros(100)] * 2, successes, costs, horizon=10)
    assert blind.auroc == blind.failure_auroc == 0.5
    assert blind.ece == pytest.approx(0.2)  # says 0.3, half succeed
    assert blind.failure_ece == pytest.approx(11 / 200)
    assert blind.false_alarms == 1.0


def test_what_never_happened_has_no_number():
    quality = score_quality([np.ones(3)], [np.zeros(3)], [True], [at(3)])
    for name in ("auroc", "failure_auroc", "lead_s", "called"):
        assert np.isnan(getattr(quality, name))
