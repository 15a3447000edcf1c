"""Safety critic: discounted probability that a constraint will be violated (Recovery RL, Thananjeyan et al. 2021).

Q_risk(s, a) = c + (1 - c) gamma_risk E[Q_risk(s', a')], a' ~ the policy that really acts: task policy and whoever
recovers it, together. With the task policy alone for a' the estimate is of a risk that nobody runs, a bug that the
paper's authors had to fix; so the caller says what a' is.

As in the paper's implementation two critics are trained and the higher risk counts. Ours is the loss: cross-entropy on
logits instead of a squared error behind a sigmoid, whose gradient fades exactly where a rare violation is missed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array, Observation
from handrail.nets import (
    EncoderFactory,
    Ensemble,
    Mlp,
    ObservationEncoder,
    StateFactory,
    load_module,
    load_optimizer,
    module_arrays,
    numpy_forward,
    optimizer_arrays,
)
from handrail.store.ring import Batch
from handrail.store.trajectories import Trajectories

from .actor_critic import descend, encode_one


@dataclass(frozen=True)
class SafetyQConfig:
    """Defaults of Recovery RL where it has one; networks and rates as for the other learners here.

    Attributes:
        batch_size: rows of one update; read by the caller who samples.
        discount: gamma_risk; Recovery RL uses 0.5 to 0.85.
        tau: step of the target critics.
        learning_rate: of Adam.
        critics: number of critics, of which the highest counts.
        hidden, activation, layer_norm: of every network.
    """

    batch_size: int = 256
    discount: float = 0.8
    tau: float = 0.005
    learning_rate: float = 3e-4
    critics: int = 2
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "tanh"
    layer_norm: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.discount < 1.0:
            raise InvalidValueError(f"discount {self.discount} is not in (0, 1): Recovery RL uses 0.5 to 0.85")
        if not 0.0 < self.tau <= 1.0:
            raise InvalidValueError(f"tau {self.tau} is not in (0, 1]: 0.005 follows in some 200 updates")
        if self.critics < 1:
            raise InvalidValueError(f"critics {self.critics} must be at least 1: Recovery RL uses 2")


class RiskNets(nn.Module):
    """Everything that is trained on the Bellman error, and copied into the target: encoder and critics."""

    def __init__(
        self, config: SafetyQConfig, encoder: ObservationEncoder, actions: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = (encoder.output_dim + actions, *config.hidden, 1)
        self.encoder = encoder
        self.critics = Ensemble(
            Mlp(sizes, generator, config.activation, config.layer_norm) for _ in range(config.critics)
        )

    def logits(self, observation: Mapping[str, Array], action: Array) -> Tensor:
        """Of the violation probability, by critic: (E, B)."""
        a = torch.from_numpy(np.ascontiguousarray(action, np.float32))
        return self.critics(torch.cat([self.encoder.encode(observation), a], 1))


class SafetyQ:
    """The learner of Q_risk. It holds no random draw but its initial weights.

    Args:
        config: frozen; belongs into the checkpoint's meta.
        encoder: factory of an encoder, or the vector sizes of a `StateEncoder` by observation key.
        action_dim: A.
        seed: fixes initial weights.
    """

    def __init__(
        self, config: SafetyQConfig, encoder: EncoderFactory | Mapping[str, int], action_dim: int, seed: int
    ) -> None:
        self.config, self.action_dim, self.updates = config, action_dim, 0
        generator = torch.Generator().manual_seed(seed)
        factory = StateFactory(encoder) if isinstance(encoder, Mapping) else encoder
        self.nets = RiskNets(config, factory(generator), action_dim, generator)
        self.target = copy.deepcopy(self.nets).requires_grad_(False)
        self._parameters: list[Tensor] = list(self.nets.parameters())
        self._target_parameters: list[Tensor] = list(self.target.parameters())
        self._optimizer = torch.optim.Adam(self._parameters, lr=config.learning_rate, fused=True)
        self._follow = get_ema_multi_avg_fn(1.0 - config.tau)
        self._fast_critics = [numpy_forward(critic) for critic in self.nets.critics if isinstance(critic, Mlp)]

    @property
    def encoder(self) -> ObservationEncoder:
        return self.nets.encoder

    def fit_normaliser(self, demonstrations: Batch) -> None:
        """Set the encoder's normalisation, once, before the first update."""
        self.encoder.fit(demonstrations)
        self.target.encoder.fit(demonstrations)

    def risk(self, observation: Observation, action: Array) -> float:
        """max_i Q_risk_i of one observation and the action (A,) about to be executed, in [0, 1]."""
        row = np.concatenate([encode_one(self.encoder, observation), action], dtype=np.float32)
        logit = max(float(critic(row)[0]) for critic in self._fast_critics)
        return float(0.5 * (1.0 + np.tanh(0.5 * logit)))  # a sigmoid that cannot overflow

    @torch.no_grad()
    def risks(self, observation: Mapping[str, Array], action: Array) -> Array:
        """The same for batches of observations and actions (B, A): (B,)."""
        return torch.sigmoid(self.nets.logits(observation, action).amax(0)).numpy()

    def update(self, batch: Trajectories, next_actions: Array) -> dict[str, float]:
        """One Adam step of every critic, and the targets follow.

        Args:
            batch: rows in any order; `action` is what was executed. An episode that terminated has no future to
                violate anything in; one that ran out of time has.
            next_actions: (B, A), drawn at `batch.next_observation` from the policy that really acts.

        Raises:
            InvalidValueError: `next_actions` of another shape than the actions of the batch.
        """
        if next_actions.shape != batch.action.shape:
            raise InvalidValueError(
                f"next_actions have shape {next_actions.shape}, actions {batch.action.shape}: draw one for each row"
            )
        y = self.td_target(batch, next_actions)
        logits = self.nets.logits(batch.observation, batch.action)
        loss = F.binary_cross_entropy_with_logits(logits, y.expand_as(logits), reduction="none").mean(1).sum()
        descend(self._optimizer, self._parameters, loss)
        self._follow(self._target_parameters, self._parameters, 1)
        self.updates += 1
        return {"risk_loss": float(loss.detach()), "risk_mean": float(y.mean())}

    @torch.no_grad()
    def td_target(self, batch: Trajectories, next_actions: Array) -> Tensor:
        """y = c + (1 - c) (1 - terminated) gamma_risk max_i Q'_i(s', a'): (B,)."""
        ahead = torch.sigmoid(self.target.logits(batch.next_observation, next_actions).amax(0))
        goes_on = np.where(batch.terminated, 0.0, (1.0 - batch.cost) * self.config.discount).astype(np.float32)
        return torch.addcmul(torch.from_numpy(batch.cost), torch.from_numpy(goes_on), ahead)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that a resumed run needs to go on bit for bit: (arrays, JSON values)."""
        arrays = module_arrays("risk", self.nets) | module_arrays("risk_target", self.target)
        return arrays | optimizer_arrays("adam_risk", self._optimizer), {"updates": self.updates}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from `state()`; other keys in either mapping are ignored.

        Raises:
            CheckpointError: the networks are of another shape.
        """
        if not any(key.startswith("risk_target/") for key in arrays):
            raise CheckpointError("checkpoint holds no safety critic (risk_target/): pass a SafetyQ checkpoint")
        load_module("risk", self.nets, arrays)
        load_module("risk_target", self.target, arrays)
        load_optimizer("adam_risk", self._optimizer, arrays)
        self.updates = int(meta["updates"])
