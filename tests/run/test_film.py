"""Film: only while rolling, and never into a learner's buffer."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from handrail.core.values import Array, Step
from handrail.run import Supervised
from handrail.run.film import FRAME, Film, without_film


class Painted(gym.Env[Array, Array]):
    """Shows how many steps were taken as the brightness of its picture."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    steps = 0

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Array):
        self.steps += 1
        return np.zeros(1, np.float32), 0.0, False, False, {}

    def render(self):  # type: ignore[override]
        return np.full((4, 6, 3), self.steps, np.uint8)


def one_step(rolling: bool) -> Step:
    film = Film(Painted())
    film.rolling = rolling
    env = Supervised(film)
    env.reset()
    env.step(np.zeros(1, np.float32))
    assert env.last_step is not None
    return env.last_step


def test_frames_belong_to_their_observations() -> None:
    step = one_step(rolling=True)
    assert np.array_equal(step.observation[FRAME], np.zeros((4, 6, 3)))
    assert np.array_equal(step.next_observation[FRAME], np.ones((4, 6, 3)))


def test_nothing_is_drawn_otherwise() -> None:
    assert FRAME not in one_step(rolling=False).observation


def test_a_learner_gets_the_step_without_its_frames() -> None:
    bare = without_film(one_step(rolling=True))
    assert set(bare.observation) == set(bare.next_observation) == {"state"}
    assert without_film(bare) is bare
