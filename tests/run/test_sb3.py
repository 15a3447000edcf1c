"""Real Stable-Baselines3 SAC trains through `Supervised`, and its buffer holds what was executed."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from stable_baselines3 import SAC

from handrail.core.values import Intent, StepView
from handrail.run import Supervised
from handrail.run.sb3 import ExecutedActionDictReplayBuffer, ExecutedActionReplayBuffer


class EveryThird:
    """Holds the robot on every third step, with an action nobody's policy would draw twice."""

    def reset(self, draw: int) -> None:
        """The count goes on over episodes, to match the buffer's rows."""
        self.count = getattr(self, "count", -1)

    def intent(self, view: StepView) -> Intent | None:
        self.count += 1
        return Intent(np.array([1.25], np.float32)) if self.count % 3 == 0 else None


def test_sac_stores_the_executed_actions() -> None:
    env = Supervised(gym.make("Pendulum-v1"), operator=EveryThird())
    model = SAC(
        "MlpPolicy", env, replay_buffer_class=ExecutedActionReplayBuffer, learning_starts=50, buffer_size=1000, seed=0,
        policy_kwargs={"net_arch": [16, 16]}, device="cpu",
    )  # fmt: skip
    model.learn(300)
    stored = model.replay_buffer.actions[:300, 0, 0]
    held = np.arange(300) % 3 == 0
    assert np.allclose(stored[held], 1.25 / 2.0)  # SB3 keeps actions scaled to [-1, 1]; the pendulum's limit is 2
    assert not np.isclose(stored[~held], 1.25 / 2.0).any()


def test_dict_observations() -> None:
    class AsDict(gym.ObservationWrapper):
        def __init__(self, env: gym.Env) -> None:
            super().__init__(env)
            self.observation_space = gym.spaces.Dict({"state": env.observation_space})

        def observation(self, observation: np.ndarray) -> dict[str, np.ndarray]:
            return {"state": observation}

    env = Supervised(AsDict(gym.make("Pendulum-v1")), operator=EveryThird())
    model = SAC(
        "MultiInputPolicy", env, replay_buffer_class=ExecutedActionDictReplayBuffer, learning_starts=50,
        buffer_size=1000, seed=0, policy_kwargs={"net_arch": [16, 16]}, device="cpu",
    )  # fmt: skip
    model.learn(120)
    assert np.allclose(model.replay_buffer.actions[:120:3, 0, 0], 1.25 / 2.0)
