"""Who a simulated person is: their traits, drawn once from the ranges of their skill tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from handrail.core.errors import InvalidValueError, unknown_name
from handrail.core.values import Array

DEVELOPMENT_DRAWS = range(100)
EVALUATION_DRAWS = range(1000, 1100)
FIRST_TRAINING_DRAW = 10_000

Range = tuple[float, float]


@dataclass(frozen=True)
class TierRanges:
    """Each trait is uniform in its (low, high); units are in the names."""

    speed_m_s: Range  # mean speed of a reach of 10 cm
    settle_s: Range  # time a short correction takes
    bias_sigma_m: Range  # where they believe the object to be
    bias_sigma_rad: Range
    delay_s: Range  # visual loop
    replan_hz: Range
    execution_noise: Range  # share of the commanded motion
    tremor_m: Range  # amplitude at 8 to 12 Hz
    lapse_rate_hz: Range  # freezes and wrong axes
    patience_s: Range  # without progress, before it counts as trouble
    miss_rate: Range  # of true trouble events
    false_alarm_rate: Range  # of episodes
    danger_m: Range  # distance to failure that alarms them
    stay_s: Range  # how long progress must stay before they let go


_DEGREE = float(np.deg2rad(1.0))

TIERS: Mapping[str, TierRanges] = {
    "novice": TierRanges(
        speed_m_s=(0.065, 0.10),
        settle_s=(0.5, 0.65),
        bias_sigma_m=(0.006, 0.008),
        bias_sigma_rad=(3 * _DEGREE, 4 * _DEGREE),
        delay_s=(0.25, 0.30),
        replan_hz=(3.0, 3.5),
        execution_noise=(0.12, 0.15),
        tremor_m=(4e-4, 5e-4),
        lapse_rate_hz=(0.2, 0.35),
        patience_s=(2.0, 3.5),
        miss_rate=(0.12, 0.15),
        false_alarm_rate=(0.03, 0.05),
        danger_m=(0.010, 0.020),
        stay_s=(0.5, 0.8),
    ),
    "ordinary": TierRanges(
        speed_m_s=(0.15, 0.21),
        settle_s=(0.42, 0.55),
        bias_sigma_m=(0.0035, 0.006),
        bias_sigma_rad=(2 * _DEGREE, 3 * _DEGREE),
        delay_s=(0.20, 0.25),
        replan_hz=(3.5, 4.5),
        execution_noise=(0.08, 0.12),
        tremor_m=(3e-4, 4e-4),
        lapse_rate_hz=(0.06, 0.14),
        patience_s=(1.3, 2.3),
        miss_rate=(0.08, 0.12),
        false_alarm_rate=(0.02, 0.04),
        danger_m=(0.015, 0.025),
        stay_s=(0.4, 0.7),
    ),
    "expert": TierRanges(
        speed_m_s=(0.21, 0.27),
        settle_s=(0.28, 0.36),
        bias_sigma_m=(0.002, 0.0035),
        bias_sigma_rad=(1 * _DEGREE, 2 * _DEGREE),
        delay_s=(0.15, 0.20),
        replan_hz=(4.5, 5.0),
        execution_noise=(0.05, 0.08),
        tremor_m=(2e-4, 3e-4),
        lapse_rate_hz=(0.003, 0.01),
        patience_s=(1.0, 1.8),
        miss_rate=(0.05, 0.08),
        false_alarm_rate=(0.01, 0.02),
        danger_m=(0.020, 0.030),
        stay_s=(0.4, 0.6),
    ),
}
"""Skill tiers, worst first; the parameter ranges of operators.md split in three (ours)."""


@dataclass(frozen=True, eq=False)  # holds an array
class Traits:
    """One person. `bias` is persistent: they see every object displaced the same way."""

    speed_m_s: float
    settle_s: float
    bias_m: Array  # (3,)
    bias_rad: float
    bias_sigma_m: float
    bias_sigma_rad: float
    delay_s: float
    replan_hz: float
    execution_noise: float
    tremor_m: float
    lapse_rate_hz: float
    patience_s: float
    miss_rate: float
    false_alarm_rate: float
    danger_m: float
    stay_s: float


def tier_index(tier: str) -> int:
    """Return 0 for the least skilled tier.

    Raises:
        UnknownNameError: there is no such tier.
    """
    if tier not in TIERS:
        raise unknown_name("tier", tier, TIERS)
    return list(TIERS).index(tier)


def draw_traits(draw: int, tier: str) -> Traits:
    """The person that operator draw `draw` is in this tier: always the same one."""
    if draw < 0:
        raise InvalidValueError(f"operator draw is {draw}, must be >= 0: draws 0 to 99 are for development")
    rng = np.random.default_rng((draw, tier_index(tier)))
    ranges = TIERS[tier]
    value = {field.name: float(rng.uniform(*getattr(ranges, field.name))) for field in fields(ranges)}
    bias_m = value["bias_sigma_m"] * rng.standard_normal(3)
    return Traits(bias_m=bias_m, bias_rad=value["bias_sigma_rad"] * float(rng.standard_normal()), **value)


def training_draw(rng: np.random.Generator) -> int:
    """An operator draw for training: never one of the development or evaluation draws."""
    return int(rng.integers(FIRST_TRAINING_DRAW, 2**31))
