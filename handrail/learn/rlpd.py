"""RLPD: reinforcement learning with prior data, in the variant of HIL-SERL.

Soft actor-critic whose every batch is half online, half demonstrations (`handrail.store.samplers`), with LayerNorm
critics and a random subset of them in the target: Ball et al. 2023, "Efficient Online Reinforcement Learning with
Offline Data", algorithm 1. From HIL-SERL (Luo et al. 2024): the stored action is the executed one, no entropy in the
backup, target entropy -dim(A) / 2, two critic updates an actor update, a discrete double-DQN critic for the gripper.

Symbols of the paper: s, a, r, s' observation, action, reward, next observation; Q_i critics, pi actor, alpha
temperature, gamma discount, rho (here `tau`) step of the target networks; E critics, Z of them in the target.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from handrail.core.contracts import single
from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array, Authority, Observation, Proposal
from handrail.nets import (
    EncoderFactory,
    Ensemble,
    Mlp,
    ObservationEncoder,
    StateEncoder,
    StateFactory,
    batched,
    frozen,
    gaussian,
    generator_text,
    load_generator,
    load_module,
    load_optimizer,
    module_arrays,
    numpy_forward,
    optimizer_arrays,
)
from handrail.store.ring import Batch

GRIPPER = np.array([-1.0, 0.0, 1.0], np.float32)  # close, stay, open


@dataclass(frozen=True)
class RLPDConfig:
    """Defaults of the public HIL-SERL implementation.

    Attributes:
        batch_size: rows of one critic update, half of them demonstrations; read by the caller who samples.
        utd: critic updates for one call of `RLPD.update` with one batch.
        actor_every: critic updates for one actor and temperature update.
        hidden, activation: of every network.
        critics, target_subset: E and Z.
        critic_layer_norm, actor_layer_norm: LayerNorm before every activation.
        critic_gain: of the critics' output layer; small, they begin near zero and have no noise to unlearn.
        discount, tau, learning_rate, initial_temperature: gamma, rho, of Adam, alpha at the start.
        target_entropy: [nat]; None for -dim(A) / 2.
        gripper: the last action dimension is {close, stay, open} and has its own discrete critic.
        gripper_penalty: taken from the gripper critic's reward at each toggle.
        gripper_feature: index in "state" of the gripper's opening; None counts every close and open as a toggle.
        gripper_closed_below: opening under which the gripper counts as closed, in the unit of that feature.
        gripper_epsilon: probability of a random gripper command in `explore`.
        initial_std: of the actor before tanh, at the start; plain SAC begins at 1.
        bc_weight: weight of -log N(a; tanh mu(s), sigma(s)) over operator rows in the actor loss (ours); 0 is off.
        bc_half_life: critic updates in which that weight falls to half; None keeps it.
        bc_min_std: smallest standard deviation in that term; keeps a constant action dimension from ruling the loss.
    """

    batch_size: int = 256
    utd: int = 1
    actor_every: int = 2
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "tanh"
    critics: int = 2
    target_subset: int = 2
    critic_layer_norm: bool = True
    actor_layer_norm: bool = False
    critic_gain: float = 1.0
    discount: float = 0.97
    tau: float = 0.005
    learning_rate: float = 3e-4
    initial_temperature: float = 0.01
    target_entropy: float | None = None
    gripper: bool = False
    gripper_penalty: float = 0.02
    gripper_feature: int | None = None
    gripper_closed_below: float = 0.5
    gripper_epsilon: float = 0.01
    initial_std: float = 1.0
    bc_weight: float = 0.0
    bc_half_life: float | None = None
    bc_min_std: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.target_subset <= self.critics:
            raise InvalidValueError(
                f"target_subset {self.target_subset} is not in 1..{self.critics}: at most `critics`"
            )
        if not 0.0 < self.discount < 1.0:
            raise InvalidValueError(f"discount {self.discount} is not in (0, 1): HIL-SERL uses 0.97")
        if self.initial_std <= 0.0:
            raise InvalidValueError(f"initial_std {self.initial_std} must be above 0: plain SAC uses 1")
        if self.utd < 1 or self.actor_every < 1:
            raise InvalidValueError(f"utd {self.utd} and actor_every {self.actor_every} must be at least 1: raise them")


class Values(nn.Module):
    """Everything that is trained on a Bellman error, and copied into the target: encoder, critics, gripper critic."""

    def __init__(
        self, config: RLPDConfig, encoder: ObservationEncoder, actions: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        inputs, norm = encoder.output_dim, config.critic_layer_norm
        self.encoder = encoder
        self.critics = Ensemble(
            Mlp((inputs + actions, *config.hidden, 1), generator, config.activation, norm, config.critic_gain)
            for _ in range(config.critics)
        )
        self.gripper = (
            Mlp((inputs, *config.hidden, len(GRIPPER)), generator, config.activation, norm) if config.gripper else None
        )


class Actor(Mlp):
    """s -> (mean, log standard deviation) of a tanh-Gaussian, with the temperature, which is trained beside it."""

    def __init__(self, config: RLPDConfig, inputs: int, actions: int, generator: torch.Generator) -> None:
        sizes = (inputs, *config.hidden, 2 * actions)
        super().__init__(sizes, generator, config.activation, config.actor_layer_norm, output_gain=0.01)
        with torch.no_grad():
            last = self[-1]
            assert isinstance(last, nn.Linear)
            last.bias[actions:] = math.log(config.initial_std)
        raw = math.log(math.expm1(config.initial_temperature))
        self.raw_temperature = nn.Parameter(torch.tensor(raw))  # alpha = softplus(raw)


class RLPD:
    """The learner. It never steps an environment.

    Args:
        config: frozen; belongs into the checkpoint's meta.
        encoder: factory of an encoder, or the vector sizes of a `StateEncoder` by observation key.
        action_dim: A, the gripper included.
        seed: fixes initial weights and every draw.
    """

    def __init__(
        self, config: RLPDConfig, encoder: EncoderFactory | Mapping[str, int], action_dim: int, seed: int
    ) -> None:
        self.config, self.action_dim = config, action_dim
        self.generator = torch.Generator().manual_seed(seed)  # weights, and draws in `update`
        self.rng = np.random.default_rng(seed)  # draws in `explore`
        self.updates = 0  # critic updates so far
        self.continuous = action_dim - int(config.gripper)
        factory = StateFactory(encoder) if isinstance(encoder, Mapping) else encoder
        self.values = Values(config, factory(self.generator), self.continuous, self.generator)
        self.target = copy.deepcopy(self.values).requires_grad_(False)
        self.actor = Actor(config, self.encoder.output_dim, self.continuous, self.generator)
        self.target_entropy = -self.continuous / 2 if config.target_entropy is None else config.target_entropy
        self._prepare()

    def _prepare(self) -> None:
        self._value_parameters: list[Tensor] = list(self.values.parameters())
        self._target_parameters: list[Tensor] = list(self.target.parameters())
        self._actor_parameters: list[Tensor] = list(self.actor.parameters())
        self._follow = get_ema_multi_avg_fn(1.0 - self.config.tau)
        self._encoder_learns = any(True for _ in self.encoder.parameters())
        self._optimizers = {
            "values": _adam(self._value_parameters, self.config.learning_rate),
            "actor": _adam(self._actor_parameters, self.config.learning_rate),
        }
        self._fast_actor = numpy_forward(self.actor)
        self._fast_gripper = None if self.values.gripper is None else numpy_forward(self.values.gripper)

    @property
    def encoder(self) -> ObservationEncoder:
        return self.values.encoder

    @property
    def temperature(self) -> float:
        """alpha."""
        return float(F.softplus(self.actor.raw_temperature.detach()))

    @property
    def bc_weight(self) -> float:
        """What is left of `config.bc_weight` after the updates so far."""
        half_life = self.config.bc_half_life
        return self.config.bc_weight * (1.0 if half_life is None else 0.5 ** (self.updates / half_life))

    def fit_normaliser(self, demonstrations: Batch) -> None:
        """Set the encoder's normalisation, once, before the first update."""
        self.encoder.fit(demonstrations)
        self.target.encoder.fit(demonstrations)

    # -- acting ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Nothing is carried from step to step."""

    def act(self, observation: Observation) -> Proposal:
        """Mean action and best gripper command: (1, A)."""
        features = self._features(observation)
        mean = self._fast_actor(features)[: self.continuous]
        return self._proposal(np.tanh(mean), self._best_gripper(features))

    def explore(self, observation: Observation) -> Proposal:
        """A draw from the actor; the gripper command is random with probability `gripper_epsilon`: (1, A)."""
        features = self._features(observation)
        mean, log_std = np.split(self._fast_actor(features), 2)
        std = np.exp(np.clip(log_std, gaussian.LOG_STD_MIN, gaussian.LOG_STD_MAX))
        action = np.tanh(mean + std * self.rng.standard_normal(self.continuous, np.float32))
        random = self._fast_gripper is not None and self.rng.random() < self.config.gripper_epsilon
        return self._proposal(action, int(self.rng.integers(3)) if random else self._best_gripper(features))

    @torch.no_grad()
    def q(self, observation: Mapping[str, Array], action: Array) -> Array:
        """min_i Q_i(s, a) of the online critics: () for one observation and action (A,), (B,) for batches."""
        one = action.ndim == 1
        features = self.encoder.encode(batched(observation) if one else observation)
        actions = torch.from_numpy(np.ascontiguousarray(np.atleast_2d(action)[:, : self.continuous], np.float32))
        lowest = self.values.critics(torch.cat([features, actions], 1)).min(0).values.numpy()
        return lowest[0] if one else lowest

    def _features(self, observation: Observation) -> Array:
        if isinstance(self.encoder, StateEncoder):
            return self.encoder.encode_one(observation)
        with torch.no_grad():
            return self.encoder.encode(batched(observation))[0].numpy()

    def _best_gripper(self, features: Array) -> int | None:
        return None if self._fast_gripper is None else int(self._fast_gripper(features).argmax())

    def _proposal(self, action: Array, gripper: int | None) -> Proposal:
        return single(action if gripper is None else np.append(action, GRIPPER[gripper]), Authority.POLICY)

    # -- learning ----------------------------------------------------------------------------------------------------

    def update(self, batch: Batch | Sequence[Batch], metrics: bool = False) -> dict[str, float]:
        """One critic update for each batch, and an actor and temperature update after every `actor_every`-th.

        Args:
            batch: a sequence of batches, used as they are; or one batch, split into `config.utd` equal parts in order.
                To keep every part half and half, sample with `store.samplers.sample_mixed(..., batches=utd)`.
            metrics: return the losses of the last updates; off, nothing is read back and the result is empty.
        """
        batches = batch.split(self.config.utd) if isinstance(batch, Batch) else batch
        losses: dict[str, Tensor] = {}
        for part in batches:
            losses |= self._update_values(part)
            self.updates += 1
            if self.updates % self.config.actor_every == 0:
                losses |= self._update_actor(part)
        if not metrics:
            return {}
        return {key: float(value.mean()) for key, value in losses.items()} | {"temperature": self.temperature}

    def clone(self, batch: Batch) -> None:
        """One actor update on the operator's actions alone (ours): a start that is worth a person's time."""
        with torch.no_grad():
            s = self.encoder.encode(batch.observation)
        loss = self._bc_loss(batch, self.actor(s)) + 0.0 * self.actor.raw_temperature  # which stays where it is
        self._step("actor", loss, self._actor_parameters)

    def evaluate(self, batch: Batch) -> None:
        """One critic update with the actor as it is (ours): values of a cloned policy, before anybody drives."""
        self._update_values(batch)

    def _update_values(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            s_next = self.encoder.encode(batch.next_observation)
            s_next_target = self.target.encoder.encode(batch.next_observation) if self._encoder_learns else s_next
            y = self.td_target(batch, s_next, s_next_target)
        s = self._s = self.encoder.encode(batch.observation)
        a = torch.from_numpy(batch.action)[:, : self.continuous]
        q = self.values.critics(torch.cat([s, a], 1))  # (E, B)
        loss = (q - y).square().mean()
        losses = {"critic_loss": loss.detach(), "q_mean": q.detach()}
        if self.values.gripper is not None:
            gripper_loss = self._gripper_loss(batch, s, s_next, s_next_target)
            loss, losses["gripper_loss"] = loss + gripper_loss, gripper_loss.detach()
        self._step("values", loss, self._value_parameters)
        self._follow(self._target_parameters, self._value_parameters, self.updates)
        return losses

    @torch.no_grad()
    def td_target(self, batch: Batch, s_next: Tensor, s_next_target: Tensor) -> Tensor:
        """y = r + gamma (1 - terminated) min_{i in Z} Q'_i(s', a'), a' ~ pi(s'): (B,). Time running out is no end."""
        a_next, _ = gaussian.sample(self.actor(s_next), self.generator)
        q_next = self.target.critics(torch.cat([s_next_target, a_next], 1), self._subset()).amin(0)
        return torch.addcmul(torch.from_numpy(batch.reward), self._discounts(batch), q_next)

    @torch.no_grad()
    def gripper_target(self, batch: Batch, s_next: Tensor, s_next_target: Tensor) -> Tensor:
        """Double DQN: y = r - penalty * toggled + gamma (1 - terminated) Q'(s', argmax_g Q(s', g)): (B,)."""
        assert self.values.gripper is not None and self.target.gripper is not None
        best = self.values.gripper(s_next).argmax(1, keepdim=True)
        q_next = self.target.gripper(s_next_target).gather(1, best)[:, 0]
        reward = torch.from_numpy(batch.reward - np.float32(self.config.gripper_penalty) * self.toggled(batch))
        return torch.addcmul(reward, self._discounts(batch), q_next)

    def toggled(self, batch: Batch) -> Array:
        """Whether each step commanded the gripper to change, (B,) float32."""
        command, config = batch.action[:, -1], self.config
        closes, opens = command < -0.5, command > 0.5
        if config.gripper_feature is not None:
            closed = batch.observation["state"][:, config.gripper_feature] < config.gripper_closed_below
            closes, opens = closes & ~closed, opens & closed
        return (closes | opens).astype(np.float32)

    def _gripper_loss(self, batch: Batch, s: Tensor, s_next: Tensor, s_next_target: Tensor) -> Tensor:
        assert self.values.gripper is not None
        y = self.gripper_target(batch, s_next, s_next_target)
        chosen = torch.from_numpy(gripper_index(batch.action[:, -1]))
        return (self.values.gripper(s).gather(1, chosen[:, None])[:, 0] - y).square().mean()

    def _update_actor(self, batch: Batch) -> dict[str, Tensor]:
        s = self._s.detach()
        outputs = self.actor(s)
        a, log_pi = gaussian.sample(outputs, self.generator)
        with frozen(self.values.critics.parameters()):
            q = self.values.critics(torch.cat([s, a], 1)).mean(0)
        alpha = F.softplus(self.actor.raw_temperature)
        loss = (alpha.detach() * log_pi - q).mean()
        if self.config.bc_weight:
            loss = loss + self.bc_weight * self._bc_loss(batch, outputs)
        entropy = -log_pi.detach().mean()
        self._step("actor", loss + alpha * (entropy - self.target_entropy), self._actor_parameters)
        return {"actor_loss": loss.detach(), "entropy": entropy}

    def _bc_loss(self, batch: Batch, outputs: Tensor) -> Tensor:
        """Mean over the rows of the operator, demonstrations included, of -log N(a; tanh mu(s), sigma(s)) (ours)."""
        operator = torch.from_numpy((batch.authority == Authority.OPERATOR).astype(np.float32))
        mean, log_std = gaussian.split(outputs)
        std = log_std.exp().clamp(min=self.config.bc_min_std)
        error = (torch.tanh(mean) - torch.from_numpy(batch.action)[:, : self.continuous]) / std
        return (operator * (0.5 * error.square() + std.log()).mean(1)).sum() / operator.sum().clamp(min=1.0)

    def _step(self, name: str, loss: Tensor, parameters: list[Tensor]) -> None:
        """One Adam step."""
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.contiguous()  # a fused optimiser reads memory in the parameter's order
        self._optimizers[name].step()

    def _subset(self) -> Sequence[int] | None:
        if self.config.target_subset == self.config.critics:
            return None
        order = torch.randperm(self.config.critics, generator=self.generator)
        return order[: self.config.target_subset].tolist()

    def _discounts(self, batch: Batch) -> Tensor:
        return torch.from_numpy(np.where(batch.terminated, np.float32(0.0), np.float32(self.config.discount)))

    # -- checkpoint --------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that a resumed run needs to go on bit for bit: (arrays, JSON values)."""
        arrays = module_arrays("values", self.values) | module_arrays("target", self.target)
        arrays |= module_arrays("actor", self.actor)
        for name, optimizer in self._optimizers.items():
            arrays |= optimizer_arrays(f"adam_{name}", optimizer)
        generators = {"torch": generator_text(self.generator), "numpy": self.rng.bit_generator.state}
        return arrays, {"updates": self.updates, "generators": generators}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from `state()`; other keys in either mapping are ignored.

        Raises:
            CheckpointError: the networks are of another shape.
        """
        if "actor/raw_temperature" not in arrays:
            raise CheckpointError("checkpoint holds no RLPD learner (actor/raw_temperature): pass an RLPD checkpoint")
        for name, module in (("values", self.values), ("target", self.target), ("actor", self.actor)):
            load_module(name, module, arrays)
        for name, optimizer in self._optimizers.items():
            load_optimizer(f"adam_{name}", optimizer, arrays)
        self.updates = int(meta["updates"])
        load_generator(self.generator, meta["generators"]["torch"])
        self.rng.bit_generator.state = meta["generators"]["numpy"]


def gripper_index(command: Array) -> Array:
    """Last action dimension (B,) -> {0 close, 1 stay, 2 open}, thresholds +-0.5."""
    return 1 + (command > 0.5).astype(np.int64) - (command < -0.5)


def _adam(parameters: list[Tensor], learning_rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
