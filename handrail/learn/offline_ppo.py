"""Offline PPO: behaviour cloning, then clipped policy improvement on a dataset, without an environment.

The policy part of Uni-O4 (Lei et al. 2024), which follows behaviour PPO (Zhuang et al. 2023):

1. `clone`: the behaviour policy pi_k = pi_0 by maximum likelihood. An encoder with weights learns here and only here.
2. `evaluate`: Q and V of the dataset by expectile regression (IQL, Kostrikov et al. 2021, equations 5 and 6).
3. `improve`: at states of the dataset, actions a ~ pi_k, advantages A = Q(s, a) - V(s), one step on the clipped
   objective with rho = pi(a|s) / pi_k(a|s). When the estimate of pi is above that of pi_k, pi becomes the next pi_k.

Ours: one policy instead of an ensemble of four, no annealing, and the estimate by which pi replaces pi_k is the mean of
min_i Q_i over states of the dataset and actions of the policy; Uni-O4 rolls a learned transition model for it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array, Observation, Proposal
from handrail.nets import (
    EncoderFactory,
    Ensemble,
    Mlp,
    ObservationEncoder,
    StateFactory,
    generator_text,
    load_generator,
    load_module,
    load_optimizer,
    module_arrays,
    optimizer_arrays,
)
from handrail.store.ring import Batch

from .actor_critic import GaussianActor, GaussianPolicy, TanhNet, clipped_objective, descend, standardised


@dataclass(frozen=True)
class OfflinePPOConfig:
    """Defaults of Uni-O4's offline phase, but for narrower networks and a higher learning rate for fewer steps.

    Attributes:
        batch_size: rows of one step of each phase; read by the caller who samples.
        discount, tau, expectile: gamma, step of the target critics, tau of IQL.
        clip: epsilon.
        learning_rate: of Adam in `clone` and `evaluate`.
        improve_learning_rate, max_grad_norm: of Adam in `improve`; the gradient's norm is cut.
        accept_every: calls of `improve` between two comparisons of pi with pi_k.
        critics: number of Q networks, of which the lowest counts.
        hidden: widths of every network; they are tanh networks.
        initial_std, min_std: standard deviation of the actor at the start, and the one it never falls below.
    """

    batch_size: int = 512
    discount: float = 0.99
    tau: float = 0.005
    expectile: float = 0.7
    clip: float = 0.25
    learning_rate: float = 3e-4
    improve_learning_rate: float = 1e-4
    max_grad_norm: float = 0.5
    accept_every: int = 100
    critics: int = 2
    hidden: tuple[int, ...] = (128, 128)
    initial_std: float = 0.5
    min_std: float = 0.05

    def __post_init__(self) -> None:
        if not 0.0 < self.discount < 1.0:
            raise InvalidValueError(f"discount {self.discount} is not in (0, 1): Uni-O4 uses 0.99")
        if not 0.5 <= self.expectile < 1.0:
            raise InvalidValueError(f"expectile {self.expectile} is not in [0.5, 1): Uni-O4 uses 0.7")
        if not 0.0 < self.clip < 1.0:
            raise InvalidValueError(f"clip {self.clip} is not in (0, 1): Uni-O4 uses 0.25")
        if self.accept_every < 1 or self.critics < 1:
            raise InvalidValueError(
                f"accept_every {self.accept_every} and critics {self.critics} must be at least 1: raise them"
            )
        if not 0.0 < self.min_std <= self.initial_std:
            raise InvalidValueError(
                f"min_std {self.min_std} is not in (0, {self.initial_std}]: lower it, or raise initial_std"
            )


class OfflinePPO:
    """The learner. `actor` is pi_k, which acts; `candidate` is pi, which is being improved.

    Args:
        config: frozen; belongs into the checkpoint's meta.
        encoder: factory of an encoder, or the vector sizes of a `StateEncoder` by observation key.
        action_dim: A; actions of the dataset are the executed ones, in [-1, 1].
        seed: fixes initial weights and every draw.
    """

    def __init__(
        self, config: OfflinePPOConfig, encoder: EncoderFactory | Mapping[str, int], action_dim: int, seed: int
    ) -> None:
        self.config, self.action_dim = config, action_dim
        self.generator = torch.Generator().manual_seed(seed)  # weights, and draws in `improve`
        self.rng = np.random.default_rng(seed)  # draws in `explore`
        self.improvements = self.accepted = 0
        factory = StateFactory(encoder) if isinstance(encoder, Mapping) else encoder
        self.encoder: ObservationEncoder = factory(self.generator)
        inputs, widths = self.encoder.output_dim, config.hidden
        spread = (config.initial_std, config.min_std)
        self.actor = GaussianActor(inputs, widths, action_dim, self.generator, *spread)
        self.candidate = copy.deepcopy(self.actor)
        self.value = TanhNet((inputs, *widths, 1), self.generator)
        self.critics = Ensemble(Mlp((inputs + action_dim, *widths, 1), self.generator) for _ in range(config.critics))
        self.target = copy.deepcopy(self.critics).requires_grad_(False)
        self._prepare()

    def _prepare(self) -> None:
        self._modules = {name: getattr(self, name) for name in MODULES}
        self._parameters: dict[str, list[Tensor]] = {
            "clone": [*self.encoder.parameters(), *self.actor.parameters()],
            "evaluate": [*self.value.parameters(), *self.critics.parameters()],
            "improve": list(self.candidate.parameters()),
        }
        rates = {"improve": self.config.improve_learning_rate}
        self._optimizers = {
            phase: torch.optim.Adam(parameters, lr=rates.get(phase, self.config.learning_rate), fused=True)
            for phase, parameters in self._parameters.items()
        }
        self._follow = get_ema_multi_avg_fn(1.0 - self.config.tau)
        self._critic_parameters: list[Tensor] = list(self.critics.parameters())
        self._target_parameters: list[Tensor] = list(self.target.parameters())
        self.policy = GaussianPolicy(self.encoder, self.actor, self.rng)

    def fit_normaliser(self, demonstrations: Batch) -> None:
        """Set the encoder's normalisation, once, before the first update."""
        self.encoder.fit(demonstrations)

    # -- acting ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Nothing is carried from step to step."""

    def act(self, observation: Observation) -> Proposal:
        """The mean of pi_k: (1, A)."""
        return self.policy.act(observation)

    def explore(self, observation: Observation) -> Proposal:
        """A draw from pi_k, not clipped: (1, A)."""
        return self.policy.explore(observation)

    # -- learning ----------------------------------------------------------------------------------------------------

    def clone(self, batch: Batch) -> dict[str, float]:
        """One step on sum_i w_i (-log pi(a_i|s_i)) / sum_i w_i."""
        s, a, w = self.encoder.encode(batch.observation), _actions(batch), torch.from_numpy(batch.weight)
        loss = -(w * self.actor.log_prob(s, a)).sum() / w.sum().clamp(min=1e-8)
        self._descend("clone", loss)
        self.actor.bound()
        self.candidate.load_state_dict(self.actor.state_dict())
        return {"clone_loss": float(loss.detach())}

    def evaluate(self, batch: Batch) -> dict[str, float]:
        """One step of IQL on Q and V together, and the target critics follow."""
        with torch.no_grad():
            s, s_next = self.encoder.encode(batch.observation), self.encoder.encode(batch.next_observation)
            s_a = torch.cat([s, _actions(batch)], 1)
            carry = torch.from_numpy(np.where(batch.terminated, np.float32(0.0), np.float32(self.config.discount)))
            y = torch.addcmul(torch.from_numpy(batch.reward), carry, self.value(s_next)[:, 0])
            q = self.target(s_a).amin(0)
        value_loss = expectile_loss(q - self.value(s)[:, 0], self.config.expectile).mean()
        critic_loss = (self.critics(s_a) - y).square().mean(1).sum()
        self._descend("evaluate", value_loss + critic_loss)
        self._follow(self._target_parameters, self._critic_parameters, 1)
        return {"value_loss": float(value_loss.detach()), "critic_loss": float(critic_loss.detach())}

    def improve(self, batch: Batch) -> dict[str, float]:
        """One step of pi at the states of `batch`; every `accept_every`-th call may replace pi_k as well."""
        with torch.no_grad():
            s = self.encoder.encode(batch.observation)
            a = self.actor.draw(s, torch.randn((len(s), self.action_dim), generator=self.generator))
            log_pi_k = self.actor.log_prob(s, a)
            A = standardised(self.q(s, a) - self.value(s)[:, 0])
        log_rho = self.candidate.log_prob(s, a) - log_pi_k
        loss = -clipped_objective(log_rho, A, self.config.clip).mean()
        self._descend("improve", loss, self.config.max_grad_norm)
        self.candidate.bound()
        self.improvements += 1
        if self.improvements % self.config.accept_every == 0:
            self.accept(s)
        return {"policy_loss": float(loss.detach()), "accepted": float(self.accepted)}

    @torch.no_grad()
    def accept(self, s: Tensor) -> bool:
        """Let pi be the next pi_k if its mean Q at features `s` (B, D) is higher, under the same noise."""
        noise = torch.randn((len(s), self.action_dim), generator=self.generator)
        better = bool(self.q(s, self.candidate.draw(s, noise)).mean() > self.q(s, self.actor.draw(s, noise)).mean())
        if better:
            self.actor.load_state_dict(self.candidate.state_dict())
            self.accepted += 1
        return better

    def q(self, s: Tensor, a: Tensor) -> Tensor:
        """min_i Q_i of features (B, D) and actions (B, A) as the robot would execute them, within [-1, 1]: (B,)."""
        return self.critics(torch.cat([s, a.clamp(-1.0, 1.0)], 1)).amin(0)

    def _descend(self, phase: str, loss: Tensor, max_norm: float | None = None) -> None:
        descend(self._optimizers[phase], self._parameters[phase], loss, max_norm)

    # -- checkpoint --------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that a resumed run needs to go on bit for bit: (arrays, JSON values)."""
        arrays: dict[str, Array] = {}
        for name, module in self._modules.items():
            arrays |= module_arrays(name, module)
        for phase, optimizer in self._optimizers.items():
            arrays |= optimizer_arrays(f"adam_{phase}", optimizer)
        generators = {"torch": generator_text(self.generator), "numpy": self.rng.bit_generator.state}
        return arrays, {"improvements": self.improvements, "accepted": self.accepted, "generators": generators}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from `state()`; other keys in either mapping are ignored.

        Raises:
            CheckpointError: the networks are of another shape.
        """
        if "candidate/log_std" not in arrays:
            raise CheckpointError(
                "checkpoint holds no offline PPO learner (candidate/log_std): pass an offline PPO checkpoint"
            )
        for name, module in self._modules.items():
            load_module(name, module, arrays)
        for phase, optimizer in self._optimizers.items():
            load_optimizer(f"adam_{phase}", optimizer, arrays)
        self.improvements, self.accepted = int(meta["improvements"]), int(meta["accepted"])
        load_generator(self.generator, meta["generators"]["torch"])
        self.rng.bit_generator.state = meta["generators"]["numpy"]


MODULES = ("encoder", "actor", "candidate", "value", "critics", "target")


def expectile_loss(u: Tensor, expectile: float) -> Tensor:
    """|tau - 1(u < 0)| u^2 (IQL, equation 4): the same shape as `u`."""
    return torch.where(u < 0.0, 1.0 - expectile, expectile) * u.square()


def _actions(batch: Batch) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(batch.action, np.float32))
