"""Measures of a risk, and the rule that sets the threshold, by numbers that can be counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handrail.assist.calibration import (
    Calibration,
    CalibrationConfig,
    auroc,
    choose,
    curve,
    false_alarms,
    highest_before,
    judge,
    onsets,
    realised_risk,
    recall_at_lead,
    reliability,
    safe_steps,
    violation_within,
)
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array


def at(length: int, *steps: int) -> Array:
    """1 at `steps`, 0 elsewhere."""
    values = np.zeros(length)
    values[list(steps)] = 1.0
    return values


# -- measures ----


def test_auroc_counts_pairs():
    scores, labels = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
    assert auroc(scores, labels) == 0.75
    assert auroc(-scores, labels) == 0.25
    assert auroc(np.array([1.0, 1.0, 1.0]), np.array([0, 1, 1])) == 0.5
    assert auroc(np.array([1.0, 1.0, 0.0, 2.0]), np.array([1, 0, 0, 0])) == pytest.approx(0.5)
    assert np.isnan(auroc(scores, np.ones(4)))


def test_auroc_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 20, 300), rng.random(300) < 0.3
    difference = scores[labels][:, None] - scores[~labels]
    assert auroc(scores, labels) == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())


def test_onsets_are_rising_edges():
    assert onsets(np.array([1, 1, 0, 0, 1, 0, 1, 1])).tolist() == [0, 4, 6]
    assert onsets(np.zeros(3)).tolist() == []


def test_an_alarm_warns_if_it_is_neither_late_nor_long_before():
    costs = [at(60, 50)]
    for step, warned in ((19, False), (20, True), (45, True), (46, False), (50, False)):
        assert recall_at_lead([at(60, step)], costs, 0.5, lead=5, look_back=30) == float(warned), step


def test_recall_is_over_all_onsets_that_could_be_foreseen():
    costs = [at(60, 3, 20, 21, 40), at(60), at(30, 10)]
    risks = [at(60, 12), at(60, 5), at(30, 2)]
    assert highest_before(risks, costs, 5, 10).tolist() == [1.0, 0.0, 1.0]  # 20, 40, 10: step 3 comes too soon
    assert recall_at_lead(risks, costs, 0.5, 5, 10) == pytest.approx(2 / 3)
    assert np.isnan(recall_at_lead(risks[1:2], costs[1:2], 0.5))


def test_an_alarm_is_a_risk_above_the_threshold():
    costs, risks = [at(20, 10)], [np.full(20, 0.5)]
    assert recall_at_lead(risks, costs, 0.5) == 0.0
    assert recall_at_lead(risks, costs, 0.49) == 1.0


def test_steps_are_safe_when_nothing_follows_soon():
    costs = at(10, 5)
    assert violation_within(costs, 2).tolist() == [False] * 3 + [True] * 3 + [False] * 4
    np.testing.assert_array_equal(safe_steps(costs, 2), ~violation_within(costs, 2))


def test_false_alarms_are_counted_in_a_thousand_safe_steps():
    costs, risks = [at(100, 50), at(100)], [at(100, 5, 45), at(100, 7)]
    assert false_alarms(risks, costs, 0.5, look_ahead=9) == pytest.approx(1000 * 2 / 190)
    assert np.isnan(false_alarms([np.ones(3)], [np.ones(3)], 0.5))


def test_the_realised_risk_is_a_discounted_sum_that_ends_with_the_episode():
    np.testing.assert_allclose(realised_risk(np.array([0, 0, 1, 1, 0]), 2, 0.5), [0.25, 0.75, 1.5, 1.0, 0.0])
    np.testing.assert_allclose(realised_risk(at(4, 2), 0, 0.5), at(4, 2))


def test_reliability_compares_means_of_bins():
    curve = reliability(np.array([0.1, 0.1, 0.9, 1.7]), np.array([0.0, 1.0, 1.0, 3.0]), bins=5)
    np.testing.assert_allclose(curve.predicted, [0.1, 0.95])
    np.testing.assert_allclose(curve.realised, [0.5, 1.0])
    assert curve.count.tolist() == [2, 2]
    assert curve.ece == pytest.approx((2 * 0.4 + 2 * 0.05) / 4)


def test_a_calibrated_probability_has_next_to_no_calibration_error():
    rng = np.random.default_rng(0)
    p = rng.random(40_000)
    y = rng.random(40_000) < p
    assert reliability(p, y).ece < 0.01
    assert reliability(p**2, y).ece > 0.1


# -- the rule ----

EARLY = CalibrationConfig(horizons=(0,), gammas=(1.0,), lead=5, look_back=20)


def ten_failures(warned: list[float]) -> tuple[list[Array], list[Array]]:
    """One failure an episode, at step 50 of 100; the risk ten steps before is that of `warned`, and 0.2 at step 3."""
    risks = [0.2 * at(100, 3) + height * at(100, 40) for height in warned]
    return [risk[:, None] for risk in risks], [at(100, 50) for _ in warned]


def test_the_threshold_is_the_lowest_with_so_few_false_alarms():
    heights = [0.15 + 0.1 * i for i in range(10)]
    safe = 100 - 21  # in each episode, one of them at a risk of 0.2
    found = choose(*ten_failures(heights), EARLY)
    assert found.eps_safe == 0.0 and found.recall == 1.0 and found.onsets == 10 and found.steps == 1000
    assert found.false_alarms == pytest.approx(1000 * 1 / safe)
    assert 0.0 <= found.ece <= 1.0
    found = choose(*ten_failures(heights), replace(EARLY, false_alarms=1000 / safe - 1))
    assert found.eps_safe == 0.2 and found.recall == 0.9 and found.false_alarms == 0.0


def test_a_risk_that_warns_of_nothing_is_no_better_than_chance():
    found = choose(*ten_failures([0.0] * 10), EARLY)
    assert found.recall == 0.0 and 0.4 < found.auroc < 0.6


def test_a_choice_is_judged_on_other_episodes_with_its_own_threshold():
    chosen = choose(*ten_failures([0.5] * 10), replace(EARLY, false_alarms=0.0))
    found = judge(chosen, *ten_failures([0.1, 0.4, 0.6, 0.7]), EARLY)
    assert (found.horizon, found.gamma_risk, found.eps_safe) == (0, 1.0, chosen.eps_safe)
    assert found.recall == 0.75 and found.onsets == 4 and found.false_alarms == 0.0


def test_the_curve_is_that_of_the_chosen_settings():
    chosen = Calibration(1, 0.5, 0.1, 1.0, 0.0, 1.0, 0.0, 1, 4)  # H, gamma_risk and what does not matter here
    found = curve(chosen, [np.array([[0.0, 0.2, 9.0], [0.4, 0.2, 9.0]])], [np.array([0, 1])])
    assert found.predicted.tolist() == pytest.approx([0.1, 0.5])  # p0 + 0.5 p1
    assert found.realised.tolist() == pytest.approx([0.5, 1.0])  # the cost of step 1, seen from steps 0 and 1
    assert found.count.tolist() == [1, 1]


def test_steps_in_the_midst_of_a_failure_are_no_feat_of_foresight():
    """A risk that only says what happens now: chance level once the failure itself is left out, but for its onset."""
    costs = [(np.arange(100) >= 50).astype(float) for _ in range(2)]
    found = choose([cost[:, None] for cost in costs], costs, EARLY)
    assert found.auroc == pytest.approx(0.5 + 0.5 / 21)


def test_the_candidate_that_foresees_most_is_taken():
    """The present probability says nothing in time; two steps ahead everything is seen, four ahead there is noise."""
    rng, costs, probabilities = np.random.default_rng(0), [], []
    for _ in range(10):
        cost = at(100, 50)
        p = np.zeros((100, 5))
        p[:, 0] = cost
        p[40:49, 2] = 1.0
        p[:, 4] = 3.0 * rng.random(100)
        costs.append(cost)
        probabilities.append(p)
    found = choose(probabilities, costs, CalibrationConfig((0, 2, 4), (0.9, 1.0), 5.0, look_back=20))
    assert (found.horizon, found.gamma_risk, found.recall, found.false_alarms) == (2, 0.9, 1.0, 0.0)


def test_error_no_failures():
    with pytest.raises(
        InvalidValueError, match="1 calibration episodes hold 0 failures at step 5 or later: collect mo"
    ):
        choose([np.zeros((10, 1))], [np.zeros(10)], EARLY)


def test_error_short_rollouts():
    with pytest.raises(InvalidValueError, match="probabilities reach 2 steps ahead, the candidates 20: roll out furth"):
        choose([np.zeros((10, 3))], [np.zeros(10)])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"horizons": ()}, r"horizons \(\) and gammas .*: give at least one candidate of each"),
        ({"false_alarms": 1000.0}, r"false_alarms 1000.0 is not in \[0, 1000\): it counts alarms in 1,000 safe ste"),
        ({"lead": 40}, r"lead 40 is not in 0\.\.30: it is within the look-back"),
    ],
)
def test_error_config(change: dict[str, object], text: str):
    with pytest.raises(InvalidValueError, match=text):
        replace(CalibrationConfig(), **change)  # type: ignore[arg-type]
