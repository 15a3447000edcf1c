"""What PPO and offline PPO share: tanh networks, the Gaussian actor, the policy that runs it, the clipped objective.

The action is N(tanh mu(s), sigma) with one sigma for all states. Its draw is proposed as it is: limits clip what is
executed, never what is stored, so the log probability of a stored proposal is exact.

At width 128 and batch 128 autograd costs twice what the matrix products do. The networks therefore know their backward
pass, `taped` forward and `gradient` back, and PPO keeps the parameters of each in one vector, on which norm and Adam
are one operation. Autograd works on them as on any module; tests hold the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handrail.core.contracts import single
from handrail.core.values import Array, Authority, Observation, Proposal
from handrail.nets import Mlp, ObservationEncoder, StateEncoder, batched, numpy_forward
from handrail.nets.fused import tanh_

LOG_RATIO_MAX = 20.0  # ours: exp() of a larger one overflows where a stored action is far from the policy
ADVANTAGE_EPS = 1e-8
NORM_EPS = 1e-6
ADAM_EPS = 1e-5  # Uni-O4
Tape = list[Tensor]


class TanhNet(Mlp):
    """A tanh MLP with its own backward pass."""

    def __init__(self, sizes: Sequence[int], generator: torch.Generator, output_gain: float = 1.0) -> None:
        super().__init__(sizes, generator, "tanh", output_gain=output_gain)
        self.linears = [layer for layer in self if isinstance(layer, nn.Linear)]

    @torch.no_grad()
    def taped(self, x: Tensor) -> tuple[Tensor, Tape]:
        """x (B, inputs) -> output (B, outputs), and the input of every linear layer."""
        tape = [x]
        for layer in self.linears[:-1]:
            tape.append(tanh_(F.linear(tape[-1], layer.weight, layer.bias)))
        return F.linear(tape[-1], self.linears[-1].weight, self.linears[-1].bias), tape

    @torch.no_grad()
    def gradient(self, tape: Tape, g: Tensor) -> list[Tensor]:
        """Gradient with respect to the output (B, outputs) -> with respect to each weight and bias, in order."""
        gradients: list[Tensor] = []
        for i in range(len(tape) - 1, -1, -1):
            x = tape[i]
            gradients += [g.sum(0), torch.mm(g.t(), x)]
            if i:
                g = torch.ops.aten.tanh_backward(torch.mm(g, self.linears[i].weight), x)
        return gradients[::-1]


class GaussianActor(TanhNet):
    """s (B, D) -> mean before tanh (B, A), and one standard deviation an action dimension.

    Args:
        inputs, hidden, actions: D, widths, A.
        generator: draws the initial weights.
        initial_std, min_std: standard deviation at the start, and the one it never falls below.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        actions: int,
        generator: torch.Generator,
        initial_std: float = 0.5,
        min_std: float = 0.05,
    ) -> None:
        super().__init__((inputs, *hidden, actions), generator, output_gain=0.01)
        self.min_log_std = math.log(min_std)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(initial_std)))

    def mean(self, s: Tensor) -> Tensor:
        """tanh mu(s): (B, A) in (-1, 1)."""
        return torch.tanh(self(s))

    def log_prob(self, s: Tensor, a: Tensor) -> Tensor:
        """log N(a; tanh mu(s), sigma): (B,)."""
        return self._log_prob((a - self.mean(s)) * torch.exp(-self.log_std))

    def _log_prob(self, z: Tensor) -> Tensor:
        constant = 0.5 * math.log(2.0 * math.pi) * len(self.log_std)
        return -0.5 * z.square().sum(1) - (self.log_std.sum() + constant)

    @torch.no_grad()
    def taped_log_prob(self, s: Tensor, a: Tensor) -> tuple[Tensor, Tape]:
        """log N(a; tanh mu(s), sigma) (B,), and what the way back needs."""
        output, tape = self.taped(s)
        mean = output.tanh_()
        z = (a - mean) * torch.exp(-self.log_std)
        return self._log_prob(z), [*tape, mean, z]

    @torch.no_grad()
    def log_prob_gradient(self, tape: Tape, g: Tensor) -> list[Tensor]:
        """Gradient with respect to the log probabilities (B,) -> with respect to each parameter, in order.

        d log N / d mean = z / sigma and d log N / d log sigma = z^2 - 1, with z = (a - mean) / sigma.
        """
        *inputs, mean, z = tape
        back = g[:, None] * z
        d_mean = back * torch.exp(-self.log_std)
        d_log_std = (back * z).sum(0) - g.sum()
        return [d_log_std, *self.gradient(inputs, torch.ops.aten.tanh_backward(d_mean, mean))]

    def entropy(self) -> Tensor:
        """Of the Gaussian [nat]; the same in every state."""
        return self.log_std.sum() + 0.5 * math.log(2.0 * math.pi * math.e) * len(self.log_std)

    def draw(self, s: Tensor, noise: Tensor) -> Tensor:
        """tanh mu(s) + sigma * noise: (B, A)."""
        return torch.addcmul(self.mean(s), torch.exp(self.log_std), noise)

    def bound(self) -> None:
        """Raise the standard deviation to its floor; to be called after every step of an optimiser."""
        self.log_std.detach().clamp_(min=self.min_log_std)


class GaussianPolicy:
    """Runs an actor on observations, in NumPy for a single one; it shares the actor's memory and needs no refresh."""

    def __init__(self, encoder: ObservationEncoder, actor: GaussianActor, rng: np.random.Generator) -> None:
        self.encoder, self.actor, self.rng = encoder, actor, rng
        self._mu = numpy_forward(actor)
        self._log_std = actor.log_std.detach().numpy()

    def act(self, observation: Observation) -> Proposal:
        """The mean: (1, A) in (-1, 1)."""
        return single(np.tanh(self._mu(encode_one(self.encoder, observation))), Authority.POLICY)

    def explore(self, observation: Observation) -> Proposal:
        """A draw, not clipped: (1, A)."""
        mean = np.tanh(self._mu(encode_one(self.encoder, observation)))
        noise = self.rng.standard_normal(len(mean), np.float32)
        return single(mean + np.exp(self._log_std) * noise, Authority.POLICY)

    @torch.no_grad()
    def actions(self, observation: Mapping[str, Array], explore: bool) -> Array:
        """Means, or draws that are not clipped, for a batch of observations: (B, A)."""
        mean = self.actor.mean(self.encoder.encode(observation)).numpy()
        if not explore:
            return mean
        return mean + np.exp(self._log_std) * self.rng.standard_normal(mean.shape, np.float32)


def encode_one(encoder: ObservationEncoder, observation: Observation) -> Array:
    """Features (D,) of one unbatched observation; without torch where the encoder allows."""
    if isinstance(encoder, StateEncoder):
        return encoder.encode_one(observation)
    with torch.no_grad():
        return encoder.encode(batched(observation))[0].numpy()


def clipped_objective(log_rho: Tensor, A: Tensor, clip: float) -> Tensor:
    """min(rho A, clip(rho, 1 - eps, 1 + eps) A), to be maximised (PPO, equation 7): (B,)."""
    rho = torch.exp(log_rho.clamp(max=LOG_RATIO_MAX))
    return torch.minimum(rho * A, rho.clamp(1.0 - clip, 1.0 + clip) * A)


def clipped_slope(log_rho: Tensor, A: Tensor, clip: float) -> Tensor:
    """Derivative of `clipped_objective` by log rho: rho A, or 0 where rho is past the clip on the side of A: (B,)."""
    rho = torch.exp(log_rho.clamp(max=LOG_RATIO_MAX))
    past = torch.where(A > 0.0, rho > 1.0 + clip, rho < 1.0 - clip)
    return (rho * A).masked_fill_(past | (log_rho > LOG_RATIO_MAX), 0.0)


def shares(counted: Array) -> Tensor:
    """Weights of mean 1 from flags (B,), 0 where a row is not counted; all 0 where none is: (B,)."""
    weight = torch.from_numpy(counted.astype(np.float32))
    return weight / weight.mean().clamp(min=1.0 / len(weight))


def standardised(A: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean 0 and standard deviation 1 over the rows of weight above 0: (B,)."""
    counted = A if weight is None else A[weight > 0]
    if len(counted) == 0:
        return A
    return (A - counted.mean()) / (counted.std(correction=0) + ADVANTAGE_EPS)


def descend(
    optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], loss: Tensor, max_norm: float | None = None
) -> None:
    """One step on the gradient of `loss` by autograd, its norm cut to `max_norm`."""
    gradients = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.contiguous()  # a fused optimiser reads memory in the parameter's order
    if max_norm is not None:
        nn.utils.clip_grad_norm_(parameters, max_norm)
    optimizer.step()


class VectorAdam:
    """Adam on a network that lives in one vector (P,), so that norm, cut and step are one operation each.

    Args:
        net: its parameters become views of the vector; a copy of the network has its own memory again.
        learning_rate: of Adam.
        max_norm: to which the norm of the gradient is cut.
    """

    def __init__(self, net: nn.Module, learning_rate: float, max_norm: float) -> None:
        self.vector, self.max_norm = in_one_vector(net), max_norm
        self.optimizer = torch.optim.Adam([self.vector], lr=learning_rate, eps=ADAM_EPS, fused=True)

    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step down `gradients`, one for each parameter in order."""
        gradient = torch.cat([part.reshape(-1) for part in gradients])
        self.vector.grad = gradient.mul_((self.max_norm / (gradient.norm() + NORM_EPS)).clamp(max=1.0))
        self.optimizer.step()


@torch.no_grad()
def in_one_vector(module: nn.Module) -> Tensor:
    """Move all parameters into one new vector (P,), of which they become views."""
    parameters = list(module.parameters())
    vector = torch.cat([parameter.reshape(-1) for parameter in parameters])
    for parameter, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        parameter.data = part.view_as(parameter)
    return vector
