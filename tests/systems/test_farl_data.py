"""Scripted data: each kind shows what it should, is seeded, and what it cost is counted."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import UnknownNameError
from handrail.core.values import Authority
from handrail.run import Supervised, run_episode
from handrail.store import Dataset
from handrail.store.trajectories import Trajectories
from handrail.systems.farl_data import ESCAPE_STEPS, LEAD, Beginner, Tally, collect, episodes, is_kept
from handrail.tasks import make
from handrail.tasks.base import PoseNoise


def test_task_data_are_clean_successes(tmp_path: Path) -> None:
    tally = collect("BoundedPush", "task", 3, 7, tmp_path)
    data = Trajectories.read(Dataset(tmp_path))
    assert tally.kept == Dataset(tmp_path).num_episodes == 3 and tally.kept_steps == len(data)
    assert not data.cost.any() and data.terminated[data.last].all()
    assert tally.failures_kept == 0 and tally.episodes >= 3


def test_bad_drivers_fail_often_and_their_near_misses_are_kept(tmp_path: Path) -> None:
    tally = collect("BoundedSoccer", "failure", 2_000, 7, tmp_path)
    dataset = Dataset(tmp_path)
    assert tally.kept_steps >= 2_000 and tally.kept == tally.episodes == dataset.num_episodes
    failing = [i for i in range(dataset.num_episodes) if dataset.episode(i).columns["next.cost"].any()]
    assert tally.failures == tally.failures_kept == len(failing) >= 2
    assert all(dataset.meta(i).failure_kind == "out_of_bounds" for i in failing)


def test_a_beginner_has_learnt_something_and_repeats_an_episode_exactly() -> None:
    beginner, env = Beginner("BoundedSoccer", run_seed=7), make("BoundedSoccer", noise=PoseNoise())
    runs = []
    for seed in (3, 3, 4):
        beginner.begin(seed)
        runs.append(run_episode(Supervised(env), beginner, seed=seed))
    first, second, other = ([step.action.tolist() for step in steps] for steps in runs)
    assert first == second and first[:5] != other[:5]
    reached = [min(np.linalg.norm(step.observation["state"][:3] - step.observation["state"][4:7]) for step in steps)
               for steps in runs]  # fmt: skip
    assert max(reached) < 0.12  # it finds the ball, 25 cm and more away at the start


def test_an_escape_begins_shortly_before_the_failure_it_avoids(tmp_path: Path) -> None:
    tally = collect("ObstructedPush", "recovery", 3, 7, tmp_path)
    assert tally.failures >= tally.kept == 3 and tally.failures_kept == 0  # each was a failure once, and is counted
    dataset = Dataset(tmp_path)
    for index in range(3):
        authority = dataset.episode(index).columns["authority"].ravel()
        helped = np.flatnonzero(authority == Authority.ASSISTANT)
        assert not dataset.episode(index).columns["next.cost"].any()
        assert LEAD[0] <= len(helped) <= ESCAPE_STEPS and np.array_equal(helped, np.arange(helped[0], len(authority)))


def test_the_same_seed_gives_the_same_episodes() -> None:
    first, second = (
        [(scene.env_seed, [step.action.tolist() for step in scene.steps]) for scene in islice(found, 2)]
        for found in (episodes("BoundedPush", "failure", 5), episodes("BoundedPush", "failure", 5))
    )
    other = next(episodes("BoundedPush", "failure", 6))
    assert first == second and first[0][0] != other.env_seed


def test_what_is_finished_is_not_collected_again(tmp_path: Path) -> None:
    tally = collect("BoundedPush", "task", 1, 3, tmp_path)
    before = sorted(file.stat().st_mtime_ns for file in tmp_path.rglob("*.parquet"))
    assert collect("BoundedPush", "task", 1, 3, tmp_path) == tally
    assert sorted(file.stat().st_mtime_ns for file in tmp_path.rglob("*.parquet")) == before


def test_failures_made_and_failures_kept_are_told_apart() -> None:
    scene = next(episodes("BoundedPush", "task", 0))
    tally = Tally().plus(scene, is_kept("task", scene.steps))
    assert tally.episodes == 1 and tally.kept_steps == tally.kept * len(scene.steps)
    with pytest.raises(UnknownNameError, match="did you mean failure"):
        next(episodes("BoundedPush", "failures", 0))
