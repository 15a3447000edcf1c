"""Networks, optimisers and generators through arrays and text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from handrail.core.errors import CheckpointError
from handrail.nets import (
    Mlp,
    generator_text,
    load_generator,
    load_module,
    load_optimizer,
    module_arrays,
    optimizer_arrays,
)


def net(seed: int, width: int = 8) -> Mlp:
    return Mlp((3, width, 1), torch.Generator().manual_seed(seed))


def train(model: Mlp, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().mean().backward()
        optimizer.step()


def test_adam_goes_on_exactly():
    one, two = net(0), net(1)
    first, second = (torch.optim.Adam(model.parameters(), fused=True) for model in (one, two))
    train(one, first, 3)
    load_module("net", two, module_arrays("net", one))
    load_optimizer("adam", second, optimizer_arrays("adam", first))
    train(one, first, 3)
    train(two, second, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_arrays_are_copies():
    model = net(0)
    arrays = module_arrays("net", model)
    before = arrays["net/0.weight"].copy()
    train(model, torch.optim.Adam(model.parameters()), 1)
    np.testing.assert_array_equal(arrays["net/0.weight"], before)


def test_a_generator_goes_on_exactly():
    one, two = torch.Generator().manual_seed(4), torch.Generator()
    torch.randn(7, generator=one)
    load_generator(two, generator_text(one))
    assert torch.equal(torch.randn(5, generator=one), torch.randn(5, generator=two))


@pytest.mark.parametrize(
    ("arrays", "shape"), [(module_arrays("net", net(0, 4)), r"\(4, 3\)"), ({}, "None")], ids=["shape", "missing"]
)
def test_error_another_network(arrays, shape):
    with pytest.raises(CheckpointError, match=rf"checkpoint has net/0.weight of shape {shape}, the network \(8, 3\)"):
        load_module("net", net(0), arrays)
