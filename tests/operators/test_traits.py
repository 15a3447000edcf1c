"""Who a person is: fixed by draw and tier."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError, UnknownNameError
from handrail.operators.traits import (
    DEVELOPMENT_DRAWS,
    EVALUATION_DRAWS,
    TIERS,
    draw_traits,
    tier_index,
    training_draw,
)


@pytest.mark.parametrize("tier", TIERS)
def test_traits_lie_in_their_ranges_and_repeat(tier: str) -> None:
    ranges = TIERS[tier]
    for draw in range(30):
        traits = draw_traits(draw, tier)
        for field in fields(ranges):
            low, high = getattr(ranges, field.name)
            assert low <= getattr(traits, field.name) <= high
        again = draw_traits(draw, tier)
        np.testing.assert_array_equal(traits.bias_m, again.bias_m)
        assert traits.bias_rad == again.bias_rad


def test_draws_are_different_people_and_so_are_tiers() -> None:
    speeds = {draw_traits(draw, tier).speed_m_s for draw in range(50) for tier in TIERS}
    assert len(speeds) == 150


def test_bias_has_the_spread_of_the_tier() -> None:
    biases = np.array([draw_traits(draw, "ordinary").bias_m for draw in range(100)])
    low, high = TIERS["ordinary"].bias_sigma_m
    assert 0.8 * low < biases.std() < 1.2 * high


def test_every_range_stays_within_the_published_ones() -> None:
    published = {
        "bias_sigma_m": (0.002, 0.008),
        "bias_sigma_rad": (np.deg2rad(1.0), np.deg2rad(4.0)),
        "delay_s": (0.15, 0.30),
        "replan_hz": (3.0, 5.0),
        "execution_noise": (0.05, 0.15),
        "tremor_m": (2e-4, 5e-4),
        "miss_rate": (0.05, 0.15),
        "false_alarm_rate": (0.01, 0.05),
    }
    for ranges in TIERS.values():
        for name, (low, high) in published.items():
            ours = getattr(ranges, name)
            assert low - 1e-9 <= ours[0] <= ours[1] <= high + 1e-9, name


def test_training_draws_meet_no_other_draws() -> None:
    rng = np.random.default_rng(0)
    drawn = {training_draw(rng) for _ in range(1000)}
    assert len(drawn) == 1000
    assert not drawn & {*DEVELOPMENT_DRAWS, *EVALUATION_DRAWS}


def test_unknown_tier_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown tier 'expret': did you mean expert"):
        tier_index("expret")


def test_negative_draw_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="operator draw is -1, must be >= 0"):
        draw_traits(-1, "expert")
