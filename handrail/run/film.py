"""Films the episodes that somebody will look at, and none of the others: rendering costs more than the physics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from handrail.core.values import Array, Step
from handrail.run.supervised import as_mapping

FRAME = "images.front"


class Film(gym.Wrapper[Any, Array, Any, Array]):
    """While `rolling`, adds what `env.render()` shows to every observation as "images.front" (H, W, 3) uint8."""

    def __init__(self, env: gym.Env[Any, Array]) -> None:
        super().__init__(env)
        self.rolling = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._filmed(observation), info

    def step(self, action: Array) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, *rest = self.env.step(action)
        return self._filmed(observation), *rest  # type: ignore[return-value]

    def _filmed(self, observation: Any) -> Any:
        return {**as_mapping(observation), FRAME: np.asarray(self.env.render())} if self.rolling else observation


def without_film(step: Step) -> Step:
    """The same step as a learner from state stores it."""
    if FRAME not in step.observation:
        return step
    before, after = ({k: v for k, v in o.items() if k != FRAME} for o in (step.observation, step.next_observation))
    return replace(step, observation=before, next_observation=after)
