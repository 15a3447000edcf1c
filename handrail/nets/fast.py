"""Acting at batch size 1 in NumPy: for one observation a torch call costs more than its arithmetic (20 to 30 us)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import nn

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array

from .mlp import Mlp

Layer = Callable[[Array], Array]


def numpy_forward(net: Mlp) -> Layer:
    """The forward pass of `net` on one row (D,).

    It shares the memory of the parameters, which training changes in place: it never needs a refresh.
    """
    layers = [_layer(layer) for layer in net]

    def forward(x: Array) -> Array:
        for layer in layers:
            x = layer(x)
        return x

    return forward


def numpy_gradient(net: Mlp, output: int = 0) -> Callable[[Array], tuple[Array, Array]]:
    """A function of one row (D,): all outputs of `net`, and the gradient of one of them with respect to the row (D,).

    Raises:
        InvalidValueError: a layer of another kind than linear, ReLU and tanh.
    """
    for layer in net:
        if not isinstance(layer, nn.Linear) and type(layer) not in SLOPES:
            known = ", ".join(kind.__name__ for kind in SLOPES)
            raise InvalidValueError(
                f"layer {type(layer).__name__} has no NumPy gradient: build the network of Linear, {known}"
            )
    weights = [layer.weight.detach().numpy() if isinstance(layer, nn.Linear) else None for layer in net]
    forward = [_layer(layer) for layer in net]
    slopes = [SLOPES.get(type(layer)) for layer in net]

    def gradient(x: Array) -> tuple[Array, Array]:
        after = []
        for layer in forward:
            x = layer(x)
            after.append(x)
        g = np.zeros(len(x), x.dtype)
        g[output] = 1.0
        for weight, slope, y in zip(reversed(weights), reversed(slopes), reversed(after), strict=True):
            if slope is not None:
                g = g * slope(y)
            elif weight is not None:
                g = g @ weight
        return x, g

    return gradient


def _layer(layer: nn.Module) -> Layer:
    if isinstance(layer, nn.Linear):
        return _linear(layer.weight.detach().numpy(), layer.bias.detach().numpy())
    if isinstance(layer, nn.LayerNorm):
        return _norm(layer.weight.detach().numpy(), layer.bias.detach().numpy(), layer.eps)
    return ACTIVATIONS[type(layer)]


def _linear(weight: Array, bias: Array) -> Layer:
    return lambda x: weight @ x + bias


def _norm(weight: Array, bias: Array, eps: float) -> Layer:
    size = len(weight)

    def normalise(x: Array) -> Array:
        centred = x - x.sum() / size
        return centred * (weight / np.sqrt(centred @ centred / size + eps)) + bias

    return normalise


ACTIVATIONS: dict[type[nn.Module], Layer] = {
    nn.Tanh: np.tanh,
    nn.ReLU: lambda x: np.maximum(x, 0.0),
    nn.SiLU: lambda x: x / (1.0 + np.exp(-x)),
}
SLOPES: dict[type[nn.Module], Layer] = {nn.Tanh: lambda y: 1.0 - y * y, nn.ReLU: lambda y: y > 0.0}
"""Derivative of an activation, as a function of what it gave."""
