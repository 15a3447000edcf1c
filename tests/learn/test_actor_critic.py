"""The Gaussian actor by numbers: densities and their slopes, the clipped objective, one vector of parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from handrail.learn.actor_critic import (
    GaussianActor,
    TanhNet,
    clipped_objective,
    clipped_slope,
    in_one_vector,
    shares,
    standardised,
)


def actor(std: float = 0.3) -> GaussianActor:
    net = GaussianActor(3, (16, 16), 2, torch.Generator().manual_seed(0), std)
    with torch.no_grad():
        net[-1].weight *= 100.0  # type: ignore[operator]  an actor begins near zero: nothing to see there
    return net


def draws() -> tuple[Tensor, Tensor, Tensor]:
    """s (6, 3), a (6, 2), g (6,)."""
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(shape, generator=generator) for shape in ((6, 3), (6, 2), (6,)))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("rho", "A", "objective", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.5, 2.0, 2.4, 0.0),  # already likelier by more than the clip, and good: no more of it
        (0.5, 2.0, 1.0, 1.0),  # good and less likely: the way back is open
        (0.5, -2.0, -1.6, 0.0),  # already rarer by more than the clip, and bad: no more of it
        (1.5, -2.0, -3.0, -3.0),  # bad and likelier: the way back is open
    ],
)
def test_the_clipped_objective_and_its_slope(rho, A, objective, slope):
    log_rho = torch.tensor([math.log(rho)], requires_grad=True)
    value = clipped_objective(log_rho, torch.tensor([A]), 0.2)
    assert value.item() == pytest.approx(objective)
    assert torch.autograd.grad(value.sum(), log_rho)[0].item() == pytest.approx(slope)
    assert clipped_slope(log_rho.detach(), torch.tensor([A]), 0.2).item() == pytest.approx(slope)


def test_a_ratio_that_overflows_gives_no_nan():
    log_rho = torch.tensor([200.0, 200.0, -200.0], requires_grad=True)
    A = torch.tensor([1.0, -1.0, 1.0])
    assert clipped_objective(log_rho, A, 0.2).isfinite().all()
    assert torch.autograd.grad(clipped_objective(log_rho, A, 0.2).sum(), log_rho)[0].isfinite().all()
    assert clipped_slope(log_rho.detach(), A, 0.2).isfinite().all()


def test_log_probabilities_and_entropy_are_those_of_the_gaussian():
    net, (s, a, _) = actor(std=0.3), draws()
    z = (a - torch.tanh(nn.Sequential.forward(net, s)).detach()) / 0.3
    expected = torch.log(torch.exp(-0.5 * z**2) / (0.3 * math.sqrt(2 * math.pi))).sum(1)
    torch.testing.assert_close(net.log_prob(s, a).detach(), expected)
    torch.testing.assert_close(net.taped_log_prob(s, a)[0], expected)
    assert net.entropy().item() == pytest.approx(2 * (0.5 + 0.5 * math.log(2 * math.pi) + math.log(0.3)))


def test_the_way_back_is_that_of_autograd():
    net, (s, a, g) = actor(), draws()
    expected = torch.autograd.grad((g * net.log_prob(s, a)).sum(), list(net.parameters()))
    for one, two in zip(net.log_prob_gradient(net.taped_log_prob(s, a)[1], g), expected, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
    value = TanhNet((3, 16, 16, 16, 1), torch.Generator().manual_seed(0))
    expected = torch.autograd.grad((g[:, None] * value(s)).sum(), list(value.parameters()))
    output, tape = value.taped(s)
    torch.testing.assert_close(output, value(s).detach())
    for one, two in zip(value.gradient(tape, g[:, None]), expected, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_a_network_lives_in_one_vector():
    net = actor()
    before = [parameter.detach().clone() for parameter in net.parameters()]
    vector = in_one_vector(net)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    vector.copy_(torch.arange(float(len(vector))))
    assert torch.cat([parameter.flatten() for parameter in net.parameters()]).tolist() == vector.tolist()


def test_draws_scatter_around_the_mean_and_the_standard_deviation_has_a_floor():
    net, (s, _, _) = actor(), draws()
    torch.testing.assert_close(net.draw(s, torch.ones(6, 2)), net.mean(s) + 0.3)
    with torch.no_grad():
        net.log_std.copy_(torch.tensor([-9.0, 0.0]))
    net.bound()
    assert net.log_std.exp().tolist() == pytest.approx([0.05, 1.0])


def test_shares_have_mean_one_over_all_rows():
    assert shares(np.array([True, False, True, False])).tolist() == [2.0, 0.0, 2.0, 0.0]
    assert shares(np.zeros(3, bool)).tolist() == [0.0, 0.0, 0.0]


def test_advantages_are_standardised_over_the_rows_that_count():
    A, weight = torch.tensor([1.0, 3.0, 100.0]), torch.tensor([1.5, 1.5, 0.0])
    assert standardised(A, weight)[:2].tolist() == pytest.approx([-1.0, 1.0])
    assert standardised(A, torch.zeros(3)).tolist() == A.tolist()  # nothing counts
    assert standardised(torch.ones(3)).tolist() == [0.0, 0.0, 0.0]
