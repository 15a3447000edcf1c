"""Scripted data: each kind shows what it should, is seeded, and what it cost is counted."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import UnknownNameError
from handrail.core.values import Authority
from handrail.store import Dataset
from handrail.store.trajectories import Trajectories
from handrail.systems.farl_data import ESCAPE_STEPS, LEAD, Tally, collect, episodes, is_kept


def test_task_data_are_clean_successes(tmp_path: Path) -> None:
    tally = collect("BoundedPush", "task", 3, 7, tmp_path)
    data = Trajectories.read(Dataset(tmp_path))
    assert tally.kept == Dataset(tmp_path).num_episodes == 3 and tally.kept_steps == len(data)
    assert not data.cost.any() and data.terminated[data.last].all()
    assert tally.failures_kept == 0 and tally.episodes >= 3


def test_failure_data_fail_and_are_counted(tmp_path: Path) -> None:
    tally = collect("BoundedSoccer", "failure", 400, 7, tmp_path)
    dataset = Dataset(tmp_path)
    assert tally.kept_steps >= 400 and tally.failures == tally.failures_kept == tally.kept == dataset.num_episodes
    assert all(dataset.episode(i).columns["next.cost"].any() for i in range(dataset.num_episodes))
    assert all(dataset.meta(i).failure_kind == "out_of_bounds" for i in range(dataset.num_episodes))


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
