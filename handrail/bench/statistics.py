"""Paired hierarchical bootstrap: resample run seeds, then the episodes within each.

Efron & Tibshirani (1993), chapters 8 (nested data) and 13 (percentile intervals).

A sample of one method is a list with one entry per run seed: the 0/1 (or real) outcomes of its evaluation episodes
(E,), or one number (1,) for metrics that a run has once. Paired: methods share the drawn run seeds and, since all are
evaluated on the same env seeds, the drawn episodes. With one run seed an interval speaks of that run only, and with
five it is a little too narrow, as every bootstrap of five is.

Where persons are evaluated, all runs and tasks meet the same ones, and who comes several times is not several persons:
then persons are drawn, once for all runs and tasks, and episodes of each (`each`, how often everybody comes).
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


def interval(samples: Samples, each: int = 0) -> Interval:
    """Return the mean over run seeds of the mean over episodes, with its 95 % interval."""
    stacked = _stack([samples])
    return _interval(_mean(stacked)[0], resample(stacked, each=each)[:, 0], len(samples))


def difference(method: Samples, other: Samples, each: int = 0) -> Interval:
    """Return the interval of `method` minus `other`, over the same run seeds and the same episodes in both.

    Raises:
        InvalidValueError: they are not pairs.
    """
    stacked = _stack([method, other])
    means, drawn = _mean(stacked), resample(stacked, each=each)
    return _interval(means[0] - means[1], drawn[:, 0] - drawn[:, 1], len(method))


def mean_over_tasks(tasks: Sequence[Samples], each: int = 0) -> Interval:
    """Return the interval of the mean over tasks; each task's runs are resampled on their own, `n` is the least.

    The persons are those of all tasks, if everybody comes `each` times.
    """
    rows = [_stack([samples]) for samples in tasks]
    drawn = np.mean([resample(stacked, stream, each=each)[:, 0] for stream, stacked in enumerate(rows)], axis=0)
    mean = float(np.mean([_mean(stacked)[0] for stacked in rows]))
    return _interval(mean, drawn, min(len(samples) for samples in tasks))


def resample(stacked: Sequence[Array], stream: int = 0, resamples: int = RESAMPLES, each: int = 0) -> Array:
    """Return bootstrap means (B, M).

    Args:
        stacked: one entry per run seed: outcomes (M, E) of M methods on that seed's E episodes.
        stream: separates the draws of samples that are not paired.
        each: so many successive episodes are one person's, who met every run; 0 where each run has its own episodes.

    Raises:
        InvalidValueError: persons are asked for, and runs differ in their episodes.
    """
    rng = np.random.default_rng([ROOT_SEED, stream])
    seeds = rng.integers(len(stacked), size=(resamples, len(stacked)))  # (B, S)
    means = np.empty((*seeds.shape, stacked[0].shape[0]))  # (B, S, M)
    people = _people(stacked, each, resamples, rng) if each and stacked[0].shape[1] > 1 else None
    for seed, outcomes in enumerate(stacked):
        drawn = np.nonzero(seeds == seed)
        episodes = _episodes(outcomes.shape[1], len(drawn[0]), rng) if people is None else people[drawn[0]]
        means[drawn] = np.stack([row[episodes].mean(axis=1) for row in outcomes], axis=1)
    return means.mean(axis=1)


def _episodes(count: int, resamples: int, rng: np.random.Generator) -> Array:
    """(B, E): episodes drawn with replacement; one number is what it is."""
    return rng.integers(count, size=(resamples, count)) if count > 1 else np.zeros((resamples, 1), int)


def _people(stacked: Sequence[Array], each: int, resamples: int, rng: np.random.Generator) -> Array:
    counts = {outcomes.shape[1] for outcomes in stacked}
    if len(counts) > 1:
        raise InvalidValueError(
            f"runs have {sorted(counts)} episodes, the same persons meet every run: use one budget's"
        )
    return draw_people(counts.pop(), each, resamples, rng)


def draw_people(count: int, each: int, resamples: int, rng: np.random.Generator) -> Array:
    """Return indices (B, E) of episodes: persons drawn with replacement, then as many episodes of each as they have.

    The persons of a draw are the same whatever `rng` is: they do all tasks, each with episodes of its own.

    Raises:
        InvalidValueError: `count` episodes are not `each` of everybody.
    """
    persons, left = divmod(count, each)
    if left:
        raise InvalidValueError(f"{count} episodes are not {each} of each person: give how often everybody comes")
    who = np.random.default_rng([ROOT_SEED, resamples, persons]).integers(persons, size=(resamples, persons, 1))
    return (who * each + rng.integers(each, size=(resamples, persons, each))).reshape(resamples, count)


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
