"""Networks, optimisers and generators as NumPy arrays and JSON values: what goes into a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from handrail.core.errors import CheckpointError
from handrail.core.values import Array


def module_arrays(prefix: str, module: nn.Module) -> dict[str, Array]:
    """Parameters and buffers, copied, named "prefix/name"."""
    return {f"{prefix}/{name}": value.detach().numpy().copy() for name, value in module.state_dict().items()}


@torch.no_grad()
def load_module(prefix: str, module: nn.Module, arrays: Mapping[str, Array]) -> None:
    """Copy arrays of `module_arrays` back, in place.

    Raises:
        CheckpointError: an array is missing or of another shape.
    """
    for name, value in module.state_dict().items():
        _copy(f"{prefix}/{name}", value, arrays)


def optimizer_arrays(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Array]:
    """State of Adam, by position of its parameters."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}/{i}/{name}": value.detach().numpy().copy()
        for i, slots in state.items()
        for name, value in slots.items()
    }


def load_optimizer(prefix: str, optimizer: torch.optim.Optimizer, arrays: Mapping[str, Array]) -> None:
    """Restore what `optimizer_arrays` gave; its groups (learning rate, betas) stay as constructed."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in arrays.items():
        if key.startswith(prefix + "/"):
            index, name = key.removeprefix(prefix + "/").split("/")
            state.setdefault(int(index), {})[name] = torch.from_numpy(np.array(value))
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def generator_text(generator: torch.Generator) -> str:
    """State of a torch generator as hexadecimal text."""
    return generator.get_state().numpy().tobytes().hex()


def load_generator(generator: torch.Generator, text: str) -> None:
    generator.set_state(torch.from_numpy(np.frombuffer(bytes.fromhex(text), np.uint8).copy()))


def _copy(name: str, value: torch.Tensor, arrays: Mapping[str, Array]) -> None:
    given = arrays.get(name)
    if given is None or given.shape != tuple(value.shape):
        shape = None if given is None else given.shape
        raise CheckpointError(
            f"checkpoint has {name} of shape {shape}, the network {tuple(value.shape)}: build it with the same config"
        )
    value.copy_(torch.from_numpy(np.array(given)))
