"""Behaviour cloning of action chunks, with a weight for every sample.

Two heads over the same network: a Gaussian (weighted negative log likelihood), and flow matching (Lipman et al. 2023,
equation 23; as an action head in pi0, Black et al. 2024): |v_theta(x_t, t, o) - (a - x_0)|^2 with
x_t = (1 - t) x_0 + t a, x_0 ~ N(0, I), t ~ U(0, 1), sampled by Euler steps from t = 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array, Authority, Observation, Proposal
from handrail.nets import (
    EncoderFactory,
    Mlp,
    StateEncoder,
    StateFactory,
    batched,
    generator_text,
    load_generator,
    load_module,
    load_optimizer,
    module_arrays,
    numpy_forward,
    optimizer_arrays,
)
from handrail.store.ring import Batch

TIME_FEATURES = 5


@dataclass(frozen=True)
class BCConfig:
    """Behaviour cloning.

    Attributes:
        head: "gaussian" or "flow".
        horizon: H, actions in a chunk.
        hidden, activation, layer_norm: of the network.
        learning_rate, weight_decay: of AdamW.
        min_std: smallest standard deviation of the Gaussian head: a constant action dimension must not rule the loss.
        flow_steps: Euler steps of the flow head.
        batch_size: read by the caller who samples.
    """

    head: Literal["gaussian", "flow"] = "gaussian"
    horizon: int = 1
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    layer_norm: bool = True
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    min_std: float = 0.1
    flow_steps: int = 10
    batch_size: int = 256

    def __post_init__(self) -> None:
        if self.head not in ("gaussian", "flow"):
            raise InvalidValueError(f"head '{self.head}' is not known: choose gaussian or flow")
        if self.horizon < 1 or self.flow_steps < 1:
            raise InvalidValueError(
                f"horizon {self.horizon} and flow_steps {self.flow_steps} must be at least 1: raise them"
            )


class BC:
    """The learner.

    Args:
        config: frozen; belongs into the checkpoint's meta.
        encoder: factory of an encoder, or the vector sizes of a `StateEncoder` by observation key.
        action_dim: A.
        seed: fixes initial weights and every draw.
    """

    def __init__(
        self, config: BCConfig, encoder: EncoderFactory | Mapping[str, int], action_dim: int, seed: int
    ) -> None:
        self.config, self.action_dim = config, action_dim
        self.generator = torch.Generator().manual_seed(seed)  # weights, and draws in `update`
        self.rng = np.random.default_rng(seed)  # draws in `act`
        self.updates = 0
        factory = StateFactory(encoder) if isinstance(encoder, Mapping) else encoder
        self.encoder = factory(self.generator)
        chunk, inputs = config.horizon * action_dim, self.encoder.output_dim
        sizes = (inputs, 2 * chunk) if config.head == "gaussian" else (inputs + chunk + TIME_FEATURES, chunk)
        self.net = Mlp(
            (sizes[0], *config.hidden, sizes[1]), self.generator, config.activation, config.layer_norm, output_gain=0.1
        )
        self._parameters = [*self.encoder.parameters(), *self.net.parameters()]
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._fast_net = numpy_forward(self.net)

    def fit_normaliser(self, demonstrations: Batch) -> None:
        """Set the encoder's normalisation, once, before the first update."""
        self.encoder.fit(demonstrations)

    def reset(self) -> None:
        """Nothing is carried from chunk to chunk."""

    def act(self, observation: Observation) -> Proposal:
        """The mean chunk (Gaussian), or one drawn chunk (flow), clipped to [-1, 1]: (H, A)."""
        features = self._features(observation)
        chunk = self._mean(features) if self.config.head == "gaussian" else self._integrate(features)
        actions = np.clip(chunk, -1.0, 1.0).reshape(self.config.horizon, self.action_dim)
        return Proposal(actions.astype(np.float32), Authority.POLICY)

    def update(self, batch: Batch | Sequence[Batch], metrics: bool = False) -> dict[str, float]:
        """One AdamW step for each batch on sum_i w_i loss_i / sum_i w_i.

        Args:
            batch: actions (B, A) for horizon 1, or chunks (B, H, A) (`handrail.store.samplers.chunks`); weights (B,).
            metrics: return the loss of the last step; off, nothing is read back and the result is empty.

        Raises:
            InvalidValueError: chunks of another shape than (H, A).
        """
        loss = torch.zeros(())
        for part in [batch] if isinstance(batch, Batch) else batch:
            loss = self._step(part)
            self.updates += 1
        return {"loss": float(loss)} if metrics else {}

    def _step(self, batch: Batch) -> Tensor:
        a = self._chunk(batch.action)
        s = self.encoder.encode(batch.observation)
        losses = self._gaussian_loss(s, a) if self.config.head == "gaussian" else self._flow_loss(s, a)
        w = torch.from_numpy(batch.weight)
        loss = (w * losses).sum() / w.sum().clamp(min=1e-8)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def _chunk(self, action: Array) -> Tensor:
        """(B, A) or (B, H, A) -> (B, H * A)."""
        expected = (self.config.horizon, self.action_dim)
        given = action.shape[1:] if action.ndim == 3 else (1, *action.shape[1:])
        if given != expected:
            raise InvalidValueError(
                f"action chunks have shape {given}, this learner {expected}: sample chunks of its horizon"
            )
        return torch.from_numpy(np.ascontiguousarray(action.reshape(len(action), -1), np.float32))

    def _gaussian_loss(self, s: Tensor, a: Tensor) -> Tensor:
        """-log N(a; mu(s), sigma(s)) without its constant, mean over the chunk: (B,)."""
        mean, raw = self.net(s).chunk(2, dim=1)
        std = torch.nn.functional.softplus(raw) + self.config.min_std
        return (0.5 * ((a - mean) / std).square() + std.log()).mean(1)

    def _flow_loss(self, s: Tensor, a: Tensor) -> Tensor:
        """|v_theta(x_t, t, o) - (a - x_0)|^2, mean over the chunk: (B,)."""
        x_0 = torch.randn(a.shape, generator=self.generator)
        t = torch.rand((len(a), 1), generator=self.generator)
        x_t = (1.0 - t) * x_0 + t * a
        v = self.net(torch.cat([s, x_t, time_features(t)], 1))
        return (v - (a - x_0)).square().mean(1)

    def _features(self, observation: Observation) -> Array:
        if isinstance(self.encoder, StateEncoder):
            return self.encoder.encode_one(observation)
        with torch.no_grad():
            return self.encoder.encode(batched(observation))[0].numpy()

    def _mean(self, features: Array) -> Array:
        return np.split(self._fast_net(features), 2)[0]

    def _integrate(self, features: Array) -> Array:
        steps = self.config.flow_steps
        x = self.rng.standard_normal(self.config.horizon * self.action_dim, np.float32)
        for i in range(steps):
            x = x + self._fast_net(np.concatenate([features, x, _time_row(i / steps)])) / np.float32(steps)
        return x

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that a resumed run needs to go on bit for bit: (arrays, JSON values)."""
        arrays = module_arrays("encoder", self.encoder) | module_arrays("net", self.net)
        generators = {"torch": generator_text(self.generator), "numpy": self.rng.bit_generator.state}
        return arrays | optimizer_arrays("adam", self._optimizer), {"updates": self.updates, "generators": generators}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from `state()`; other keys in either mapping are ignored.

        Raises:
            CheckpointError: the network is of another shape.
        """
        if "net/0.weight" not in arrays:
            raise CheckpointError("checkpoint holds no BC learner (net/0.weight): pass a BC checkpoint")
        load_module("encoder", self.encoder, arrays)
        load_module("net", self.net, arrays)
        load_optimizer("adam", self._optimizer, arrays)
        self.updates = int(meta["updates"])
        load_generator(self.generator, meta["generators"]["torch"])
        self.rng.bit_generator.state = meta["generators"]["numpy"]


def time_features(t: Tensor) -> Tensor:
    """Flow time (B, 1) -> (B, TIME_FEATURES): itself and two octaves of a Fourier basis."""
    angles = torch.pi * torch.cat([t, 2.0 * t], 1)
    return torch.cat([t, angles.sin(), angles.cos()], 1)


def _time_row(t: float) -> Array:
    angles = np.pi * np.array([t, 2.0 * t])
    return np.concatenate([[t], np.sin(angles), np.cos(angles)]).astype(np.float32)
