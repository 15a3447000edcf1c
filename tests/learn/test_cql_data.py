"""n-step returns and labels of whole episodes, against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handrail.learn.cql import CQLConfig
from handrail.learn.cql_data import CQLSampler
from handrail.store.trajectories import Trajectories

THREE = CQLConfig(n_step=3, discount=0.5, horizon=1, lead=2, timeout_fails=False)


def episodes() -> Trajectories:
    """A success of 5 steps, a timeout of 2, and a failure of 1; states and actions are the row's number."""
    number = np.arange(8, dtype=np.float32)
    reward, cost = np.eye(8, dtype=np.float32)[4], np.eye(8, dtype=np.float32)[7]
    terminated = np.isin(number, (4, 7))
    return Trajectories(
        {"state": number[:, None]}, {"state": number[:, None] + 1}, number[:, None], number[:, None],
        reward, cost, terminated, np.isin(number, (4, 6, 7)), np.zeros(8, np.int64),
    )  # fmt: skip


def test_windows_stop_where_their_episode_does():
    batch = CQLSampler(episodes(), THREE).rows(np.arange(8))
    assert batch.returns.tolist() == [0, 0, 0.25, 0.5, 1, 0, 0, 0]
    assert batch.carry.tolist() == [
        0.125,
        0.125,
        0,
        0,
        0,
        0.25,
        0.5,
        0,
    ]  # time ran out: it goes on; the task ended: not
    assert batch.next_observation["state"][:, 0].tolist() == [3, 4, 5, 5, 5, 7, 7, 8]
    assert batch.next_action[:, 0].tolist() == [3, 4, 4, 4, 4, 6, 6, 7]
    assert batch.later_action[:, 0].tolist() == [2, 3, 4, 4, 4, 6, 6, 7]


def test_time_that_runs_out_is_a_failure_or_not():
    batch = CQLSampler(episodes(), replace(THREE, timeout_fails=True)).rows(np.arange(8))
    assert batch.carry.tolist() == [0.125, 0.125, 0, 0, 0, 0, 0, 0]


def test_labels_are_of_the_episode():
    batch = CQLSampler(episodes(), THREE).rows(np.arange(8))
    assert batch.success.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert batch.failure.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]  # not the one of the next episode


def test_draws_are_of_all_rows_and_fixed_by_the_generator():
    sampler = CQLSampler(episodes(), THREE)
    one, same = (sampler.sample(200, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.action, same.action)
    assert set(one.action[:, 0].tolist()) == set(range(8))
    assert one.returns.dtype == one.carry.dtype == one.failure.dtype == np.float32


@pytest.mark.parametrize("n", [1, 20])
def test_one_step_and_whole_episodes(n: int):
    batch = CQLSampler(episodes(), CQLConfig(n_step=n, discount=0.5, timeout_fails=False)).rows(np.array([0, 5]))
    assert batch.returns.tolist() == [0.0 if n == 1 else 0.5**4, 0.0]
    assert batch.carry.tolist() == ([0.5, 0.5] if n == 1 else [0.0, 0.25])
