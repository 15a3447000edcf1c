"""The headline numbers of the FARL table: failures avoided, share of what an oracle avoids, return kept.

All are ratios of means over run seeds. Their intervals come from the paired hierarchical bootstrap of `statistics`:
run seeds are drawn for all methods together, then episodes. Training episodes differ from method to method, so their
failures are drawn apart, from the binomial distribution that resampling episodes amounts to; evaluation episodes
share their env seeds, so they are drawn together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handrail.bench.statistics import CONFIDENCE, RESAMPLES, ROOT_SEED, Array, Interval

Result = Mapping[str, Any]
Runs = Mapping[int, Result]
FARL, UNPROTECTED, ORACLE = "farl", "ppo", "oracle"


def headline(tasks: Mapping[str, Mapping[str, Runs]]) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
    """Return the numbers over all tasks that have them, and by task.

    `failure_reduction` is 1 - FARL / PPO in failing training episodes per episode; `gap_closed` (PPO - FARL) /
    (PPO - oracle) in the same; `return_ratio` FARL / PPO in normalised return of the final policies, alone.
    """
    drawn: dict[str, list[Array]] = {}
    seeds: dict[str, list[int]] = {}
    by_task: dict[str, dict[str, Interval]] = {}
    for stream, (task, methods) in enumerate(tasks.items()):
        by_task[task] = {}
        for name, (found, count) in _of_task(methods, stream).items():
            by_task[task][name] = _interval([found], [count])
            drawn.setdefault(name, []).append(found)
            seeds.setdefault(name, []).append(count)
    return {name: _interval(found, seeds[name]) for name, found in drawn.items()}, by_task


def _of_task(methods: Mapping[str, Runs], stream: int) -> dict[str, tuple[Array, int]]:
    """Each number of one task: its value, then its draws (1 + B,), and the number of run seeds."""
    found: dict[str, tuple[Array, int]] = {}
    pair = _shared(methods, (FARL, UNPROTECTED))
    if pair:
        farl, ppo = _failures(methods, pair, (FARL, UNPROTECTED), stream)
        found["failure_reduction"] = _ratio(ppo - farl, ppo), len(pair)
        farl, ppo = _returns(methods, pair, (FARL, UNPROTECTED), stream)
        found["return_ratio"] = _ratio(farl, ppo), len(pair)
    three = _shared(methods, (FARL, UNPROTECTED, ORACLE))
    if three:
        farl, ppo, oracle = _failures(methods, three, (FARL, UNPROTECTED, ORACLE), stream)
        found["gap_closed"] = _ratio(ppo - farl, ppo - oracle), len(three)
    return found


def _shared(methods: Mapping[str, Runs], names: Sequence[str]) -> list[int]:
    """The run seeds that all `names` have."""
    if any(name not in methods for name in names):
        return []
    return sorted(set.intersection(*(set(methods[name]) for name in names)))


def _failures(methods: Mapping[str, Runs], seeds: Sequence[int], names: Sequence[str], stream: int) -> list[Array]:
    """Mean share of failing training episodes of each method: its value, then its draws (1 + B,)."""
    rng = np.random.default_rng([ROOT_SEED, stream, 1])
    chosen = rng.integers(len(seeds), size=(RESAMPLES, len(seeds)))
    found = []
    for name in names:
        episodes = np.array([methods[name][seed]["episodes"] for seed in seeds])
        share = np.array([methods[name][seed]["failure_episodes"] for seed in seeds]) / episodes
        draws = rng.binomial(episodes[chosen], share[chosen]) / episodes[chosen]
        found.append(np.append(share.mean(), draws.mean(axis=1)))
    return found


def _returns(methods: Mapping[str, Runs], seeds: Sequence[int], names: Sequence[str], stream: int) -> list[Array]:
    """Mean normalised return of each method's final policies: its value, then its draws (1 + B,)."""
    rng = np.random.default_rng([ROOT_SEED, stream, 2])
    chosen = rng.integers(len(seeds), size=(RESAMPLES, len(seeds)))
    outcomes = np.array([[methods[name][seed]["episodes_return"] for seed in seeds] for name in names])  # (M, S, E)
    draws = np.empty((RESAMPLES, len(names)))
    for row, of_row in enumerate(chosen):
        episodes = rng.integers(outcomes.shape[2], size=(len(seeds), outcomes.shape[2]))
        draws[row] = outcomes[:, of_row[:, None], episodes].mean(axis=(1, 2))
    return [np.append(outcomes[m].mean(), draws[:, m]) for m in range(len(names))]


def _ratio(above: Array, below: Array) -> Array:
    """The ratio; where there is nothing to divide by, nothing was gained: 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=np.abs(below) > 1e-12)


def _interval(found: Sequence[Array], seeds: Sequence[int]) -> Interval:
    mean = np.mean(found, axis=0)
    tail = (1.0 - CONFIDENCE) / 2.0
    lo, hi = np.quantile(mean[1:], (tail, 1.0 - tail))
    return Interval(float(mean[0]), float(lo), float(hi), min(seeds))
