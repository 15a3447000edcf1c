"""The forward and backward pass of an MLP as one autograd node.

At width 256 and batch 256 a matrix product takes a few hundred microseconds, so what surrounds the products counts.
One node instead of one a layer saves the bookkeeping; oneDNN's product runs at the full vector width where the default
BLAS does not (AMD with AVX-512: twice as fast; on Intel it is a quarter slower); tanh by way of the vectorised sigmoid
is five times faster. Everything stays float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

aten = torch.ops.aten
SMALL = 64  # up to this many inputs a weight gradient is faster computed transposed


def find_onednn() -> Any:
    """oneDNN's float32 linear, or None where this build of torch has none."""
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return torch.ops.mkldnn._linear_pointwise.default
    return None


def _is_amd() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "AuthenticAMD" in cpu.read_text()


ONEDNN = find_onednn() if _is_amd() else None  # the faster product there, and only there


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (B, I) times weight (O, I) transposed, plus bias (O,): (B, O). Not differentiable."""
    return F.linear(x, weight, bias) if ONEDNN is None else ONEDNN(x, weight, bias, "none", [], "")


def tanh_(x: Tensor) -> Tensor:
    """tanh in place, as 2 sigmoid(2x) - 1: within 2e-7."""
    return x.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


class Layers(torch.autograd.Function):
    """(x, kinds, *parameters) -> output; `kinds` names each layer: "linear", "norm", "tanh", "relu", "silu"."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kinds: Sequence[str], *parameters: Tensor) -> Tensor:
        ctx.kinds, ctx.parameters = kinds, parameters
        ctx.tape = []  # what each layer needs on the way back; intermediates, hence no `save_for_backward`
        return run(x, kinds, parameters, ctx.tape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wants_x, _, *wanted = ctx.needs_input_grad
        gradient: Any = gradients[0].contiguous()
        grads: list[Tensor | None] = [None] * len(ctx.parameters)
        at = len(ctx.parameters)
        for i in range(len(ctx.kinds) - 1, -1, -1):
            kind, saved = ctx.kinds[i], ctx.tape[i]
            if kind in ("linear", "norm"):
                at -= 2
                last = i == 0 and not wants_x
                back = _linear_back if kind == "linear" else _norm_back
                gradient, *grads[at : at + 2] = back(gradient, saved, ctx.parameters[at : at + 2], wanted[at], last)
            else:
                gradient = _ACTIVATION_BACK[kind](gradient, saved)
        return (gradient, None, *grads)


def run(x: Tensor, kinds: Sequence[str], parameters: Sequence[Tensor], tape: list[Any] | None = None) -> Tensor:
    """The forward pass; with a `tape`, leaves on it what the way back needs. Activations overwrite their input."""
    at = 0
    for kind in kinds:
        if kind == "linear":
            saved, x = x, linear(x, parameters[at], parameters[at + 1])
            at += 2
        elif kind == "norm":
            before = x
            x, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], parameters[at], parameters[at + 1], 1e-5)
            saved = (before, mean, rstd)
            at += 2
        elif kind == "silu":
            saved, x = x, F.silu(x)
        else:
            saved = x = tanh_(x) if kind == "tanh" else x.relu_()
        if tape is not None:
            tape.append(saved)
    return x


def _linear_back(
    gradient: Tensor, x: Tensor, parameters: Sequence[Tensor], wanted: bool, last: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    weight = parameters[0]
    before = None if last else _product(gradient, weight)
    return (before, _weight_gradient(gradient, x), gradient.sum(0)) if wanted else (before, None, None)


def _product(gradient: Tensor, weight: Tensor) -> Tensor:
    """gradient (B, O) @ weight (O, I)."""
    if ONEDNN is None or weight.shape[0] == 1:
        return torch.mm(gradient, weight)
    return linear(gradient, weight.t().contiguous())


def _weight_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """gradient (B, O) transposed @ x (B, I)."""
    if ONEDNN is None or gradient.shape[1] == 1:
        return torch.mm(gradient.t(), x)
    if x.shape[1] <= SMALL:
        return linear(x.t(), gradient.t()).t().contiguous()  # fused Adam reads memory in the parameter's order
    return linear(gradient.t().contiguous(), x.t())


def _norm_back(
    gradient: Tensor, saved: Any, parameters: Sequence[Tensor], wanted: bool, last: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    x, mean, rstd = saved
    mask = [not last, wanted, wanted]
    return aten.native_layer_norm_backward(gradient, x, x.shape[-1:], mean, rstd, *parameters, mask)


_ACTIVATION_BACK = {
    "tanh": aten.tanh_backward,
    "relu": lambda gradient, y: aten.threshold_backward(gradient, y, 0.0),
    "silu": aten.silu_backward,
}
