"""The world model of FARL: a latent model in the manner of TD-MPC2, with a head for the constraint.

Hansen et al. 2024, "TD-MPC2", equations 3 to 5: encoder, latent dynamics, reward, value and policy prior share one
latent and are trained by one loss on short latent rollouts. FARL adds the head c(z, a) -> P(C(s, a) = 1), trained on
the same rollouts. Ours:

- The latent is what the encoder makes of the observation, normalised state features, and the dynamics predict how it
  changes, in units of a step's usual change. TD-MPC2's learned latent with simplicial normalisation forgot where things
  are: one step ahead a rolling ball was 5.5 cm off, here 0.1 (BoundedSoccer, docs/farl.md). A policy of
  observations can so be rolled on without a decoder.
- Rewards and values are plain regressions on scaled targets (no two-hot); the prior stays near the actions of the data
  (TD3+BC, Fujimoto & Gu 2021), which is all there is offline.
- Positives are re-weighted and the probability is corrected for it; the loss is a weighted mean over steps.

Symbols: s, a, r, C observation, executed action, reward, cost; z latent; d dynamics; R, Q_i, pi, c the heads; gamma
discount; rho weight of later steps; tau step of the target critics; L steps in a window, B windows.
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
    frozen,
    load_module,
    load_optimizer,
    module_arrays,
    optimizer_arrays,
)
from handrail.store.ring import Batch
from handrail.store.trajectories import Trajectories

from .actor_critic import descend, encode_one


@dataclass(frozen=True)
class WorldModelConfig:
    """Rates in the manner of TD-MPC2; sizes that suffice for states and are fast.

    TD-MPC2 trains on windows of 3 steps with rho = 0.5. C_H looks further: with windows of 10 steps and rho = 0.95
    the constraint head is as good 10 steps ahead as at once, at half the batch and the same cost (ours, measured).

    Attributes:
        hidden: of the dynamics; the heads have its first layer only.
        activation: of every network.
        horizon, batch_size, positive_share: L, B and `WindowSampler.positive_share`; read by the caller who samples.
        rho: step i of a window weighs rho^i in the loss.
        consistency, reward, value, constraint: coefficients. Reward and value are those of TD-MPC2; the consistency is
            measured in units of a step's usual change (ours).
        positive_cap: a positive of the constraint weighs at most so many negatives (ours).
        prior_bc: weight of the data's action in the prior's loss (TD3+BC, whose alpha is 1 / `prior_bc`).
        discount, tau: gamma; of the target critics.
        learning_rate, encoder_rate: of Adam; an encoder that is trained learns at `encoder_rate` of it.
        grad_clip: largest norm of the joint gradient.
    """

    hidden: tuple[int, ...] = (128, 128)
    activation: str = "relu"
    horizon: int = 10
    batch_size: int = 128
    positive_share: float = 0.25
    rho: float = 0.95
    consistency: float = 1.0
    reward: float = 0.1
    value: float = 0.1
    constraint: float = 1.0
    positive_cap: float = 20.0
    prior_bc: float = 0.4
    discount: float = 0.99
    tau: float = 0.01
    learning_rate: float = 1e-3
    encoder_rate: float = 0.3
    grad_clip: float = 20.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.hidden) <= 2:
            raise InvalidValueError(f"hidden {self.hidden} has {len(self.hidden)} layers: choose 1 or 2")
        if not 0.0 < self.discount < 1.0:
            raise InvalidValueError(f"discount {self.discount} is not in (0, 1): TD-MPC2 uses 0.95 to 0.995")
        if not 0.0 < self.rho <= 1.0:
            raise InvalidValueError(f"rho {self.rho} is not in (0, 1]: TD-MPC2 uses 0.5")


REACH = 5.0
"""Largest entry of a latent state: what `StateEncoder` clips features to, so that no rollout leaves what was seen."""
SCALE_ROWS = 20_000  # of the data, at most, that a step's usual change is measured on (ours)


class Nets(nn.Module):
    """Everything that the joint loss trains, and the constants of the data.

    Buffers:
        step_scale: (Z,) root mean square of the latent's change in a step.
        reward_scale, return_scale: root mean squares; rewards and values are predicted divided by them.
        return_low, return_high: 5th and 95th percentile of the data's discounted returns: values 0 and 1 of a monitor.
        positive_weight: of a positive in the constraint's loss.
    """

    def __init__(
        self, config: WorldModelConfig, encoder: ObservationEncoder, actions: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.step_scale: Tensor
        self.reward_scale: Tensor
        self.return_scale: Tensor
        self.return_low: Tensor
        self.return_high: Tensor
        self.positive_weight: Tensor
        Z, A, width = encoder.output_dim, actions, config.hidden[0]
        self.encoder = encoder

        def mlp(hidden: tuple[int, ...], outputs: int) -> Mlp:
            return Mlp((Z + A, *hidden, outputs), generator, config.activation, output_gain=0.01)

        self.dynamics = mlp(config.hidden, Z)
        self.reward = mlp((width,), 1)
        self.constraint = mlp((width,), 1)
        self.critics = Ensemble(mlp((width,), 1) for _ in range(2))
        self.register_buffer("step_scale", torch.ones(Z))
        for name in ("reward_scale", "return_scale", "return_low", "return_high", "positive_weight"):
            self.register_buffer(name, torch.tensor(0.0 if name == "return_low" else 1.0))

    def next(self, z: Tensor, a: Tensor) -> Tensor:
        """z' = z + step_scale d(z, a), within +-REACH."""
        change = self.dynamics(torch.cat([z, a], 1))
        return torch.addcmul(z, self.step_scale, change).clamp(-REACH, REACH)

    def probability(self, z: Tensor, a: Tensor) -> Tensor:
        """P(C(s, a) = 1), corrected for the weight of positives in the loss: (B,)."""
        return torch.sigmoid(self.constraint(torch.cat([z, a], 1))[:, 0] - self.positive_weight.log())


class WorldModel:
    """The learner. It never steps an environment, and draws nothing but its initial weights.

    Args:
        config: frozen; belongs into the checkpoint's meta.
        encoder: factory of an encoder, or the vector sizes of a `StateEncoder` by observation key.
        action_dim: A; actions are clipped to [-1, 1].
        seed: fixes the initial weights.
    """

    def __init__(
        self, config: WorldModelConfig, encoder: EncoderFactory | Mapping[str, int], action_dim: int, seed: int
    ) -> None:
        self.config, self.action_dim, self.updates = config, action_dim, 0
        generator = torch.Generator().manual_seed(seed)
        factory = StateFactory(encoder) if isinstance(encoder, Mapping) else encoder
        self.nets = Nets(config, factory(generator), action_dim, generator)
        sizes = (self.encoder.output_dim, config.hidden[0], action_dim)
        self.prior = Mlp(sizes, generator, config.activation, output_gain=0.01)
        self.target = copy.deepcopy(self.nets.critics).requires_grad_(False)
        trunk = list(self.encoder.parameters())
        heads = [parameter for parameter in self.nets.parameters() if all(parameter is not other for other in trunk)]
        self._parameters = [*trunk, *heads]
        self._follow = get_ema_multi_avg_fn(1.0 - config.tau)
        rate = config.learning_rate
        groups = [{"params": trunk, "lr": rate * config.encoder_rate}, {"params": heads}]
        self._optimizers = {
            "nets": torch.optim.Adam(groups, lr=rate, fused=True),
            "prior": torch.optim.Adam(self.prior.parameters(), lr=rate, fused=True),
        }

    @property
    def encoder(self) -> ObservationEncoder:
        return self.nets.encoder

    def features(self, observation: Observation) -> Array:
        """What the encoder makes of one observation: (Z,)."""
        return encode_one(self.encoder, observation)

    # -- constants of the data ---------------------------------------------------------------------------------------

    def fit_normaliser(self, batch: Batch) -> None:
        """Set the encoder's normalisation, once, before the first update."""
        self.encoder.fit(batch)

    def fit_scales(self, data: Trajectories) -> None:
        """Set all scales and the weight of positives, once, before the first update (ours).

        After `fit_normaliser`: a step's change is measured in features.
        """
        returns = discounted_returns(data, self.config.discount)
        low, high = np.percentile(returns, [5, 95])
        share = float((data.cost > 0).mean())
        weight = np.clip((1.0 - share) / max(share, 1e-6), 1.0, self.config.positive_cap)
        scales = {
            "reward_scale": max(float(np.square(data.reward).mean()) ** 0.5, 1e-3),
            "return_scale": max(float(np.square(returns).mean()) ** 0.5, 1e-3),
            "return_low": low,
            "return_high": max(high, low + 1e-3),
            "positive_weight": weight,
        }
        for name, value in scales.items():
            getattr(self.nets, name).fill_(float(value))
        some = data.rows(np.linspace(0, len(data) - 1, min(len(data), SCALE_ROWS)).astype(int))
        with torch.no_grad():
            change = self.encoder.encode(some.next_observation) - self.encoder.encode(some.observation)
            self.nets.step_scale.copy_(change.square().mean(0).sqrt().clamp(min=1e-3))

    # -- learning ----------------------------------------------------------------------------------------------------

    def update(
        self, window: Trajectories, valid: Array, weight: Array | None = None, metrics: bool = False
    ) -> dict[str, float]:
        """One step on the joint loss, one of the prior, one of the target critics.

        Args:
            window: columns (B, L, ...), as `WindowSampler` or `Trajectories.window` give them.
            valid: (B, L) bool; steps where it is false have no effect.
            weight: (B,) of each window in the constraint's loss, `WindowSampler`'s; None for ones.
            metrics: return the losses; off, nothing is read back and the result is empty.
        """
        rolled = self._roll(window)
        steps = self._step_weights(valid)
        losses = self._losses(rolled, window, weight)
        means = {name: (steps * loss).sum() for name, loss in losses.items()}
        total = sum((getattr(self.config, name) * loss for name, loss in means.items()), torch.zeros(()))
        descend(self._optimizers["nets"], self._parameters, total, self.config.grad_clip)
        means["prior"] = self._prior_loss(rolled, len(valid))
        descend(self._optimizers["prior"], list(self.prior.parameters()), means["prior"])
        self._follow(list(self.target.parameters()), list(self.nets.critics.parameters()), self.updates)
        self.updates += 1
        if not metrics:
            return {}
        return {f"{name}_loss": float(loss.detach()) for name, loss in means.items()}

    def _roll(self, window: Trajectories) -> Rolled:
        """Encode the first observation of each window and follow its actions in the latent space."""
        B, L = window.reward.shape
        a = torch.from_numpy(np.clip(_rows(window.action), -1.0, 1.0)).view(L, B, -1)
        first = self.encoder.encode({key: column[:, 0] for key, column in window.observation.items()})
        with torch.no_grad():
            after = self.encoder.encode({key: _rows(column) for key, column in window.next_observation.items()})
        z = [first]
        for t in range(L):
            z.append(self.nets.next(z[t], a[t]))
        return Rolled(torch.cat(z[:-1]), torch.cat(z[1:]), a.flatten(0, 1), after)

    def _step_weights(self, valid: Array) -> Tensor:
        """rho^i of the valid steps, summing to 1: (L * B,)."""
        steps = np.power(self.config.rho, np.arange(valid.shape[1]), dtype=np.float32) * valid
        return torch.from_numpy(_rows(steps / max(steps.sum(), 1e-8)))

    def _losses(self, rolled: Rolled, window: Trajectories, weight: Array | None) -> dict[str, Tensor]:
        """The terms of the joint loss at every step of every window: (L * B,) each."""
        nets = self.nets
        za = torch.cat([rolled.z, rolled.a], 1)
        r, cost = (torch.from_numpy(_rows(column)) for column in (window.reward, window.cost))
        rare = F.binary_cross_entropy_with_logits(
            nets.constraint(za)[:, 0], cost, reduction="none", pos_weight=nets.positive_weight
        )
        if weight is not None:
            rare = rare * torch.from_numpy(weight).repeat(len(rare) // len(weight))
        y = self.td_target(r, torch.from_numpy(_rows(window.terminated)), rolled.z_after)
        return {
            "consistency": ((rolled.z_next - rolled.z_after) / nets.step_scale).square().mean(1),
            "reward": (nets.reward(za)[:, 0] - r / nets.reward_scale).square(),
            "value": (nets.critics(za) - y).square().mean(0),
            "constraint": rare,
        }

    @torch.no_grad()
    def td_target(self, r: Tensor, terminated: Tensor, z_after: Tensor) -> Tensor:
        """y = r + gamma (1 - terminated) min_i Q'_i(z', pi(z')), in units of `return_scale`: (B,)."""
        q = self.target(torch.cat([z_after, torch.tanh(self.prior(z_after))], 1)).amin(0)
        return r / self.nets.return_scale + self.config.discount * torch.where(terminated, 0.0, q)

    def _prior_loss(self, rolled: Rolled, first: int) -> Tensor:
        """-Q(z, pi(z)) / mean |Q| + prior_bc |pi(z) - a|^2 (TD3+BC, equation 5), without gradient into z.

        On the `first` rows, the encoded latents: like those at which `td_target` asks the prior.
        """
        z = rolled.z[:first].detach()
        a = torch.tanh(self.prior(z))
        with frozen(self.nets.critics.parameters()):
            q = self.nets.critics(torch.cat([z, a], 1)).mean(0)
        scale = q.detach().abs().mean().clamp(min=1e-3)
        return (self.config.prior_bc * (a - rolled.a[:first]).square().mean(1) - q / scale).mean()

    # -- checkpoint --------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that a resumed run needs to go on bit for bit: (arrays, JSON values)."""
        arrays = module_arrays("model", self.nets) | module_arrays("prior", self.prior)
        arrays |= module_arrays("target_critics", self.target)
        for name, optimizer in self._optimizers.items():
            arrays |= optimizer_arrays(f"adam_{name}", optimizer)
        return arrays, {"updates": self.updates}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from `state()`; other keys in either mapping are ignored.

        Raises:
            CheckpointError: the networks are of another shape.
        """
        if "model/positive_weight" not in arrays:
            raise CheckpointError("checkpoint holds no world model (model/positive_weight): pass a WorldModel's")
        for name, module in (("model", self.nets), ("prior", self.prior), ("target_critics", self.target)):
            load_module(name, module, arrays)
        for name, optimizer in self._optimizers.items():
            load_optimizer(f"adam_{name}", optimizer, arrays)
        self.updates = int(meta["updates"])


@dataclass(frozen=True, slots=True)
class Rolled:
    """A batch of windows followed in the latent space; rows are steps, all windows of the first step first."""

    z: Tensor  # (L * B, Z) predicted, before the action
    z_next: Tensor  # (L * B, Z) predicted, after it
    a: Tensor  # (L * B, A)
    z_after: Tensor  # (L * B, Z) encoded from the observations after it, without gradient


class WindowSampler:
    """Windows of a data set, those that hold a violation drawn more often (ours).

    A share of the draws goes to windows with a violation, the rest to all alike. The weight of a window is its
    probability under uniform draws over that under these: it undoes the preference where a probability would be biased.

    Args:
        data: at least one step.
        length: L.
        positive_share: of the draws, in [0, 1).
    """

    def __init__(self, data: Trajectories, length: int, positive_share: float = 0.0) -> None:
        if not 0.0 <= positive_share < 1.0:
            raise InvalidValueError(f"positive_share {positive_share} is not in [0, 1): use a quarter to a half")
        self.data, self.length = data, length
        starts = np.arange(len(data))
        ends = np.flatnonzero(data.last)
        stop = np.minimum(starts + length, ends[np.searchsorted(ends, starts)] + 1)
        seen = np.concatenate([[0], np.cumsum(data.cost > 0)])
        positive = seen[stop] > seen[starts]
        self.positives = np.flatnonzero(positive)
        self.share = positive_share if len(self.positives) else 0.0
        extra = positive * self.share * len(data) / max(len(self.positives), 1)
        self.weight = (1.0 / (1.0 - self.share + extra)).astype(np.float32)  # (N,)

    def sample(self, batch: int, rng: np.random.Generator) -> tuple[Trajectories, Array, Array]:
        """Columns (B, L, ...), which steps are real (B, L), and the weight of each window (B,)."""
        starts = rng.integers(len(self.data), size=batch)
        chosen = np.flatnonzero(rng.random(batch) < self.share)
        if len(chosen):
            starts[chosen] = rng.choice(self.positives, len(chosen))
        return *self.data.window(starts, self.length), self.weight[starts]


def discounted_returns(data: Trajectories, discount: float) -> Array:
    """sum_k gamma^k r_{t+k} to the end of each episode: (N,) float64."""
    returns = np.zeros(len(data))
    later = 0.0
    for t in range(len(data) - 1, -1, -1):
        later = float(data.reward[t]) + (0.0 if data.last[t] else discount * later)
        returns[t] = later
    return returns


def _rows(column: Array) -> Array:
    """(B, L, ...) -> (L * B, ...), contiguous: all windows of the first step first."""
    swapped = np.ascontiguousarray(column.swapaxes(0, 1))
    return swapped.reshape(-1, *swapped.shape[2:])
