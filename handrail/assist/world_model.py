"""FARL's monitor: C_H, the discounted probability of a violation within H steps, predicted by the world model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Observation, Step
from handrail.learn.world_model import WorldModel

from .imagination import FeaturePolicy, Imagination

BATCH = 256  # observations assessed at once by `assess_many` (ours)


class WorldModelMonitor:
    """C_H = sum_{i=t}^{t+H} gamma_risk^(i-t) P(C(s_i, a_i) = 1) (FARL), in one latent rollout.

    The given action is applied first, then the mean of the task policy goes on, acting on predicted features. The risk
    is C_H and may exceed 1. The value is Q(z, a), 0 and 1 being the 5th and 95th percentile of the data's discounted
    returns (ours). Parts: "p0", the probability of a violation by this very action; "p_max", the largest of all steps.

    It has no memory: assessing a second action at the same step changes nothing.

    Args:
        model: its weights are shared, not copied; training it or loading a checkpoint takes effect at once.
        policy: mean of the task policy on the features of the model's encoder; `imagination.mean_of(ppo.actor)` where
            PPO's encoder was fitted on the same batch.
        horizon: H.
        gamma_risk: in (0, 1].

    Raises:
        InvalidValueError: horizon or gamma_risk is outside its limit.
    """

    def __init__(self, model: WorldModel, policy: FeaturePolicy, horizon: int = 10, gamma_risk: float = 0.95) -> None:
        if horizon < 0:
            raise InvalidValueError(
                f"horizon {horizon} is below 0: it counts steps after the action, FARL's are 5 to 15"
            )
        if not 0.0 < gamma_risk <= 1.0:
            raise InvalidValueError(f"gamma_risk {gamma_risk} is not in (0, 1]: it is a discount")
        self.model, self.policy, self.horizon, self.gamma_risk = model, policy, horizon, gamma_risk
        self.imagination = Imagination(model)
        self._discounts = (gamma_risk ** np.arange(horizon + 1)).astype(np.float32)

    def reset(self) -> None:
        """It has no memory."""

    def assess(self, observation: Observation, action: Array) -> Assessment:
        """One observation and action (A,), which need not be the policy's."""
        return self._assess(self.model.features(observation)[None], action[None])[0]

    def assess_batch(self, observations: Mapping[str, Array], actions: Array) -> list[Assessment]:
        """A batch of observations (B, ...) and actions (B, A): several environments side by side."""
        return self._assess(self._features(observations), actions)

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        """The executed action of every step."""
        found: list[Assessment] = []
        for first in range(0, len(episode), BATCH):
            found += self.assess_batch(*_columns(episode[first : first + BATCH]))
        return found

    def probabilities(self, episode: Sequence[Step]) -> Array:
        """P(C(s_i, a_i) = 1) for i = t..t+H from every step t on its executed action: (T, H + 1).

        C_H of any shorter horizon and any discount is a weighted sum of these: what `calibration.choose` reads.
        """
        parts = [np.empty((0, self.horizon + 1), np.float32)]
        for first in range(0, len(episode), BATCH):
            observations, actions = _columns(episode[first : first + BATCH])
            parts.append(self._probabilities(self._roll(self._features(observations), actions)))
        return np.concatenate(parts)

    def _assess(self, features: Array, actions: Array) -> list[Assessment]:
        za = self._roll(features, actions)
        p = self._probabilities(za)
        risks, highest = (p @ self._discounts).tolist(), p.max(1).tolist()
        values = self.imagination.normalised(self.imagination.returns(za[0])).tolist()
        return [
            Assessment(risk, value, {"p0": now, "p_max": most})
            for risk, value, now, most in zip(risks, values, p[:, 0].tolist(), highest, strict=True)
        ]

    def _roll(self, features: Array, actions: Array) -> Array:
        return self.imagination.roll(features, actions, self.policy, self.horizon)

    def _probabilities(self, za: Array) -> Array:
        """za (H + 1, B, Z + A) -> (B, H + 1)."""
        steps, batch, width = za.shape
        return self.imagination.probability(za.reshape(-1, width)).reshape(steps, batch).T

    @torch.no_grad()
    def _features(self, observations: Mapping[str, Array]) -> Array:
        return self.model.encoder.encode(observations).numpy()


def _columns(steps: Sequence[Step]) -> tuple[dict[str, Array], Array]:
    """Observations (T, ...) by key, strings left out, and executed actions (T, A)."""
    keys = [key for key, value in steps[0].observation.items() if not isinstance(value, str)]
    observations = {key: np.stack([np.asarray(step.observation[key]) for step in steps]) for key in keys}
    return observations, np.array([step.action for step in steps], np.float32)
