"""MPPI: model predictive path integral control in the world model, as a recovery (FARL's ablation of its own)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal
from handrail.learn.world_model import WorldModel

from .imagination import Imagination


@dataclass(frozen=True)
class MPPIConfig:
    """Budget of 128 samples x 5 steps x 4 iterations; what TD-MPC2 has no default for is ours.

    Attributes:
        samples, horizon, iterations: plans in an iteration, steps of a plan, iterations.
        elites: best plans that the next mean and standard deviation come from.
        temperature: an elite whose score is so much below the best has exp(-1) of its weight.
        initial_std, min_std: of the actions; their mean begins at 0.
        gamma_risk: discount of the predicted violations, in (0, 1].
        value_weight: of the predicted return, normalised to [0, 1], against the discounted sum of probabilities: small,
            so that it decides only between plans that are alike in risk.
        chunk: actions of the plan that are proposed.
    """

    samples: int = 128
    horizon: int = 5
    iterations: int = 4
    elites: int = 16
    temperature: float = 0.05
    initial_std: float = 1.0
    min_std: float = 0.05
    gamma_risk: float = 0.95
    value_weight: float = 0.05
    chunk: int = 1

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.iterations < 1:
            raise InvalidValueError(
                f"horizon {self.horizon} and iterations {self.iterations} must be at least 1: raise them"
            )
        if not 1 <= self.elites <= self.samples:
            raise InvalidValueError(f"elites {self.elites} is not in 1..{self.samples}: they are some of the samples")
        if not 1 <= self.chunk <= self.horizon:
            raise InvalidValueError(f"chunk {self.chunk} is not in 1..{self.horizon}: it is a part of the plan")
        if not 0.0 < self.gamma_risk <= 1.0:
            raise InvalidValueError(f"gamma_risk {self.gamma_risk} is not in (0, 1]: it is a discount")
        if not (self.temperature > 0.0 and 0.0 < self.min_std <= self.initial_std):
            raise InvalidValueError(
                f"temperature {self.temperature}, min_std {self.min_std} and initial_std {self.initial_std}: the first "
                "two must be above 0, min_std at most initial_std"
            )


class MPPI:
    """Proposes the plan of least predicted risk (Williams et al. 2017; with elites and a prior, as TD-MPC2 plans).

    Score of a plan: -sum_i gamma_risk^i P(C(z_i, a_i) = 1) + value_weight * its normalised return. The action after the
    plan's last, for which both sums have a term, is that of the model's policy prior.

    The noise is drawn once, when it is constructed: the same observation gives the same plan whatever was asked before,
    so there is nothing to reset and a checkpoint needs nothing of it (ours).

    Args:
        model: its weights are shared, not copied.
        config: frozen.
        seed: of the noise.
    """

    def __init__(self, model: WorldModel, config: MPPIConfig, seed: int) -> None:
        self.model, self.config = model, config
        self.imagination = Imagination(model)
        shape = (config.iterations, config.horizon, config.samples, model.action_dim)
        self._noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
        self._noise[:, :, 0] = 0.0  # one sample is the mean itself
        self._risk_discounts = config.gamma_risk ** np.arange(config.horizon + 1)
        self._discounts = model.config.discount ** np.arange(config.horizon + 1)

    def reset(self) -> None:
        """It has no memory."""

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal:
        """The first `chunk` actions of the plan: (chunk, A)."""
        plan = self.plan(self.model.features(observation))
        return Proposal(plan[: self.config.chunk], Authority.ASSISTANT)

    def plan(self, features: Array) -> Array:
        """The best plan found from one observation's features (Z,): (H, A) in [-1, 1]."""
        config = self.config
        z = np.repeat(features[None], config.samples, axis=0)
        mean = np.zeros((config.horizon, 1, self.model.action_dim), np.float32)
        std = np.full_like(mean, config.initial_std)
        for noise in self._noise:
            plans = np.clip(mean + std * noise, -1.0, 1.0)  # (H, samples, A)
            scores = self.score(z, plans)
            best = np.argsort(-scores, kind="stable")[: config.elites]
            weights = np.exp((scores[best] - scores[best[0]]) / config.temperature)
            weights = (weights / weights.sum()).astype(np.float32)[:, None]
            mean = (weights * plans[:, best]).sum(1, keepdims=True)
            std = np.sqrt((weights * np.square(plans[:, best] - mean)).sum(1, keepdims=True))
            std = np.clip(std, config.min_std, config.initial_std)
        return mean[:, 0]

    def score(self, z: Array, plans: Array) -> Array:
        """Of `plans` (H, B, A) from latents z (B, Z): (B,)."""
        model, (steps, batch) = self.imagination, plans.shape[:2]
        za, z_last = model.follow(z, plans)
        last = np.concatenate([z_last, model.prior(z_last)], axis=1)
        taken = za.reshape(steps * batch, -1)
        p = model.probability(np.concatenate([taken, last])).reshape(steps + 1, batch)
        rewards = np.concatenate([model.reward(taken), model.returns(last)]).reshape(steps + 1, batch)
        value = model.normalised(self._discounts @ rewards)
        return self.config.value_weight * value - self._risk_discounts @ p
