"""Replay buffers with which Stable-Baselines3 stores what was executed instead of what its policy proposed."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer


def _executed(action: np.ndarray, infos: list[dict[str, Any]], space: spaces.Space[Any]) -> np.ndarray:
    """Replace each row of `action` (N, A) by its `info["executed_action"]`, scaled to [-1, 1] as SB3 stores actions."""
    assert isinstance(space, spaces.Box)
    stored = np.array(action)
    for row, info in enumerate(infos):
        if "executed_action" in info:
            stored[row] = 2.0 * (info["executed_action"] - space.low) / (space.high - space.low) - 1.0
    return stored


class ExecutedActionReplayBuffer(ReplayBuffer):
    """For array observations: `SAC("MlpPolicy", env, replay_buffer_class=ExecutedActionReplayBuffer)`."""

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]) -> None:
        super().add(obs, next_obs, _executed(action, infos, self.action_space), reward, done, infos)


class ExecutedActionDictReplayBuffer(DictReplayBuffer):
    """For dict observations: `SAC("MultiInputPolicy", env, replay_buffer_class=ExecutedActionDictReplayBuffer)`."""

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]) -> None:
        super().add(obs, next_obs, _executed(action, infos, self.action_space), reward, done, infos)
