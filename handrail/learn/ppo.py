"""PPO: proximal policy optimisation (Schulman et al. 2017), as Uni-O4 (Lei et al. 2024) fine-tunes with it online.

One update takes the steps that the present policy, and whoever recovered it, has just made. The policy has not changed
since, so log pi_old and V are computed here and a rollout stores steps only. Advantages come from GAE (Schulman et al.
2016, equation 16), and K epochs of minibatches climb the clipped objective (equation 7).

A step that the policy did not drive (an assistant recovered, an operator took over) executed another action than the
one proposed. What the policy learns from it is `PPOConfig.recovered`. FARL (arXiv 2601.07821) stores what was executed;
where help costs time, that teaches the policy the opposite of the help (docs/farl.md), and relabelling does not.

Prices: `cost_penalty` and `help_penalty` are taken off the reward. `cost_limit` makes it PPO-Lagrangian (Ray et al.
2019): maximise return subject to J_C <= d, with J_C the mean over episodes of the undiscounted sum of costs; a second
critic gives the cost advantage A_C, the policy climbs A - lambda A_C, and lambda rises by ascent while J_C > d.

Symbols of the paper: s, a, r, c observation, action, reward, cost; pi actor, V value, A advantage, rho ratio, gamma
discount, lambda in GAE (here `trace`), epsilon (here `clip`), lambda of the constraint (here `multiplier`), d limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from handrail.core.errors import CheckpointError, InvalidValueError, unknown_name
from handrail.core.values import Array, Authority, Observation, Proposal
from handrail.nets import (
    EncoderFactory,
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
from handrail.store.trajectories import Trajectories

from .actor_critic import (
    LOG_RATIO_MAX,
    GaussianActor,
    GaussianPolicy,
    TanhNet,
    VectorAdam,
    clipped_objective,
    clipped_slope,
    shares,
    standardised,
)

Recovered = Literal["store", "mask", "relabel"]


@dataclass(frozen=True)
class PPOConfig:
    """Defaults of Uni-O4's online phase, but for 10 epochs instead of 30, narrower networks and no entropy bonus.

    Attributes:
        batch_size: steps of one update; read by the caller who collects.
        minibatch, epochs: rows of one gradient step, passes over the batch.
        clip, discount, trace: epsilon, gamma, lambda of GAE.
        actor_learning_rate, critic_learning_rate, max_grad_norm: of Adam; the gradient's norm is cut, net by net.
        target_kl: once an epoch's mean KL from the old policy exceeds it, the actor rests until the next update.
        entropy_weight: of the entropy bonus (equation 9); Uni-O4 uses 0.01.
        hidden: widths of every network; they are tanh networks.
        initial_std, min_std: standard deviation of the actor at the start, and the one it never falls below.
        recovered: what a step that the policy did not drive teaches the actor. "store": the executed action, with
            its log probability under the policy. "mask": nothing; it stays in value and GAE. "relabel": the proposed
            action, with the outcome of the executed one (Recovery RL).
        cost_penalty: taken from the reward for each unit of cost.
        help_penalty: taken from the reward for each step that the policy did not drive (ours).
        cost_limit: d, the largest mean sum of costs of an episode; None for no constraint.
        multiplier_learning_rate, initial_multiplier: lambda grows by rate * (J_C - d) an update; [reward / cost].
    """

    batch_size: int = 2048
    minibatch: int = 128
    epochs: int = 10
    clip: float = 0.05
    discount: float = 0.99
    trace: float = 0.95
    actor_learning_rate: float = 2e-5
    critic_learning_rate: float = 2e-4
    max_grad_norm: float = 0.5
    target_kl: float | None = None
    entropy_weight: float = 0.0
    hidden: tuple[int, ...] = (128, 128)
    initial_std: float = 0.5
    min_std: float = 0.05
    recovered: Recovered = "store"
    cost_penalty: float = 0.0
    help_penalty: float = 0.0
    cost_limit: float | None = None
    multiplier_learning_rate: float = 0.05
    initial_multiplier: float = 0.0

    def __post_init__(self) -> None:
        if self.recovered not in get_args(Recovered):
            raise unknown_name("recovered", self.recovered, get_args(Recovered))
        if self.minibatch < 1 or self.epochs < 1:
            raise InvalidValueError(
                f"minibatch {self.minibatch} and epochs {self.epochs} must be at least 1: raise them"
            )
        if not (0.0 < self.discount <= 1.0 and 0.0 <= self.trace <= 1.0):
            raise InvalidValueError(
                f"discount {self.discount} must be in (0, 1], trace {self.trace} in [0, 1]: Uni-O4 uses 0.99, 0.95"
            )
        if not 0.0 < self.clip < 1.0:
            raise InvalidValueError(f"clip {self.clip} is not in (0, 1): Uni-O4 uses 0.05")
        if not 0.0 < self.min_std <= self.initial_std:
            raise InvalidValueError(
                f"min_std {self.min_std} is not in (0, {self.initial_std}]: lower it, or raise initial_std"
            )
        for name in ("cost_penalty", "help_penalty", "cost_limit", "initial_multiplier"):
            value = getattr(self, name)
            if value is not None and value < 0.0:
                raise InvalidValueError(f"{name} {value} must be at least 0: a cost is to be avoided")


@dataclass(frozen=True, slots=True)
class Rollout:
    """What stays fixed while an update runs, one step a row."""

    s: Tensor  # (N, D)
    a: Tensor  # (N, A)
    log_pi: Tensor  # (N,) under the policy before the update
    weight: Tensor  # (N,) of the row in the policy loss: 0 where masked, mean 1
    drawn: Tensor  # (N,) of the row in estimates over draws from the policy: 0 where `a` is none, mean 1
    advantage: Tensor  # (N,) standardised
    returns: Tensor  # (N,) target of V
    cost_returns: Tensor | None  # (N,) target of the cost critic


class ActorCritic(Protocol):
    """What `PPO.start_from` takes over: an `OfflinePPO`, or another `PPO`."""

    encoder: ObservationEncoder
    actor: GaussianActor
    value: TanhNet


class PPO:
    """The learner. It never steps an environment.

    Its encoder is frozen: features are computed once an update. One that is to be trained comes from
    `OfflinePPO.clone`, by `start_from`.

    Args:
        config: frozen; belongs into the checkpoint's meta.
        encoder: factory of an encoder, or the vector sizes of a `StateEncoder` by observation key.
        action_dim: A.
        seed: fixes initial weights and every draw.
    """

    def __init__(
        self, config: PPOConfig, encoder: EncoderFactory | Mapping[str, int], action_dim: int, seed: int
    ) -> None:
        self.config, self.action_dim = config, action_dim
        self.generator = torch.Generator().manual_seed(seed)  # weights, and draws in `update`
        self.rng = np.random.default_rng(seed)  # draws in `explore`
        self.updates = 0
        self.multiplier = config.initial_multiplier
        factory = StateFactory(encoder) if isinstance(encoder, Mapping) else encoder
        self.encoder: ObservationEncoder = factory(self.generator).requires_grad_(False)
        sizes = (self.encoder.output_dim, *config.hidden)
        spread = (config.initial_std, config.min_std)
        self.actor = GaussianActor(sizes[0], config.hidden, action_dim, self.generator, *spread)
        self.value = TanhNet((*sizes, 1), self.generator)
        self.nets: dict[str, TanhNet] = {"actor": self.actor, "value": self.value}
        if config.cost_limit is not None:
            self.nets["cost_value"] = TanhNet((*sizes, 1), self.generator)
        rates = {"actor": config.actor_learning_rate}
        self._adams = {
            name: VectorAdam(net, rates.get(name, config.critic_learning_rate), config.max_grad_norm)
            for name, net in self.nets.items()
        }
        self.policy = GaussianPolicy(self.encoder, self.actor, self.rng)

    def fit_normaliser(self, demonstrations: Batch) -> None:
        """Set the encoder's normalisation, once, before the first update."""
        self.encoder.fit(demonstrations)

    def start_from(self, other: ActorCritic) -> None:
        """Take over encoder, actor and V; the standard deviation is raised to this learner's floor.

        Raises:
            CheckpointError: its networks are of another shape.
        """
        for name in ("encoder", "actor", "value"):
            load_module(name, getattr(self, name), module_arrays(name, getattr(other, name)))
        self.actor.bound()

    # -- acting ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Nothing is carried from step to step."""

    def act(self, observation: Observation) -> Proposal:
        """The mean of the policy: (1, A)."""
        return self.policy.act(observation)

    def explore(self, observation: Observation) -> Proposal:
        """A draw from the policy, not clipped: (1, A)."""
        return self.policy.explore(observation)

    # -- learning ----------------------------------------------------------------------------------------------------

    def update(self, data: Trajectories, episode_cost: float | None = None) -> dict[str, float]:
        """K epochs on the steps of the present policy; the multiplier moves first.

        Args:
            data: in order; an episode cut short by time or by the end of the rollout bootstraps from its last
                next-observation.
            episode_cost: J_C, where `data` holds pieces of episodes; otherwise it is taken from `data`.
        """
        config = self.config
        J_C = float(data.cost.sum() / max(1, data.last.sum())) if episode_cost is None else episode_cost
        if config.cost_limit is not None:
            self.multiplier = max(0.0, self.multiplier + config.multiplier_learning_rate * (J_C - config.cost_limit))
        rollout = self.prepare(data)
        metrics: dict[str, float] = {}
        resting = False
        for _ in range(config.epochs):
            epoch = self._epoch(rollout, resting)
            metrics |= epoch
            resting = resting or (config.target_kl is not None and epoch["kl"] > config.target_kl)
        self.updates += 1
        metrics["std"] = float(self.actor.log_std.detach().exp().mean())
        return metrics | {"episode_cost": J_C, "multiplier": self.multiplier}

    @torch.no_grad()
    def prepare(self, data: Trajectories) -> Rollout:
        """Everything that an update keeps fixed, under the present networks."""
        config = self.config
        s, s_next = self.encoder.encode(data.observation), self.encoder.encode(data.next_observation)
        driven = data.authority == Authority.POLICY
        a = data.proposed if config.recovered == "relabel" else np.where(driven[:, None], data.proposed, data.action)
        stored = torch.from_numpy(np.ascontiguousarray(a, np.float32))
        weight, drawn = (
            shares(driven | (config.recovered != "mask")),
            shares(driven | (config.recovered == "relabel")),
        )
        price = config.cost_penalty * data.cost + config.help_penalty * ~driven
        reward = data.reward - price.astype(np.float32)
        A, returns = self._advantage("value", reward, data, s, s_next)
        cost_returns = None
        if config.cost_limit is not None:
            A_C, cost_returns = self._advantage("cost_value", data.cost, data, s, s_next)
            A = A - self.multiplier * A_C  # Ray et al. divide by 1 + lambda; standardising does that here
        log_pi = self.actor.log_prob(s, stored)
        return Rollout(s, stored, log_pi, weight, drawn, standardised(A, weight), returns, cost_returns)

    def _advantage(
        self, critic: str, signal: Array, data: Trajectories, s: Tensor, s_next: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Advantage and return of `signal` (N,) by GAE with this critic: (N,), (N,)."""
        v, v_next = (self.nets[critic](x)[:, 0].numpy() for x in (s, s_next))
        A = gae(signal, v, v_next, data.terminated, data.last, self.config.discount, self.config.trace)
        return torch.from_numpy(A), torch.from_numpy(A + v)

    def _epoch(self, rollout: Rollout, resting: bool) -> dict[str, float]:
        """One pass over the rollout in minibatches; a resting actor is left alone. Means over the minibatches."""
        totals: dict[str, Tensor] = {}
        order = torch.randperm(len(rollout.s), generator=self.generator)
        parts = order.split(self.config.minibatch)
        for rows in parts:
            s = rollout.s[rows]
            losses = {} if resting else self._step_actor(rollout, rows, s)
            losses["value_loss"] = self._step_critic("value", s, rollout.returns[rows])
            if rollout.cost_returns is not None:
                losses["cost_value_loss"] = self._step_critic("cost_value", s, rollout.cost_returns[rows])
            for name, loss in losses.items():
                totals[name] = totals[name] + loss if name in totals else loss
        return {name: float(total) / len(parts) for name, total in totals.items()}

    def _step_actor(self, rollout: Rollout, rows: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Up the clipped objective, entropy bonus included."""
        clip, A = self.config.clip, rollout.advantage[rows]
        w, drawn = rollout.weight[rows] / len(rows), rollout.drawn[rows] / len(rows)
        log_pi, tape = self.actor.taped_log_prob(s, rollout.a[rows])
        log_rho = log_pi - rollout.log_pi[rows]
        gradients = self.actor.log_prob_gradient(tape, -w * clipped_slope(log_rho, A, clip))
        gradients[0] -= self.config.entropy_weight  # of log sigma, in which the entropy is linear
        self._adams["actor"].step(gradients)
        self.actor.bound()
        ratio = torch.expm1(log_rho.clamp(max=LOG_RATIO_MAX))  # rho - 1
        return {
            "policy_loss": -(w * clipped_objective(log_rho, A, clip)).sum(),
            "kl": (drawn * (ratio - log_rho)).sum(),  # never negative, unbiased over draws (Schulman 2020)
            "clipped": (drawn * (ratio.abs() > clip)).sum(),
        }

    def _step_critic(self, name: str, s: Tensor, returns: Tensor) -> Tensor:
        """Down the mean squared error."""
        v, tape = self.nets[name].taped(s)
        error = v[:, 0] - returns
        self._adams[name].step(self.nets[name].gradient(tape, error[:, None] * (2.0 / len(s))))
        return error.square().mean()

    # -- checkpoint --------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that a resumed run needs to go on bit for bit: (arrays, JSON values)."""
        arrays = module_arrays("encoder", self.encoder)
        for name, net in self.nets.items():
            arrays |= module_arrays(name, net) | optimizer_arrays(f"adam_{name}", self._adams[name].optimizer)
        generators = {"torch": generator_text(self.generator), "numpy": self.rng.bit_generator.state}
        return arrays, {"updates": self.updates, "multiplier": self.multiplier, "generators": generators}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from `state()`; other keys in either mapping are ignored.

        Raises:
            CheckpointError: the networks are of another shape.
        """
        if "actor/log_std" not in arrays or "multiplier" not in meta:
            raise CheckpointError("checkpoint holds no PPO learner (actor/log_std): pass a PPO checkpoint")
        load_module("encoder", self.encoder, arrays)
        for name, net in self.nets.items():
            load_module(name, net, arrays)
            load_optimizer(f"adam_{name}", self._adams[name].optimizer, arrays)
        self.updates, self.multiplier = int(meta["updates"]), float(meta["multiplier"])
        load_generator(self.generator, meta["generators"]["torch"])
        self.rng.bit_generator.state = meta["generators"]["numpy"]


def gae(
    signal: Array, value: Array, next_value: Array, terminated: Array, last: Array, discount: float, trace: float
) -> Array:
    """Generalised advantage of steps in order (Schulman et al. 2016, equation 16): (N,) float32.

    A_t = sum_l (gamma lambda)^l delta_{t+l} within the episode, delta_t = r_t + gamma V(s_{t+1}) - V(s_t). Where the
    task `terminated` nothing follows; a `last` step that did not terminate bootstraps and cuts the sum.

    Args:
        signal: reward or cost (N,).
        value, next_value: V of the observation and of the next one (N,).
        terminated, last: (N,) bool.
        discount, trace: gamma, lambda.
    """
    delta = signal.astype(np.float64) + discount * np.where(terminated, 0.0, next_value) - value
    decay = np.where(terminated | last, 0.0, discount * trace)
    advantage = np.empty(len(delta))
    ahead = 0.0
    for t, (now, carry) in enumerate(zip(delta[::-1].tolist(), decay[::-1].tolist(), strict=True)):
        advantage[t] = ahead = now + carry * ahead
    return advantage[::-1].astype(np.float32)
