"""Paired hierarchical bootstrap: resample run seeds, then the episodes within each.

Efron & Tibshirani (1993), chapters 8 (nested data) and 13 (percentile intervals).

A sample of one method is a list with one entry per run seed: the 0/1 (or real) outcomes of its evaluation episodes
(E,), or one number (1,) for metrics that a run has once. Paired: methods share the drawn run seeds and, since all are
evaluated on the same env seeds, the drawn episodes. With one run seed an interval speaks of that run only, and with
five it is a little too narrow, as every bootstrap of five is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handrail.core.errors import InvalidValueError

Array = np.ndarray
Samples = Sequence[Array]
"""One entry per run seed: outcomes (E,)."""

RESAMPLES = 10_000
CONFIDENCE = 0.95
ROOT_SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its confidence interval; `n` run seeds."""

    mean: float
    lo: float
    hi: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        return self.lo > 0.0 or self.hi < 0.0


def interval(samples: Samples) -> Interval:
    """Return the mean over run seeds of the mean over episodes, with its 95 % interval."""
    stacked = _stack([samples])
    return _interval(_mean(stacked)[0], resample(stacked)[:, 0], len(samples))


def difference(method: Samples, other: Samples) -> Interval:
    """Return the interval of `method` minus `other`, over the same run seeds and the same episodes in both.

    Raises:
        InvalidValueError: they are not pairs.
    """
    stacked = _stack([method, other])
    means, drawn = _mean(stacked), resample(stacked)
    return _interval(means[0] - means[1], drawn[:, 0] - drawn[:, 1], len(method))


def mean_over_tasks(tasks: Sequence[Samples]) -> Interval:
    """Return the interval of the mean over tasks; each task's runs are resampled on their own, `n` is the least."""
    each = [_stack([samples]) for samples in tasks]
    drawn = np.mean([resample(stacked, stream)[:, 0] for stream, stacked in enumerate(each)], axis=0)
    mean = float(np.mean([_mean(stacked)[0] for stacked in each]))
    return _interval(mean, drawn, min(len(samples) for samples in tasks))


def resample(stacked: Sequence[Array], stream: int = 0, resamples: int = RESAMPLES) -> Array:
    """Return bootstrap means (B, M).

    Args:
        stacked: one entry per run seed: outcomes (M, E) of M methods on that seed's E episodes.
        stream: separates the draws of samples that are not paired.
    """
    rng = np.random.default_rng([ROOT_SEED, stream])
    seeds = rng.integers(len(stacked), size=(resamples, len(stacked)))  # (B, S)
    means = np.empty((*seeds.shape, stacked[0].shape[0]))  # (B, S, M)
    for seed, outcomes in enumerate(stacked):
        drawn = np.nonzero(seeds == seed)
        means[drawn] = _resampled_episodes(outcomes, len(drawn[0]), rng)
    return means.mean(axis=1)


def _resampled_episodes(outcomes: Array, count: int, rng: np.random.Generator) -> Array:
    """Return `count` bootstrap means (count, M) of outcomes (M, E)."""
    episodes = outcomes.shape[1]
    if episodes == 1:
        return np.broadcast_to(outcomes[:, 0], (count, outcomes.shape[0]))
    drawn = rng.integers(episodes, size=(count, episodes))
    return np.stack([row[drawn].mean(axis=1) for row in outcomes], axis=1)


def _stack(methods: Sequence[Samples]) -> list[Array]:
    """Turn the samples of M methods into one array (M, E) per run seed."""
    counts = [len(samples) for samples in methods]
    if min(counts) == 0 or len(set(counts)) > 1:
        raise InvalidValueError(f"run seeds per method are {counts}, a pair has as many in both: run the missing seeds")
    lengths = [[len(np.atleast_1d(outcomes)) for outcomes in samples] for samples in methods]
    if any(other != lengths[0] for other in lengths) or min(lengths[0]) == 0:
        raise InvalidValueError(f"episodes per run are {lengths}, a pair has the same: evaluate on the same env seeds")
    return [np.stack([np.atleast_1d(np.asarray(row, float)) for row in rows]) for rows in zip(*methods, strict=True)]


def _mean(stacked: Sequence[Array]) -> Array:
    return np.mean([outcomes.mean(axis=1) for outcomes in stacked], axis=0)


def _interval(mean: float, drawn: Array, n: int) -> Interval:
    tail = (1.0 - CONFIDENCE) / 2.0
    lo, hi = np.quantile(drawn, (tail, 1.0 - tail))
    return Interval(float(mean), float(lo), float(hi), n)
