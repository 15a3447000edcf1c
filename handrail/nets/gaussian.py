"""The tanh-Gaussian of soft actor-critic (Haarnoja et al. 2018, appendix C)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0


def split(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Network outputs (B, 2A) -> mean (B, A) before tanh, log standard deviation (B, A)."""
    mean, log_std = outputs.chunk(2, dim=-1)
    return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


def sample(outputs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Reparametrised draw: outputs (B, 2A) -> actions (B, A) in (-1, 1), log probabilities (B,)."""
    mean, log_std = split(outputs)
    noise = torch.randn(mean.shape, generator=generator)
    raw = torch.addcmul(mean, log_std.exp(), noise)
    return torch.tanh(raw), log_prob(noise, log_std, raw)


def log_prob(noise: Tensor, log_std: Tensor, raw: Tensor) -> Tensor:
    """log pi(tanh(raw)) with raw = mean + std * noise: Gaussian density minus log det of tanh, in its stable form.

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)).
    """
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    squash = 2.0 * (math.log(2.0) - raw - F.softplus(-2.0 * raw))
    return (gaussian - squash).sum(-1)
