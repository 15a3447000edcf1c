"""Networks by numbers: the one-node pass against plain autograd, the NumPy pass, ensembles, frozen weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from handrail.core.errors import UnknownNameError
from handrail.nets import Ensemble, Mlp, frozen, fused, numpy_forward

SHAPES = [(35, 64, 48, 5), (130, 256, 1), (7, 3)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()


@pytest.mark.parametrize("onednn", [True, False], ids=["onednn", "blas"])
@pytest.mark.parametrize("layer_norm", [True, False], ids=["norm", "plain"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_plain_autograd(sizes, activation, layer_norm, onednn, monkeypatch):
    monkeypatch.setattr(fused, "ONEDNN", fused.find_onednn() if onednn else None)  # whichever this processor takes
    net = Mlp(sizes, generator(), activation, layer_norm)
    x = torch.randn(96, sizes[0], generator=generator(1), requires_grad=True)
    weights = torch.randn(96, sizes[-1], generator=generator(2))
    inputs = [x, *net.parameters()]
    plain = nn.Sequential.forward(net, x)
    ours = net(x)
    assert relative(ours, plain) < 1e-5
    expected = torch.autograd.grad((plain * weights).square().mean(), inputs)
    given = torch.autograd.grad((ours * weights).square().mean(), inputs)
    for one, other in zip(given, expected, strict=True):
        assert one.shape == other.shape
        assert relative(one, other) < 2e-5  # one bias: the sum of 96 terms that nearly cancel, in float32


def test_without_gradients_the_result_is_the_same_and_the_input_untouched():
    net = Mlp((4, 8, 2), generator())
    x = torch.randn(5, 4, generator=generator(1))
    before = x.clone()
    with torch.no_grad():
        quiet = net(x)
    assert torch.equal(quiet, net(x)) and torch.equal(x, before)


def test_numpy_forward_follows_training_in_place():
    for activation in ("tanh", "relu", "silu"):
        net = Mlp((6, 32, 32, 3), generator(), activation, layer_norm=True)
        forward = numpy_forward(net)
        x = np.linspace(-2, 2, 6, dtype=np.float32)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
        for _ in range(2):
            np.testing.assert_allclose(forward(x), net(torch.from_numpy(x)[None])[0].detach(), atol=2e-5)
            net(torch.from_numpy(x)[None]).sum().backward()
            optimizer.step()


def test_an_ensemble_computes_its_members_apart():
    ensemble = Ensemble(Mlp((3, 8, 1), generator(i)) for i in range(4))
    x = torch.randn(5, 3, generator=generator(9))
    everything = ensemble(x)
    assert everything.shape == (4, 5)
    assert torch.equal(ensemble(x, [2, 0]), everything[[2, 0]])
    assert not torch.allclose(everything[0], everything[1])


def test_frozen_weights_let_gradients_through_and_take_none():
    net = Mlp((3, 8, 1), generator())
    x = torch.ones(2, 3, requires_grad=True)
    with frozen(net.parameters()):
        out = net(x).sum()
    out.backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


def test_initial_weights_come_from_the_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two = Mlp((4, 8, 2), generator(3)), Mlp((4, 8, 2), generator(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_error_unknown_activation():
    with pytest.raises(UnknownNameError, match="unknown activation 'tan': did you mean tanh"):
        Mlp((1, 2), generator(), "tan")
