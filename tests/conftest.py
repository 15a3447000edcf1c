"""What every test needs before the first import of MuJoCo or torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

os.environ.setdefault("MUJOCO_GL", "egl")  # read once, when mujoco is imported
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame without a screen
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from handrail.learn.world_model import WorldModel
    from handrail.store.trajectories import Trajectories

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """A test that raises the number of threads does not slow down, or change the sums of, the next one."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


# -- a world of 2-D points with a hazard: small enough to know, for world models and what runs on them ---------------


@dataclass(frozen=True)
class PointMass:
    """Points (x, y, vx, vy) that are pushed about; a step that ends at x > 1 is a violation."""

    horizon: int = 40

    def step(self, state: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, 4), (B, 2) -> next states (B, 4) and costs (B,)."""
        velocity = 0.8 * state[:, 2:] + 0.04 * np.clip(action, -1.0, 1.0)
        place = np.clip(state[:, :2] + velocity, -1.5, 1.5)
        return np.concatenate([place, velocity], 1).astype(np.float32), (place[:, 0] > 1.0).astype(np.float32)

    def data(self, episodes: int, seed: int) -> Trajectories:
        """Episodes under actions that wander; the reward is 1 - |y|, and time ends them."""
        from handrail.store.trajectories import Trajectories

        rng = np.random.default_rng(seed)
        state = np.concatenate([rng.uniform(-1.0, 1.0, (episodes, 2)), np.zeros((episodes, 2))], 1).astype(np.float32)
        action = rng.uniform(-1.0, 1.0, (episodes, 2)).astype(np.float32)
        rows = []
        for _ in range(self.horizon):
            action = np.clip(0.9 * action + 0.4 * rng.standard_normal(action.shape), -1, 1).astype(np.float32)
            after, cost = self.step(state, action)
            rows.append((state, after, action, cost))
            state = after
        columns = (np.stack(column, 1) for column in zip(*rows, strict=True))
        state, after, action, cost = (column.reshape(-1, *column.shape[2:]) for column in columns)
        ends = np.tile(np.arange(self.horizon) == self.horizon - 1, episodes)
        nothing, reward = np.zeros(len(cost), np.int64), 1.0 - np.abs(after[:, 1])
        return Trajectories(
            {"state": state}, {"state": after}, action, action, reward, cost, nothing.astype(bool), ends, nothing
        )


@pytest.fixture(scope="session")
def point_mass() -> PointMass:
    return PointMass()


@pytest.fixture(scope="session")
def hazard_model(point_mass: PointMass) -> WorldModel:
    """A world model of `PointMass`, trained for a few seconds. Shared: do not train it on."""
    from handrail.learn.world_model import WindowSampler, WorldModel, WorldModelConfig

    config = WorldModelConfig(hidden=(64, 64), horizon=8, batch_size=64, learning_rate=2e-3)
    data, rng = point_mass.data(400, 0), np.random.default_rng(0)
    model = WorldModel(config, {"state": 4}, 2, 0)
    model.fit_normaliser(data.batch())
    model.fit_scales(data)
    windows = WindowSampler(data, config.horizon, config.positive_share)
    for _ in range(800):
        model.update(*windows.sample(config.batch_size, rng))
    return model
