"""Lockstep: side by side, and yet the same episodes as one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import gymnasium as gym
import numpy as np

from handrail.core.contracts import single
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal, Step
from handrail.run import Supervised, Supervisor, run_episode
from handrail.run.lockstep import Foreseen, Observations, lockstep


class Push:
    """Pushes along the velocity: solves the car on the hill."""

    def reset(self) -> None:
        """Nothing is carried."""

    def act(self, observation: Observation) -> Proposal:
        return single(np.sign([np.asarray(observation["state"])[1] + 1e-9]), Authority.POLICY)


class Speed:
    """A monitor that is afraid of speed."""

    def reset(self) -> None:
        """Nothing is carried."""

    def assess(self, observation: Observation, action: Array) -> Assessment:
        return Assessment(abs(float(np.asarray(observation["state"])[1])), 0.0)

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return [self.assess(step.observation, step.policy_action) for step in episode]


class Above:
    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def reset(self) -> None:
        """Nothing is carried."""

    def update(self, assessment: Assessment) -> float:
        return float(assessment.risk > self.threshold)


class Brake:
    def reset(self) -> None:
        """Nothing is carried."""

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal:
        return single(-np.sign([np.asarray(observation["state"])[1]]), Authority.ASSISTANT)


def car(foreseen: bool, threshold: float = 0.03) -> Supervised:
    monitor = Foreseen(Speed()) if foreseen else Speed()
    supervisor = Supervisor(monitor=monitor, trigger=Above(threshold), recovery=Brake())  # type: ignore[arg-type]
    return Supervised(gym.make("MountainCarContinuous-v0", max_episode_steps=120), supervisor)


def push_all(observations: Observations) -> Array:
    return np.sign(observations["state"][:, 1:2] + 1e-9).astype(np.float32)


def fear_all(observations: Observations, actions: Array) -> list[Assessment]:
    return [Assessment(abs(float(row[1])), 0.0) for row in observations["state"]]


def test_lanes_give_the_episodes_that_single_runs_give() -> None:
    found = lockstep([car(True) for _ in range(3)], push_all, count(5), 500, fear_all)
    together = {seed: steps for seed, _, steps in found}
    alone = car(False)
    assert sorted(together) == list(range(5, 5 + len(together)))  # seeds are used in order, none twice
    for seed, steps in together.items():
        single_run = run_episode(alone, Push(), seed=seed)
        assert len(steps) == len(single_run)
        for mine, other in zip(steps, single_run, strict=True):
            assert np.array_equal(mine.action, other.action)
            assert np.array_equal(np.asarray(mine.next_observation["state"]), other.next_observation["state"])
            assert mine.authority == other.authority and mine.reward == other.reward
    assert any(step.authority is Authority.ASSISTANT for steps in together.values() for step in steps)


def test_enough_is_enough_and_every_episode_is_whole() -> None:
    episodes = [steps for *_, steps in lockstep([car(True, 9.0) for _ in range(4)], push_all, count(), 300, fear_all)]
    taken = sum(map(len, episodes))
    assert all(steps[-1].done for steps in episodes)
    assert 300 <= taken < 300 + 4 * 120
    assert len(episodes) == 4  # each of them 120 steps or less, and none began after 300


def test_every_seed_is_used_once_where_the_seeds_are_what_ends_it() -> None:
    episodes = list(lockstep([car(True, 9.0) for _ in range(3)], push_all, iter(range(5)), assess=fear_all))
    assert sorted(seed for seed, *_ in episodes) == [0, 1, 2, 3, 4]
