"""Trajectories: order, ends of episodes, windows that stop where an episode does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError, SchemaError
from handrail.core.values import Authority, Step, TakeoverCause
from handrail.store import Dataset, DatasetWriter, EpisodeMeta
from handrail.store.trajectories import Trajectories, concatenate


def steps(first: int, count: int, terminated: bool = True, key: str = "state") -> list[Step]:
    def step(i: int) -> Step:
        now, after = ({key: np.array([float(n)]), "task": "push"} for n in (i, i + 1))
        end = i == first + count - 1
        return Step(
            now, after, np.array([i], np.float32), np.array([-i], np.float32), None, None, Authority.ASSISTANT,
            TakeoverCause.NONE, 1.0, 0.5, 0.0, float(i), float(i % 2), terminated and end, not terminated and end,
            False, 0.0, 0.0,
        )  # fmt: skip

    return [step(i) for i in range(first, first + count)]


def test_rows_keep_their_order_and_the_ends_of_their_episodes() -> None:
    data = Trajectories.of([steps(0, 3), steps(10, 2, terminated=False)])
    assert data.reward.tolist() == [0, 1, 2, 10, 11]
    assert data.cost.tolist() == [0, 1, 0, 0, 1]
    assert data.last.tolist() == [False, False, True, False, True]
    assert data.terminated.tolist() == [False, False, True, False, False]
    assert data.proposed[:, 0].tolist() == [0, -1, -2, -10, -11]
    assert data.episodes() == [slice(0, 3), slice(3, 5)]
    assert list(data.observation) == ["state"]  # a text is not a column
    assert data.next_observation["state"][:, 0].tolist() == [1, 2, 3, 11, 12]
    assert data.batch().terminated.tolist() == data.terminated.tolist()


def test_a_window_stops_where_its_episode_does() -> None:
    data = Trajectories.of([steps(0, 3), steps(10, 4)])
    window, valid = data.window(np.array([0, 1, 3]), 3)
    assert window.reward.tolist() == [[0, 1, 2], [1, 2, 2], [10, 11, 12]]
    assert valid.tolist() == [[True, True, True], [True, True, False], [True, True, True]]
    assert window.observation["state"].shape == (3, 3, 1)


def test_parts_join_when_they_have_the_same_keys() -> None:
    joined = concatenate([Trajectories.of([steps(0, 2)]), Trajectories.of([steps(5, 1)])])
    assert joined.reward.tolist() == [0, 1, 5]
    with pytest.raises(SchemaError, match="'other' is in one part only"):
        concatenate([Trajectories.of([steps(0, 2)]), Trajectories.of([steps(0, 2, key="other")])])


def test_a_piece_ends_where_the_choice_or_the_episode_does() -> None:
    data = Trajectories.of([steps(0, 4), steps(10, 3)])
    pieces = data.pieces(np.array([True, False, True, True, True, True, False]))
    assert pieces.reward.tolist() == [0, 2, 3, 10, 11]
    assert pieces.last.tolist() == [True, False, True, False, True]
    with pytest.raises(InvalidValueError, match="none of 7 steps"):
        data.pieces(np.zeros(7, bool))


def test_a_dataset_reads_back_as_it_was(tmp_path: Path) -> None:
    episodes = [steps(0, 3), steps(10, 2, terminated=False)]
    with DatasetWriter(tmp_path, fps=80) as writer:
        for episode in episodes:
            for step in episode:
                writer.add(step)
            writer.commit(EpisodeMeta(task="push", instruction="push"))
    read, kept = Trajectories.read(Dataset(tmp_path)), Trajectories.of(episodes)
    for name in ("action", "proposed", "reward", "cost", "terminated", "last", "authority"):
        assert np.array_equal(getattr(read, name), getattr(kept, name)), name
    assert np.array_equal(read.next_observation["state"], kept.next_observation["state"])


def test_nothing_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="hold 0 steps"):
        Trajectories.of([[]])


def test_labels_look_ahead_to_the_end_of_their_episode() -> None:
    data = Trajectories.of([steps(1, 4), steps(10, 2), steps(12, 2)])  # numbers are rewards, odd ones cost
    assert data.cost.tolist() == [1, 0, 1, 0, 0, 1, 0, 1]
    assert data.violation_within(0).tolist() == [True, False, True, False, False, True, False, True]
    assert data.violation_within(1).tolist() == [True, True, True, False, True, True, True, True]
    assert data.violation_within(99).tolist() == data.violation_within(1).tolist()
    assert data.end_of(np.array([0, 3, 4, 7])).tolist() == [3, 3, 5, 7]


def test_an_episode_ended_well_if_its_last_step_was_rewarded() -> None:
    rewards = np.array([0, 0, 1, 1, 0, 1], np.float32)
    data = replace(Trajectories.of([steps(0, 3), steps(0, 2), steps(0, 1)]), reward=rewards)
    assert data.ended_well().tolist() == [True, True, True, False, False, True]
