"""The headline of the guided-teleoperation table, on outcomes whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.bench.guided_teleop import headline


def result(success: list[int], time_s: list[float], authority: list[int] | None = None) -> dict[str, object]:
    return {"episodes_success": success, "episodes_time_s": time_s, "episodes_authority": authority or []}


ALONE = result([1, 1, 0, 0], [10.0, 12.0, 15.0, 15.0])
OURS = result([1, 1, 1, 0], [8.0, 9.0, 9.0, 4.0], [1, 1, 1, 0])


def test_the_numbers_of_one_task() -> None:
    overall, by_task = headline({"T": {"ours": {0: OURS}, "unassisted": {0: ALONE}}})
    found = by_task["T"]
    assert found["success_ours"].mean == 0.75
    assert found["success_unassisted"].mean == 0.5
    assert found["gain"].mean == 25.0
    assert found["time_ratio"].mean == pytest.approx(17.0 / 22.0)  # only where both succeed
    assert found["authority"].mean == 0.75
    assert overall["gain_worst_task"].mean == 25.0
    assert "gain" not in overall
    for name, one in found.items():
        assert one.lo <= one.mean <= one.hi, name
        assert one.n == 1


def test_the_worst_task_is_the_worst_in_every_draw() -> None:
    better = {"ours": {0: result([1, 1, 1, 1], [1.0] * 4)}, "unassisted": {0: result([0, 0, 0, 0], [1.0] * 4)}}
    worse = {"ours": {0: result([1, 0, 1, 0], [1.0] * 4)}, "unassisted": {0: result([1, 0, 1, 0], [1.0] * 4)}}
    overall, by_task = headline({"A": better, "B": worse})
    assert by_task["A"]["gain"].mean == 100.0
    worst = overall["gain_worst_task"]
    assert (worst.mean, worst.lo, worst.hi) == (0.0, 0.0, 0.0)  # the pairs of B agree: their difference has no width
    assert overall["success_ours"].mean == 0.75
    assert "time_ratio" not in by_task["A"]  # nobody succeeds alone there


def test_pairs_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    alone = rng.integers(2, size=200)
    runs = {0: result(list(alone), [1.0] * 200)}
    shifted = {0: result(list(np.maximum(alone, [1] * 20 + [0] * 180)), [1.0] * 200)}
    _, by_task = headline({"T": {"ours": shifted, "unassisted": runs}})
    gain = by_task["T"]["gain"]
    assert gain.hi - gain.lo < 8.0  # two samples of 200 drawn apart would be some 19 points wide


def test_the_same_people_in_three_runs_are_not_three_times_as_many() -> None:
    rng = np.random.default_rng(1)
    alone = result(list(rng.integers(2, size=40)), [1.0] * 40)
    ours = result(list(rng.integers(2, size=40)), [1.0] * 40)
    widths = []
    for seeds in (1, 3):
        methods = {"ours": dict.fromkeys(range(seeds), ours), "unassisted": dict.fromkeys(range(seeds), alone)}
        _, by_task = headline({"T": methods}, each=4)
        widths.append(by_task["T"]["gain"].hi - by_task["T"]["gain"].lo)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_a_task_without_a_pair_says_nothing() -> None:
    overall, by_task = headline({"T": {"ours": {0: OURS}}, "U": {"ours": {0: OURS}, "unassisted": {1: ALONE}}})
    assert overall == {}
    assert by_task == {"T": {}, "U": {}}
