"""The headline numbers of FARL, against hand-made results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from handrail.bench.farl import headline


def run(failing: int, returns: float, episodes: int = 400) -> dict[str, Any]:
    rng = np.random.default_rng(failing)
    values = returns + 0.05 * rng.standard_normal(100)
    return {
        "episodes": episodes,
        "failure_episodes": failing,
        "episodes_return": (values - values.mean() + returns).tolist(),
    }


def test_values_are_ratios_of_means_over_run_seeds() -> None:
    task = {
        "ppo": {0: run(200, 0.8), 1: run(120, 0.8)},  # shares 0.5 and 0.3
        "farl": {0: run(60, 0.9), 1: run(20, 0.7)},  # 0.15 and 0.05
        "oracle": {0: run(20, 0.9), 1: run(12, 0.7)},  # 0.05 and 0.03
    }
    overall, by_task = headline({"BoundedPush": task})
    assert overall["failure_reduction"].mean == pytest.approx(1 - 0.1 / 0.4)
    assert overall["gap_closed"].mean == pytest.approx((0.4 - 0.1) / (0.4 - 0.04))
    assert overall["return_ratio"].mean == pytest.approx(1.0)
    assert by_task["BoundedPush"]["gap_closed"] == overall["gap_closed"] and overall["gap_closed"].n == 2


def test_intervals_hold_the_value_and_say_what_is_certain() -> None:
    clear = {"ppo": {seed: run(200 + seed, 0.8) for seed in range(3)}, "farl": {s: run(20 + s, 0.8) for s in range(3)}}
    doubtful = {"ppo": {s: run(40 + s, 0.8, 60) for s in range(3)}, "farl": {s: run(39 + s, 0.8, 60) for s in range(3)}}
    sure, unsure = (headline({"task": each})[0] for each in (clear, doubtful))
    for numbers in (sure, unsure):
        assert all(found.lo <= found.mean <= found.hi for found in numbers.values())
    assert sure["failure_reduction"].lo > 0.8 and unsure["failure_reduction"].lo < 0 < unsure["failure_reduction"].hi
    assert "gap_closed" not in sure  # no oracle, no gap


def test_tasks_are_averaged_and_no_failure_means_nothing_to_gain() -> None:
    half = {"ppo": {0: run(200, 0.8)}, "farl": {0: run(100, 0.8)}}
    never = {"ppo": {0: run(0, 0.8)}, "farl": {0: run(0, 0.8)}}
    assert headline({"a": half, "b": never})[0]["failure_reduction"].mean == pytest.approx(0.25)
