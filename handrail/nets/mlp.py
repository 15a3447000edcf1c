"""Multi-layer perceptrons, and ensembles of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from handrail.core.errors import unknown_name

from .fused import Layers, run

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}
KINDS: dict[type[nn.Module], str] = {
    nn.Linear: "linear",
    nn.LayerNorm: "norm",
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.SiLU: "silu",
}


class Mlp(nn.Sequential):
    """Linear layers (LayerNorm where asked), activation between them, a bare linear output.

    Args:
        sizes: widths from input to output.
        generator: draws the initial weights: orthogonal, zero bias.
        activation: one of `ACTIVATIONS`.
        layer_norm: LayerNorm before every activation (Ball et al. 2023, section 4.2).
        output_gain: gain of the output layer; small for an actor that begins near zero.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generator: torch.Generator,
        activation: str = "tanh",
        layer_norm: bool = False,
        output_gain: float = 1.0,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise unknown_name("activation", activation, ACTIVATIONS)
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            last = i == len(sizes) - 2
            layers.append(_linear(inputs, outputs, output_gain if last else 2**0.5, generator))
            if not last:
                layers += [nn.LayerNorm(outputs)] if layer_norm else []
                layers.append(ACTIVATIONS[activation]())
        super().__init__(*layers)
        self._kinds = tuple(KINDS[type(layer)] for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, inputs) -> (B, outputs). First derivatives only."""
        parameters = [parameter for layer in self for parameter in layer._parameters.values() if parameter is not None]
        if torch.is_grad_enabled():
            return Layers.apply(x, self._kinds, *parameters)
        return run(x, self._kinds, parameters)


class Ensemble(nn.ModuleList):
    """E independent MLPs on one input.

    A loop over members: on one CPU thread it is as fast as batched matrices from width 256 on, and a target that needs
    a subset pays for that subset only.
    """

    def forward(self, x: Tensor, members: Sequence[int] | None = None) -> Tensor:
        """x (B, D) -> (E, B), or (len(members), B)."""
        chosen = range(len(self)) if members is None else members
        return torch.cat([self[i](x) for i in chosen], dim=1).t()


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Gradients flow through these parameters' network and not into them."""
    parameters = list(parameters)
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")  # no draw from the global generator
    nn.init.orthogonal_(layer.weight, gain, generator)
    nn.init.zeros_(layer.bias)
    return layer
