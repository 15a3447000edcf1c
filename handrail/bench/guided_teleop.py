"""The headline numbers of the guided-teleoperation table: more success, less time, and the person's own goal.

Intervals come from the paired hierarchical bootstrap of `statistics`: run seeds are drawn, and held-out persons with
their episodes, once for both methods and all run seeds, since all met the same persons on the same env seeds; the drawn
persons are those of all tasks. The episodes of the other goal, of which authority is the share, are drawn apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handrail.bench.statistics import CONFIDENCE, RESAMPLES, ROOT_SEED, Array, Interval, draw_people

Result = Mapping[str, Any]
Runs = Mapping[int, Result]
OURS, UNASSISTED = "ours", "unassisted"
POINTS = 100.0


def headline(
    tasks: Mapping[str, Mapping[str, Runs]], each: int = 1
) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
    """Return the numbers over all tasks that have them, and by task; everybody comes `each` times.

    `success_ours`, `success_unassisted` of ordinary persons; `gain` their difference in points, and over all tasks
    `gain_worst_task`; `time_ratio` ours / unassisted in mean time, on episodes in which both succeed; `authority` the
    share of those who get another goal alone that still get it.
    """
    drawn: dict[str, list[Array]] = {}
    seeds: dict[str, list[int]] = {}
    by_task: dict[str, dict[str, Interval]] = {task: {} for task in tasks}
    for stream, (task, methods) in enumerate(tasks.items()):
        shared = sorted(set(methods.get(OURS, {})) & set(methods.get(UNASSISTED, {})))
        if not shared:
            continue
        for name, found in _of_task(methods, shared, each, stream).items():
            by_task[task][name] = _interval(found, len(shared))
            drawn.setdefault(name, []).append(found)
            seeds.setdefault(name, []).append(len(shared))
    overall = {
        name: _interval(np.mean(found, axis=0), min(seeds[name])) for name, found in drawn.items() if name != "gain"
    }
    if "gain" in drawn:
        overall["gain_worst_task"] = _interval(np.min(drawn["gain"], axis=0), min(seeds["gain"]))
    return overall, by_task


def _of_task(methods: Mapping[str, Runs], shared: Sequence[int], each: int, stream: int) -> dict[str, Array]:
    """Each number of one task: its value, then its draws (1 + B,)."""
    rng = np.random.default_rng([ROOT_SEED, stream, 3])
    columns = ("episodes_success", "episodes_time_s")
    success, time_s = (
        np.array([[methods[name][seed][column] for seed in shared] for name in (OURS, UNASSISTED)], float)
        for column in columns
    )  # (2, S, E) each
    runs, count = len(shared), success.shape[2]
    index = np.concatenate([np.arange(runs * count)[None], _resampled(rng, runs, count, each)])  # (1 + B, S E)
    won = success.reshape(2, -1)[:, index]  # (2, 1 + B, S E)
    both = won[0] * won[1]
    ours_s, alone_s = (time_s.reshape(2, -1)[:, index] * both).sum(axis=2)
    ours, alone = won.mean(axis=2)
    found = {"success_ours": ours, "success_unassisted": alone, "gain": POINTS * (ours - alone)}
    if both[0].any():
        found["time_ratio"] = np.divide(ours_s, alone_s, out=np.full_like(ours_s, np.nan), where=alone_s > 0.0)
    kept = [np.asarray(methods[OURS][seed].get("episodes_authority") or [], float) for seed in shared]
    if all(len(one) for one in kept):
        found["authority"] = _authority(kept, rng)
    return found


def _resampled(rng: np.random.Generator, runs: int, count: int, each: int) -> Array:
    """(B, S E) indices of the drawn persons' episodes in drawn runs."""
    seeds = rng.integers(runs, size=(RESAMPLES, runs, 1))
    return (seeds * count + draw_people(count, each, RESAMPLES, rng)[:, None]).reshape(RESAMPLES, -1)


def _authority(kept: Sequence[Array], rng: np.random.Generator) -> Array:
    """The mean over run seeds, then its draws: the runs may have different numbers of such episodes."""
    shares = np.array([one.mean() for one in kept])
    counts = np.array([len(one) for one in kept])
    chosen = rng.integers(len(kept), size=(RESAMPLES, len(kept)))
    draws = rng.binomial(counts[chosen], shares[chosen]) / counts[chosen]
    return np.append(shares.mean(), draws.mean(axis=1))


def _interval(found: Array, seeds: int) -> Interval:
    tail = (1.0 - CONFIDENCE) / 2.0
    lo, hi = np.nanquantile(found[1:], (tail, 1.0 - tail))
    return Interval(float(found[0]), float(lo), float(hi), seeds)
