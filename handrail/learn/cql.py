"""Conservative Q-Learning with a failure head, and an actor that corrects an operator: for guided teleoperation.

CQL is that of Kumar et al. 2020 (equation 4, the CQL(H) variant) on success at the end, Q being the discounted
probability of it. The equations of guided teleoperation (arXiv 2602.01092) are not public; those below are ours:

    critic   TD + alpha (logsumexp_{a ~ uniform, pi(s), pi(s')} Q(s, a) - Q(s, a_data)) + beta BCE(f(s, a), failure)
    actor    -S(s, pi(s, a_h)) + eta |pi(s, a_h) - a_h|^2 + clone |pi(s, a_h) - a_data|^2 [the episode succeeded]

f(s, a) is the probability of an irreversible failure within H steps, the second output of both critics. Ours as well:

- An action is a displacement, joint targets less present joints in a unit per joint fitted on the data, within [-1, 1].
  Of targets in radians, uniform draws are so far from any command that Q tells nothing where the operator is.
- TD is n-step, its loss cross-entropy on logits (Q is a probability), a' = pi(s', a'_data): an operator who is helped.
  An episode that ran out of time has failed, as its label says. Were it to bootstrap, nothing in teleoperation without
  irreversible failures would say that Q may be below 1: what the conservative term adds to Q would add up unopposed.
- pi(s, a_h) = a_h + bound tanh(mu(s, a_h)), within [-1, 1]. In training a_h is the data's action made worse: noise and
  hesitation (`worsened`). Cloning then teaches what successful operators meant, the nearest of several valid ways,
  which a sparse success hardly does through the gradient of Q; `clone` = 0 leaves the gradient alone.
- A correction may be a place some steps ahead (`lead`), of which a compliant hand goes a share in the next step. Where
  Q is asked about a helped operator, it is about a_h + compliance (pi(s, a_h) - a_h): in all three terms.

Symbols: s features; a, a_h actions of the data and of an operator (B, A); y target; K draws of each kind of action.
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
from handrail.core.values import Array
from handrail.nets import (
    EncoderFactory,
    Mlp,
    ObservationEncoder,
    StateFactory,
    frozen,
    generator_text,
    load_generator,
    load_module,
    load_optimizer,
    module_arrays,
    optimizer_arrays,
)
from handrail.store.ring import Batch
from handrail.store.trajectories import Trajectories

from .actor_critic import descend
from .cql_data import CQLBatch


@dataclass(frozen=True)
class CQLConfig:
    """All values are ours but `tau` and `draws`, which are common ones.

    Attributes:
        batch_size, updates: read by the caller who samples.
        discount: gamma of one step. 0.999 at 50 Hz is 0.95 a second: Q is then nearly the probability of success, where
            0.995 would call every beginning unlikely.
        n_step: steps of a return before it bootstraps. Few backups carry a success through an episode of some hundred
            steps, and add up little of the conservative term.
        timeout_fails: time that runs out ends an episode like a failure; off, its last step bootstraps.
        tau: step of the target critics.
        alpha: weight of the conservative term; 0 is the ablation `no-cql`.
        draws: K, for each of uniform, pi(s) and pi(s').
        beta: weight of the failure head; 0 is the ablation `no-failure-head`, f is 0 then.
        horizon: H, steps within which the failure head looks for one.
        hidden, activation: of every network; ReLU or tanh.
        learning_rate: of Adam.
        feature_noise: standard deviation of the noise on the critics' features in training, which are of about unit
            size (ours). Success is one bit an episode: without noise the critics learn the episodes by heart.
        relative_to: observation key whose first A entries are the present joint positions; empty: an action is one.
        min_unit: the smallest unit of a joint's displacement [rad, or opening].
        bound: the most that the actor adds to an operator's action, in units.
        eta: weight of staying near the operator's action.
        clone: weight of the actions of successful episodes; 0 is an actor by the score alone.
        lead: the cloned action is where the data's command was so many steps later.
        compliance: share of the correction that is executed in the next step, in (0, 1]; well below 1 where `lead` is
            not 0: Q knows commands, and a command a quarter of a second later is far from all of them.
        noise: of a worsened action, in units.
    """

    batch_size: int = 128
    updates: int = 20_000
    discount: float = 0.999
    n_step: int = 50
    timeout_fails: bool = True
    tau: float = 0.005
    alpha: float = 0.1
    draws: int = 4
    beta: float = 1.0
    horizon: int = 50
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "relu"
    learning_rate: float = 3e-4
    feature_noise: float = 0.3
    relative_to: str = "state"
    min_unit: float = 0.02
    bound: float = 0.5
    eta: float = 0.05
    clone: float = 1.0
    lead: int = 0
    compliance: float = 1.0
    noise: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.discount < 1.0:
            raise InvalidValueError(f"discount {self.discount} is not in (0, 1): 0.999 suits 50 steps a second")
        if not 0.0 < self.tau <= 1.0:
            raise InvalidValueError(f"tau {self.tau} is not in (0, 1]: 0.005 follows in some 200 updates")
        if not 0.0 < self.compliance <= 1.0:
            raise InvalidValueError(f"compliance {self.compliance} is not in (0, 1]: 1 executes the whole correction")
        if self.activation not in ("relu", "tanh"):
            raise InvalidValueError(f"activation '{self.activation}' is not known here: choose relu or tanh")
        for name in ("n_step", "draws"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name} {getattr(self, name)} is below 1: use 1 or more")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise InvalidValueError(f"{name} {getattr(self, name)} is below 0: 0 switches it off")


class CQLNets(nn.Module):
    """Encoder, both critics, the actor, and the constants of the data.

    Buffers:
        unit: (A,) of an action's displacement.
        score_low, score_high: q_lo and q_hi, values of min Q that are score 0 and 1.
    """

    def __init__(
        self, config: CQLConfig, encoder: ObservationEncoder, actions: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.unit: Tensor
        self.score_low: Tensor
        self.score_high: Tensor
        self.encoder, self.bound, self.compliance = encoder, config.bound, config.compliance
        inputs = encoder.output_dim + actions
        self.critics = nn.ModuleList(Mlp((inputs, *config.hidden, 2), generator, config.activation) for _ in range(2))
        self.actor = Mlp((inputs, *config.hidden, actions), generator, config.activation, output_gain=0.01)
        self.register_buffer("unit", torch.ones(actions))
        self.register_buffer("score_low", torch.tensor(0.0))
        self.register_buffer("score_high", torch.tensor(1.0))

    def judge(self, s: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of Q and of a failure by each critic, of features (..., D) and actions (..., A): (2, ...) twice."""
        rows = torch.cat([s, a], -1)
        logits = torch.stack([critic(rows.flatten(0, -2)) for critic in self.critics])
        q, f = logits.view(2, *rows.shape[:-1], 2).unbind(-1)
        return q, f

    def pi(self, s: Tensor, a_h: Tensor) -> Tensor:
        """The corrected action: (..., A) in [-1, 1], within `bound` of `a_h` in every dimension."""
        rows = torch.cat([s, a_h], -1)
        mu = self.actor(rows.flatten(0, -2)).view(a_h.shape)
        return (a_h + self.bound * torch.tanh(mu)).clamp(-1.0, 1.0)

    def helped(self, s: Tensor, a_h: Tensor) -> Tensor:
        """What an operator who is pulled toward pi(s, a_h) does next: (..., A)."""
        return torch.lerp(a_h, self.pi(s, a_h), self.compliance)


class CQL:
    """The learner.

    Args:
        config: frozen; belongs into the checkpoint's meta.
        encoder: factory of an encoder, or the vector sizes of a `StateEncoder` by observation key.
        action_dim: A.
        seed: fixes initial weights and every draw.
    """

    def __init__(
        self, config: CQLConfig, encoder: EncoderFactory | Mapping[str, int], action_dim: int, seed: int
    ) -> None:
        self.config, self.action_dim, self.updates = config, action_dim, 0
        self.generator = torch.Generator().manual_seed(seed)
        factory = StateFactory(encoder) if isinstance(encoder, Mapping) else encoder
        self.nets = CQLNets(config, factory(self.generator), action_dim, self.generator)
        self.target = copy.deepcopy(self.nets).requires_grad_(False)
        self._critic_parameters: list[Tensor] = [*self.encoder.parameters(), *self.nets.critics.parameters()]
        self._target_parameters: list[Tensor] = [*self.target.encoder.parameters(), *self.target.critics.parameters()]
        self._actor_parameters: list[Tensor] = list(self.nets.actor.parameters())
        rate = config.learning_rate
        self._optimizers = {
            "critic": torch.optim.Adam(self._critic_parameters, lr=rate, fused=True),
            "actor": torch.optim.Adam(self._actor_parameters, lr=rate, fused=True),
        }
        self._follow = get_ema_multi_avg_fn(1.0 - config.tau)

    @property
    def encoder(self) -> ObservationEncoder:
        return self.nets.encoder

    # -- constants of the data ---------------------------------------------------------------------------------------

    def fit_normaliser(self, batch: Batch) -> None:
        """Set the encoder's normalisation, once, before the first update."""
        self.encoder.fit(batch)
        self.target.encoder.fit(batch)

    def fit_scales(self, data: Trajectories) -> None:
        """Set the unit of each action dimension to the 99th percentile of the data's displacements (ours), once."""
        size = np.abs(self._relative(data.observation, data.action))
        unit = np.maximum(np.percentile(size, 99, axis=0), self.config.min_unit).astype(np.float32)
        for nets in (self.nets, self.target):
            nets.unit.copy_(torch.from_numpy(unit))

    def fit_bounds(self, data: Trajectories) -> None:
        """Set q_lo and q_hi to the 5th and 95th percentile of min Q on calibration episodes, once, after training."""
        low, high = np.percentile(self.values(data.observation, data.action)[0], [5, 95])
        self._set_bounds(float(low), float(high))

    # -- what it says ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def values(self, observation: Mapping[str, Array], action: Array) -> tuple[Array, Array]:
        """min Q and f of observations (B, ...) and joint targets (B, A): (B,) each."""
        q, f = self.nets.judge(self.encoder.encode(observation), self.displacement(observation, action))
        return torch.sigmoid(q.amin(0)).numpy(), (torch.sigmoid(f).mean(0) * bool(self.config.beta)).numpy()

    @torch.no_grad()
    def corrected(self, observation: Mapping[str, Array], action: Array) -> Array:
        """Joint targets (B, A) that the actor proposes to operators who command joint targets `action` (B, A)."""
        s, a_h = self.encoder.encode(observation), self.displacement(observation, action)
        return action + (self.nets.unit * (self.nets.pi(s, a_h) - a_h)).numpy()

    def displacement(self, observation: Mapping[str, Array], action: Array) -> Tensor:
        """Joint targets (B, A) -> actions in units of the data's displacements, within [-1, 1]."""
        relative = torch.from_numpy(self._relative(observation, action))
        return (relative / self.nets.unit).clamp(-1.0, 1.0)

    def _relative(self, observation: Mapping[str, Array], action: Array) -> Array:
        key = self.config.relative_to
        present = observation[key][:, : self.action_dim] if key else np.float32(0.0)
        return np.asarray(action - present, np.float32)

    # -- learning ----------------------------------------------------------------------------------------------------

    def update(self, batch: CQLBatch, metrics: bool = False) -> dict[str, float]:
        """One step of the critics, one of the actor, and the targets follow.

        Args:
            batch: of `CQLSampler`.
            metrics: return losses and means; off, nothing is read back and the result is empty.
        """
        clean, a = self.encoder.encode(batch.observation), self.displacement(batch.observation, batch.action)
        s = self._blurred(clean)
        with torch.no_grad():
            s_next = self._blurred(self.target.encoder.encode(batch.next_observation))
            a_next = self.displacement(batch.next_observation, batch.next_action)
            y = self.td_target(batch, s_next, a_next)
        q, f = self.nets.judge(s, a)
        losses = {
            "td": F.binary_cross_entropy_with_logits(q, y.expand_as(q)),
            "conservative": self._conservative(s, a, s_next, a_next, torch.sigmoid(q)),
            "failure": F.binary_cross_entropy_with_logits(f, torch.from_numpy(batch.failure).expand_as(f)),
        }
        loss = losses["td"] + self.config.alpha * losses["conservative"] + self.config.beta * losses["failure"]
        descend(self._optimizers["critic"], self._critic_parameters, loss)
        self._track_bounds(torch.sigmoid(q.detach().amin(0)))
        losses |= self._improve(batch, clean.detach(), a)
        self._follow(self._target_parameters, self._critic_parameters, self.updates)
        self.updates += 1
        if not metrics:
            return {}
        found = {f"{name}_loss": float(value.detach()) for name, value in losses.items()}
        return found | {"q_mean": float(torch.sigmoid(q.detach()).mean()), "target_mean": float(y.mean())}

    def _blurred(self, s: Tensor) -> Tensor:
        """Features with noise on them; no draw where there is none."""
        noise = self.config.feature_noise
        return s + noise * torch.randn(s.shape, generator=self.generator) if noise else s

    @torch.no_grad()
    def td_target(self, batch: CQLBatch, s_next: Tensor, a_next: Tensor) -> Tensor:
        """y = sum_k gamma^k r_k + gamma^m min_i Q'_i(s', a'), within [0, 1]: (B,)."""
        q, _ = self.target.judge(s_next, self.nets.helped(s_next, a_next))
        y = torch.addcmul(torch.from_numpy(batch.returns), torch.from_numpy(batch.carry), torch.sigmoid(q.amin(0)))
        return y.clamp(0.0, 1.0)

    def _conservative(self, s: Tensor, a: Tensor, s_next: Tensor, a_next: Tensor, q_data: Tensor) -> Tensor:
        """logsumexp over 3 K actions of Q - Q of the data, mean over critics and rows; no draw where alpha is 0."""
        if self.config.alpha == 0.0:
            return torch.zeros(())
        K, B = self.config.draws, len(s)
        with torch.no_grad():
            uniform = 2.0 * torch.rand((B, K, self.action_dim), generator=self.generator) - 1.0
            drawn = [
                self.nets.helped(_repeated(at, K), self.worsened(_repeated(by, K)))
                for at, by in ((s, a), (s_next, a_next))
            ]
            others = torch.cat([uniform, *drawn], 1)  # (B, 3K, A)
        q, _ = self.nets.judge(_repeated(s, 3 * K), others)
        return (torch.sigmoid(q).logsumexp(-1) - q_data).mean()

    def worsened(self, a: Tensor) -> Tensor:
        """The action of an operator who is noisier and slower than the data's (ours): the shape of `a`, (..., A).

        v a + u noise z with z ~ N(0, I) and u ~ U(0, 1) a row; v is 1 for half of the rows, for the others U(0, 1).
        """
        u, v, half = torch.rand((3, *a.shape[:-1], 1), generator=self.generator)
        z = torch.randn(a.shape, generator=self.generator)
        return (torch.where(half < 0.5, v, 1.0) * a + self.config.noise * u * z).clamp_(-1.0, 1.0)

    def _improve(self, batch: CQLBatch, s: Tensor, a: Tensor) -> dict[str, Tensor]:
        """One step of the actor at features `s`, for operators worse than the data's."""
        a_h = self.worsened(a)
        corrected = self.nets.pi(s, a_h)
        with frozen(self.nets.critics.parameters()):
            q, _ = self.nets.judge(s, torch.lerp(a_h, corrected, self.config.compliance))
        score = (torch.sigmoid(q.amin(0)) - self.nets.score_low) / (self.nets.score_high - self.nets.score_low)
        wanted = self.displacement(batch.observation, batch.later_action)
        clone = torch.from_numpy(batch.success) * (corrected - wanted).square().sum(1)
        far = (corrected - a_h).square().sum(1)
        loss = (self.config.eta * far + self.config.clone * clone - score).mean()
        descend(self._optimizers["actor"], self._actor_parameters, loss)
        return {"actor": loss, "correction": far.mean(), "clone": clone.mean()}

    def _track_bounds(self, q: Tensor) -> None:
        """While it learns, the actor's score has the percentiles of the batches: S as it will be, but not clipped."""
        low, high = torch.quantile(q, torch.tensor([0.05, 0.95])).tolist()
        keep = BOUNDS_KEPT if self.updates else 0.0
        old = float(self.nets.score_low), float(self.nets.score_high)
        self._set_bounds(keep * old[0] + (1.0 - keep) * low, keep * old[1] + (1.0 - keep) * high)

    def _set_bounds(self, low: float, high: float) -> None:
        self.nets.score_low.fill_(low)
        self.nets.score_high.fill_(max(high, low + MIN_SPREAD))

    # -- checkpoint --------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that a resumed run needs to go on bit for bit: (arrays, JSON values)."""
        arrays = module_arrays("cql", self.nets) | module_arrays("cql_target", self.target)
        for name, optimizer in self._optimizers.items():
            arrays |= optimizer_arrays(f"adam_{name}", optimizer)
        return arrays, {"updates": self.updates, "generators": {"torch": generator_text(self.generator)}}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from `state()`; other keys in either mapping are ignored.

        Raises:
            CheckpointError: the networks are of another shape.
        """
        if "cql/score_low" not in arrays:
            raise CheckpointError("checkpoint holds no CQL learner (cql/score_low): pass a CQL checkpoint")
        load_module("cql", self.nets, arrays)
        load_module("cql_target", self.target, arrays)
        for name, optimizer in self._optimizers.items():
            load_optimizer(f"adam_{name}", optimizer, arrays)
        self.updates = int(meta["updates"])
        load_generator(self.generator, meta["generators"]["torch"])


NOT_NEGATIVE = (
    "alpha", "beta", "horizon", "bound", "eta", "clone", "lead", "noise", "feature_noise",
)  # fmt: skip
BOUNDS_KEPT = 0.99  # of the running percentiles, per update (ours)
MIN_SPREAD = (
    0.05  # of q_hi over q_lo: a critic that says the same everywhere must not be magnified without limit (ours)
)


def _repeated(x: Tensor, times: int) -> Tensor:
    """(B, D) -> (B, times, D)."""
    return x[:, None].expand(-1, times, -1)
