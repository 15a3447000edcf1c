"""The report's numbers, against runs small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handrail.report import summary
from handrail.report.runs import Run


def line(end: int, length: int, operator: int = 0, takeovers: dict[str, int] | None = None, **more: object) -> dict:
    base = {"kind": "episode", "episode": end, "online_steps": end, "length": length, "operator_steps": operator}
    return {**base, "takeovers": takeovers or {}, **more}


LINES = [
    line(100, 100, 30, {"STUCK": 2, "DANGER": 1}, operator_steps_by_cause={"STUCK": 20, "DANGER": 10}, success=False),
    line(150, 50, 10, {"STUCK": 1}, operator_steps_by_cause={"STUCK": 10}, success=True),
    line(200, 50, success=True),
]


def test_moving_rate_divides_sums_of_the_window() -> None:
    curve = summary.moving(LINES, "operator_steps", "length", window=2)
    np.testing.assert_array_equal(curve.x, [100, 150, 200])
    np.testing.assert_allclose(curve.y, [0.3, 40 / 150, 0.1])


def test_moving_rate_begins_at_a_quarter_of_its_window() -> None:
    lines = [line(10 * (i + 1), 10, success=i >= 4) for i in range(8)]
    curve = summary.moving(lines, "success", None, window=8)
    np.testing.assert_array_equal(curve.x, [30, 40, 50, 60, 70, 80])
    np.testing.assert_allclose(curve.y, [0, 0, 0.2, 2 / 6, 3 / 7, 4 / 8])


def test_interventions_count_takeovers_and_what_lies_between_them() -> None:
    found = summary.interventions(LINES)
    assert (found.takeovers, found.operator_steps, found.steps) == (4, 40, 200)
    assert found.mean_length == found.median_length == 10.0
    assert found.steps_between == 40.0
    assert (found.untouched_episodes, found.episodes) == (1, 3)
    assert found.rate == pytest.approx(0.2)


def test_nobody_took_over() -> None:
    found = summary.interventions([LINES[2]])
    assert (found.takeovers, found.rate, found.steps_between) == (0, 0.0, float("inf"))


def test_first_and_last_steps_are_counted_in_online_steps() -> None:
    assert [x["online_steps"] for x in summary.first_steps(LINES, 150)] == [100, 150]
    assert [x["online_steps"] for x in summary.first_steps(LINES, 10)] == [100], "the first episode at least"
    assert [x["online_steps"] for x in summary.last_steps(LINES, 100)] == [150, 200]


def test_causes_come_most_frequent_first() -> None:
    assert summary.causes(LINES) == {"STUCK": (3, 30), "DANGER": (1, 10)}


def test_headline_takes_the_result_before_the_metrics() -> None:
    counted = summary.headline(Run(Path(), {}, None, tuple(LINES)))
    assert counted.success_assisted == pytest.approx(2 / 3)
    assert (counted.takeovers, counted.intervention_first, counted.assistant_rate) == (4, pytest.approx(0.2), 0.0)
    assert counted.success_autonomous is None
    told = summary.headline(Run(Path(), {}, {"success_rate_autonomous": 0.9, "takeovers": {"STUCK": 5}}, tuple(LINES)))
    assert (told.success_autonomous, told.takeovers) == (0.9, 5)


def test_mean_curve_covers_what_all_curves_share() -> None:
    one = summary.Curve(np.array([0.0, 10.0]), np.array([0.0, 1.0]))
    two = summary.Curve(np.array([2.0, 12.0]), np.array([0.5, 0.5]))
    mean = summary.mean_curve([one, two], points=3)
    np.testing.assert_allclose(mean.x, [2, 6, 10])
    np.testing.assert_allclose(mean.y, [0.35, 0.55, 0.75])


def test_incidents_are_none_where_nobody_counted() -> None:
    run = Run(Path(), {}, None, ({**LINES[0], "clipped_steps": 3}, {**LINES[1], "clipped_steps": 1}))
    assert summary.incidents(run) == {"clipped steps": 4, "overruns": None, "stops": None}
