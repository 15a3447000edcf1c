"""The world model at run time: latent rollouts in NumPy, at batch 1 several times faster than torch.

For one observation a call into torch costs more than its arithmetic. The functions here share the memory of the model's
parameters, which training changes in place: they never need a refresh. `za` is a latent state, which is the encoder's
features, and an action side by side: (B, Z + A).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import nn

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array
from handrail.learn.world_model import REACH, WorldModel
from handrail.nets import Mlp

Rows = Callable[[Array], Array]
"""(B, inputs) -> (B, outputs), a new array."""

FeaturePolicy = Callable[[Array], Array]
"""The mean of a policy on normalised features (B, Z), those of the model's encoder -> actions (B, A) in [-1, 1]."""


class Imagination:
    """Batched functions of a world model, and rollouts through them. It has no memory."""

    def __init__(self, model: WorldModel) -> None:
        nets = model.nets
        self.latent, self.actions = model.encoder.output_dim, model.action_dim
        self._dynamics, self._step_scale = rows(nets.dynamics), nets.step_scale.numpy()
        self._constraint, self._reward, self._prior = rows(nets.constraint), rows(nets.reward), rows(model.prior)
        self._critics = [rows(critic) for critic in nets.critics if isinstance(critic, Mlp)]
        self._positive_weight = nets.positive_weight.numpy()
        self._reward_scale, self._return_scale = nets.reward_scale.numpy(), nets.return_scale.numpy()
        self._low, self._high = nets.return_low.numpy(), nets.return_high.numpy()

    def next(self, za: Array) -> Array:
        """(B, Z + A) -> z (B, Z) of the step after."""
        z = self._dynamics(za)
        z *= self._step_scale
        z += za[:, : self.latent]
        np.minimum(z, FURTHEST, out=z)
        return np.maximum(z, NEAREST, out=z)

    def probability(self, za: Array) -> Array:
        """P(C(s, a) = 1): (B,). The logit is corrected for the weight of positives in the loss."""
        odds = np.exp(np.minimum(self._constraint(za)[:, 0], LARGEST)) / self._positive_weight
        return odds / (1.0 + odds)

    def reward(self, za: Array) -> Array:
        """(B,), in the unit of the task's reward."""
        return self._reward(za)[:, 0] * self._reward_scale

    def prior(self, z: Array) -> Array:
        """The model's own policy: (B, Z) -> (B, A)."""
        return np.tanh(self._prior(z))

    def returns(self, za: Array) -> Array:
        """Discounted return from here, the mean of both critics: (B,), in the unit of the task's reward."""
        first, second = self._critics
        return (first(za)[:, 0] + second(za)[:, 0]) * (0.5 * self._return_scale)

    def normalised(self, returns: Array) -> Array:
        """Discounted returns -> [0, 1]: 0 and 1 are the 5th and 95th percentile of the data's (ours)."""
        return np.minimum(np.maximum((returns - self._low) / (self._high - self._low), 0.0), 1.0)

    def roll(self, features: Array, action: Array, policy: FeaturePolicy, horizon: int) -> Array:
        """Apply `action` (B, A), then follow `policy` for `horizon` steps: za (horizon + 1, B, Z + A).

        `action` is clipped to [-1, 1], as in training; the policy's are within.
        """
        latent = self.latent
        za = np.empty((horizon + 1, len(features), latent + self.actions), np.float32)
        za[0, :, :latent] = features
        np.clip(action, -1.0, 1.0, out=za[0, :, latent:])
        for i in range(horizon):
            z = self.next(za[i])
            za[i + 1, :, :latent] = z
            za[i + 1, :, latent:] = policy(z)
        return za

    def follow(self, z: Array, actions: Array) -> tuple[Array, Array]:
        """Apply `actions` (H, B, A) from z (B, Z) on: za (H, B, Z + A), and z after the last (B, Z)."""
        za = np.empty((*actions.shape[:2], self.latent + self.actions), np.float32)
        za[:, :, self.latent :] = actions
        for i in range(len(actions)):
            za[i, :, : self.latent] = z
            z = self.next(za[i])
        return za, z


def rows(net: Mlp) -> Rows:
    """The forward pass of `net` on a batch; it shares the memory of the parameters.

    Raises:
        InvalidValueError: a layer of another kind than linear, ReLU, tanh and SiLU.
    """
    layers = [_layer(layer) for layer in net]

    def forward(x: Array) -> Array:
        for layer in layers:
            x = layer(x)
        return x

    return forward


def mean_of(actor: Mlp) -> FeaturePolicy:
    """The mean of a Gaussian actor whose network ends before tanh, as PPO's does."""
    forward = rows(actor)

    def mean(features: Array) -> Array:
        outputs = forward(features)
        return np.tanh(outputs, out=outputs)

    return mean


def _layer(layer: nn.Module) -> Rows:
    if isinstance(layer, nn.Linear):
        return _linear(layer.weight.detach().numpy().T, layer.bias.detach().numpy())
    if type(layer) not in ACTIVATIONS:
        raise InvalidValueError(
            f"layer {type(layer).__name__} has no NumPy version here: build the network of Linear, "
            f"{', '.join(known.__name__ for known in ACTIVATIONS)}"
        )
    return ACTIVATIONS[type(layer)]


def _linear(weight: Array, bias: Array) -> Rows:
    def linear(x: Array) -> Array:
        y = x.dot(weight)  # at batch 1 a third cheaper than `@`
        y += bias
        return y

    return linear


ZERO, LARGEST, FURTHEST, NEAREST = (np.array(bound, np.float32) for bound in (0.0, 60.0, REACH, -REACH))
"""Arrays of no dimension: half the call's cost of Python's numbers. exp(LARGEST) is finite in float32."""

ACTIVATIONS: dict[type[nn.Module], Rows] = {
    nn.ReLU: lambda x: np.maximum(x, ZERO, out=x),
    nn.Tanh: lambda x: np.tanh(x, out=x),
    nn.SiLU: lambda x: x / (1.0 + np.exp(-x)),
}
"""In place where they can: they own what the layer before them made."""
