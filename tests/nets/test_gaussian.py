"""The tanh-Gaussian against torch's own distributions."""

from __future__ import annotations

import numpy as np
import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from handrail.nets import gaussian


def test_log_probability_is_that_of_torch():
    outputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    actions, log_probs = gaussian.sample(outputs, torch.Generator().manual_seed(1))
    mean, log_std = gaussian.split(outputs)
    reference = TransformedDistribution(Independent(Normal(mean, log_std.exp()), 1), [TanhTransform()])
    inside = actions.abs().max(1).values < 0.99  # the reference inverts tanh, which loses precision near 1
    np.testing.assert_allclose(log_probs[inside], reference.log_prob(actions)[inside], atol=1e-3)
    assert inside.sum() > 20


def test_it_stays_finite_where_tanh_is_one_in_float32():
    actions, log_probs = gaussian.sample(torch.tensor([[50.0, -5.0]]), torch.Generator().manual_seed(0))
    assert actions.item() == 1.0 and torch.isfinite(log_probs).all()


def test_draws_have_the_mean_and_spread_that_the_outputs_say():
    outputs = torch.tensor([[0.3, -2.0]]).expand(50_000, 2)
    raw = torch.atanh(gaussian.sample(outputs, torch.Generator().manual_seed(0))[0])
    assert abs(raw.mean() - 0.3) < 0.005 and abs(raw.std() - np.exp(-2.0)) < 0.002


def test_the_standard_deviation_is_bounded():
    _, log_std = gaussian.split(torch.tensor([[0.0, 0.0, -99.0, 99.0]]))
    assert log_std.tolist() == [[gaussian.LOG_STD_MIN, gaussian.LOG_STD_MAX]]
