"""The validity figures themselves; the large numbers are in the docs."""

from __future__ import annotations

import json

import pytest

from handrail.core.errors import InvalidValueError
from handrail.operators.traits import TIERS
from handrail.operators.validity import fitts, reach_s, validity


@pytest.mark.parametrize("tier", TIERS)
def test_reaches_obey_fitts_law(tier: str) -> None:
    figures = fitts(tier, people=10, trials=3)
    assert figures["slope_s_per_bit"] > 0.05
    assert figures["r2"] > 0.8


def test_skill_makes_reaches_faster() -> None:
    slopes = [fitts(tier, people=6, trials=2)["slope_s_per_bit"] for tier in TIERS]
    assert slopes == sorted(slopes, reverse=True)


def test_a_reach_repeats() -> None:
    assert reach_s(3, "ordinary", 0.2, 0.02, 1) == reach_s(3, "ordinary", 0.2, 0.02, 1)
    assert reach_s(3, "ordinary", 0.2, 0.02, 1) != reach_s(3, "ordinary", 0.2, 0.02, 2)


def test_the_figures_are_plain_json_with_shares_that_add_up() -> None:
    figures = validity(["TubeInsertion"], draws=2)
    json.dumps(figures, allow_nan=False)
    task = figures["tasks"]["TubeInsertion"]
    assert set(task["unassisted_success"]) == set(TIERS)
    assert 0.0 <= task["operator_steps"] <= 1.0
    assert not task["steps_by_cause"] or abs(sum(task["steps_by_cause"].values()) - 1.0) < 1e-9


@pytest.mark.parametrize("draws", [0, 101])
def test_evaluation_draws_are_out_of_reach(draws: int) -> None:
    with pytest.raises(InvalidValueError, match=rf"draws is {draws}, must be in \[1, 100\]"):
        validity([], draws)
