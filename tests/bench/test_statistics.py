"""The bootstrap against closed forms and known coverage."""

import numpy as np
import pytest

from handrail.bench.statistics import Interval, difference, interval, mean_over_tasks, resample
from handrail.core.errors import InvalidValueError


def _hierarchical(rng: np.random.Generator, seeds: int, episodes: int) -> list[np.ndarray]:
    """True mean 0.5; standard deviation 0.1 between seeds, 0.3 within."""
    return [rng.normal(rng.normal(0.5, 0.1), 0.3, size=episodes) for _ in range(seeds)]


def test_variance_is_the_closed_form_of_two_levels() -> None:
    samples = _hierarchical(np.random.default_rng(0), seeds=6, episodes=40)
    means = np.array([s.mean() for s in samples])
    within = np.array([s.var() for s in samples])
    expected = (means.var() + within.mean() / 40) / 6  # var of seed means + var of an episode mean, over 6 draws
    drawn = resample([s[None] for s in samples], resamples=50_000)[:, 0]
    assert drawn.var() == pytest.approx(expected, rel=0.03)
    assert drawn.mean() == pytest.approx(means.mean(), abs=4 * np.sqrt(expected / 50_000))


def test_variance_of_a_paired_difference_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(1)
    a = _hierarchical(rng, 5, 30)
    b = [x + rng.normal(0.05, 0.1, size=30) for x in a]
    stacked = [np.stack(pair) for pair in zip(a, b, strict=True)]
    drawn = resample(stacked, resamples=50_000)
    differences = [x - y for x, y in zip(a, b, strict=True)]
    means, within = np.array([d.mean() for d in differences]), np.array([d.var() for d in differences])
    assert (drawn[:, 0] - drawn[:, 1]).var() == pytest.approx((means.var() + within.mean() / 30) / 5, rel=0.03)


def test_one_seed_of_coin_flips_has_the_binomial_interval() -> None:
    found = interval([np.repeat([0.0, 1.0], [20, 80])])
    half = 1.96 * np.sqrt(0.8 * 0.2 / 100)
    assert found.mean == pytest.approx(0.8) and found.n == 1
    assert (found.lo, found.hi) == pytest.approx((0.8 - half, 0.8 + half), abs=0.011)


def test_coverage_is_near_ninety_five_percent() -> None:
    rng = np.random.default_rng(2)
    hits = [(i := interval(_hierarchical(rng, 20, 10))).lo <= 0.5 <= i.hi for _ in range(150)]
    assert 0.87 <= np.mean(hits) <= 0.98


def test_pairing_narrows_and_the_same_method_differs_by_nothing() -> None:
    samples = _hierarchical(np.random.default_rng(3), 5, 50)
    assert difference(samples, samples) == Interval(0.0, 0.0, 0.0, 5)
    better = [s + 0.02 for s in samples]
    found = difference(better, samples)
    assert (found.mean, found.lo, found.hi) == pytest.approx((0.02, 0.02, 0.02))
    assert found.excludes_zero and not difference(samples, samples).excludes_zero


def test_scalars_and_constants() -> None:
    assert interval([np.array(3.0)]) == Interval(3.0, 3.0, 3.0, 1)
    found = interval([np.array([v]) for v in (1.0, 2.0, 3.0)])
    assert found.mean == 2.0 and (found.lo, found.hi) == (1.0, 3.0)


def test_runs_may_differ_in_episodes_and_weigh_the_same() -> None:
    found = interval([np.ones(10), np.zeros(90)])
    assert found.mean == 0.5 and (found.lo, found.hi) == (0.0, 1.0)


def test_mean_over_tasks_averages_independent_tasks() -> None:
    rng = np.random.default_rng(4)
    a, b = _hierarchical(rng, 20, 20), _hierarchical(rng, 20, 20)
    one, both = interval(a), mean_over_tasks([a, b])
    assert both.mean == pytest.approx((one.mean + interval(b).mean) / 2)
    assert (both.hi - both.lo) / (one.hi - one.lo) == pytest.approx(1 / np.sqrt(2), rel=0.3)


def test_persons_who_meet_every_run_are_no_more_persons_for_that() -> None:
    """The same episodes in three runs tell no more than once; drawn run by run they would seem to."""
    coins = np.repeat([0.0, 1.0], [15, 25])
    once, thrice = interval([coins], each=1), interval([coins] * 3, each=1)
    assert (thrice.lo, thrice.hi) == pytest.approx((once.lo, once.hi), abs=0.03)
    apart = interval([coins] * 3)
    assert apart.hi - apart.lo < 0.7 * (thrice.hi - thrice.lo)


def test_variance_of_people_is_the_closed_form_of_persons_and_their_episodes() -> None:
    rng = np.random.default_rng(5)
    people = rng.normal(0.5, 0.3, size=(12, 1)) + rng.normal(0.0, 0.2, size=(12, 4))
    drawn = resample([people.ravel()[None]], resamples=50_000, each=4)[:, 0]
    expected = (people.mean(1).var() + people.var(1).mean() / 4) / 12
    assert drawn.var() == pytest.approx(expected, rel=0.03)


def test_the_same_persons_in_two_tasks_are_not_twice_as_many() -> None:
    gifted = np.repeat(np.random.default_rng(6).integers(2, size=20).astype(float), 4)  # who can, always does
    one, both = interval([gifted], each=4), mean_over_tasks([[gifted]] * 2, each=4)
    assert (both.lo, both.hi) == (one.lo, one.hi)
    apart = mean_over_tasks([[gifted]] * 2)
    assert apart.hi - apart.lo < 0.5 * (both.hi - both.lo)


def test_persons_need_whole_episodes() -> None:
    with pytest.raises(InvalidValueError, match="10 episodes are not 4 of each person"):
        interval([np.ones(10)], each=4)
    with pytest.raises(InvalidValueError, match=r"runs have \[4, 8\] episodes, the same persons meet every run"):
        interval([np.ones(4), np.ones(8)], each=4)
    assert interval([np.array(3.0)], each=4) == Interval(3.0, 3.0, 3.0, 1)  # a number that a run has once


def test_same_input_same_interval() -> None:
    samples = _hierarchical(np.random.default_rng(5), 4, 25)
    assert interval(samples) == interval(samples)


def test_what_is_not_a_pair_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"run seeds per method are \[2, 1\].*run the missing seeds"):
        difference([np.ones(3), np.ones(3)], [np.ones(3)])
    with pytest.raises(InvalidValueError, match="evaluate on the same env seeds"):
        difference([np.ones(3)], [np.ones(4)])
    with pytest.raises(InvalidValueError, match="run seeds per method"):
        interval([])
