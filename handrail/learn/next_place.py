"""Where the hands of successful people go next: what guided teleoperation pulls toward. The method is ours.

A hand goes in straight lines between places: above a handle, at it, where it meets the other hand. Each such place is
fixed to something: an object, the other tool, the room. A network says which, and where on it:

    place_mh = sum_k w_mhk (p_k + R_k o_mhk),   axes_mh = sum_k w_mhk R_k e_mhk,   w_mh = softmax

over the frames k (position p_k, rotation R_k) of tools, objects and room, with offsets o and axes e of its own; and it
says so for several ways m that the hands h together may go, for goals differ and are nowhere to be seen. For each way
it gives a probability q and how far off it expects to be, s. The loss is that of a mixture of Gaussians (EM):

    r_m ~ q_m prod_h N(next_h | place_mh, s_mh)
    L = sum_m r_m [sum_h s_mh (|place_mh - next_h|^2 / 2 s_mh^2 + 3 log s_mh) - c log q_m]

with r and the factor s without gradient. The factor (beta-NLL, Seitzer et al. 2022, with beta 1/2 of variances) keeps
moments that cannot be told from ruling. Held-out episodes put s right by a factor for each hand.

It sees poses and openings, and neither joints nor velocities nor the command: from a command it would learn that
people go where they are going, which is no help to one who errs. Which of its ways a person goes is for the guide to
hear from their motion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array, Observation
from handrail.nets import (
    Mlp,
    generator_text,
    load_generator,
    load_module,
    load_optimizer,
    module_arrays,
    numpy_forward,
    optimizer_arrays,
)
from handrail.store.trajectories import Trajectories

from .arm_frames import with_third
from .next_place_data import PlaceBatch, Poses, Scene

PLACE_M, NEAR_M, FAR_M, ROOM_M = 0.05, 0.015, 0.1, 0.15  # units of offsets, of near and far distances, of the room
ERROR_M, ERROR_RAD = (0.002, 0.05), (0.02, 0.3)  # smallest expected error, and its unit
MOST = 25.0  # squared errors in units of the expected one count at most so much where the factor is found
POSE_FEATURES, PAIR_FEATURES = 9, 12  # position and axes in the room; far, near and axes from one another
PER_FRAME = 10  # weight, offset 3, axes 6
CHOICE = 0.2  # c, weight of the ways' probabilities in the loss


@dataclass(frozen=True)
class NextPlaceConfig:
    """All values are ours.

    Attributes:
        updates, batch_size, learning_rate, weight_decay: of AdamW, its rate falling to 0 along a cosine.
        hidden: of the network.
        ways: M, that the hands may go at any moment.
        ahead: steps that a next place is ahead at most.
        straight_m: [m] by which a way to it may leave the straight line.
        grip_step: change of a commanded opening in a step from which on a grip changes.
        slow_m, window: [m] a step below which a hand is slow, taken over so many steps to each side.
        wait: shortest wait, in steps.
        early: so many steps before the end of a wait the place behind it counts already.
        blur: share of a hand's motion in the next `blur_steps` by which it is moved in training.
        blur_m: the same for one that stands still [m].
        feature_noise: standard deviation of noise on the features in training.
    """

    updates: int = 4_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    hidden: tuple[int, ...] = (256, 256)
    ways: int = 3
    ahead: int = 150
    straight_m: float = 0.008
    grip_step: float = 0.02
    slow_m: float = 0.0004
    window: int = 5
    wait: int = 35
    early: int = 10
    blur: float = 0.2
    blur_steps: int = 15
    blur_m: float = 0.001
    feature_noise: float = 0.03

    def __post_init__(self) -> None:
        for name in ("updates", "batch_size", "ways", "ahead", "window", "wait"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"next place {name} is {getattr(self, name)}, must be at least 1: raise it")
        if not 0 <= self.early < self.wait:
            raise InvalidValueError(f"next place early is {self.early}, must be in [0, wait = {self.wait}): lower it")


class Places(NamedTuple):
    """Where H hands would go next, and how sure that is."""

    position: Array  # (H, 3) [m]
    rotation: Array  # (H, 3, 3)
    error_m: Array  # (H,) root mean square error expected of `position`
    error_rad: Array  # (H,) the same of `rotation`


class Ways(NamedTuple):
    """The M ways that H hands together may go."""

    position: Array  # (M, H, 3) [m]
    axes: Array  # (M, H, 3, 2) x and y axis, as they were averaged
    error_m: Array  # (M, H) root mean square error expected if this is the way
    error_rad: Array  # (M, H)
    probability: Array  # (M,)

    def merged(self, probability: Array | None = None) -> Places:
        """One place a hand, by other probabilities (M,) if they are given.

        Ways that lead apart make the error large, unless one of them is the only likely one (law of total variance).
        """
        q = self.probability if probability is None else probability
        position, axes = ((q @ one.reshape(len(q), -1)).reshape(one.shape[1:]) for one in (self.position, self.axes))
        apart_m = np.square(self.position - position).sum(-1)
        apart_rad = 0.5 * np.square(self.axes - axes).sum((-2, -1))
        return Places(
            position,
            _orthonormal(axes),
            np.sqrt(q @ (np.square(self.error_m) + apart_m)),
            np.sqrt(q @ (np.square(self.error_rad) + apart_rad)),
        )


class Said(NamedTuple):
    """What the network says of a batch, its errors not yet put right."""

    position: Tensor  # (B, M, H, 3)
    axes: Tensor  # (B, M, H, 3, 2)
    s_m: Tensor  # (B, M, H)
    s_rad: Tensor  # (B, M, H)
    log_q: Tensor  # (B, M)


class NextPlaceNet(nn.Module):
    """Features -> what it says of every hand.

    Buffers:
        mean, scale: (R,) of what the poses do not say.
        factors: (2, H) that held-out episodes put on the expected errors, of places and of axes.
    """

    def __init__(self, config: NextPlaceConfig, scene: Scene, generator: torch.Generator) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.factors: Tensor
        self.scene, self.ways = scene, config.ways
        hands, rest = len(scene.hands), len(scene.grips) + scene.others
        seen = scene.frames - 1  # all but the room
        self._pairs = np.array([(hand, other) for hand in range(hands) for other in range(seen) if other != hand]).T
        self._centre = np.asarray(scene.centre, np.float32)
        width = POSE_FEATURES * seen + PAIR_FEATURES * self._pairs.shape[1] + rest
        outputs = config.ways * (1 + hands * (2 + scene.frames * PER_FRAME))
        self.mlp = Mlp((width, *config.hidden, outputs), generator, "relu", output_gain=0.1)
        self.register_buffer("mean", torch.zeros(rest))
        self.register_buffer("scale", torch.ones(rest))
        self.register_buffer("factors", torch.ones(2, hands))

    def features(self, poses: Poses) -> Array:
        """(B, D) float32: every pose in the room, every hand as the other frames see it, near and far, and the rest."""
        frames, batch = self.scene.frames - 1, len(poses.rest)
        p, r = poses.position[:, :frames], poses.rotation[:, :frames]
        axes = np.swapaxes(r, 2, 3)  # rows are the axes: they bring what is in the world into the frame
        hand, other = self._pairs
        to = axes[:, other]
        apart = to @ (p[:, hand] - p[:, other])[..., None]
        seen = to @ r[:, hand, :, :2]
        parts = [(p - self._centre) / ROOM_M, axes[:, :, :2], apart / FAR_M, np.clip(apart / NEAR_M, -3.0, 3.0), seen]
        parts = [part.reshape(batch, -1) for part in parts]
        parts.append(np.clip((poses.rest - self.mean.numpy()) * self.scale.numpy(), -5.0, 5.0))
        return np.concatenate(parts, 1, dtype=np.float32)

    def forward(self, features: Tensor, poses: Poses) -> Said:
        out = self.mlp(features).unflatten(1, (self.ways, -1))
        by_hand, on_frames = self.split(out)
        p, r = (torch.from_numpy(one)[:, None, None] for one in (poses.position, poses.rotation))
        w = torch.softmax(on_frames[..., 0], -1)[..., None]
        columns = on_frames[..., 1:].unflatten(-1, (3, 3)).transpose(-1, -2)
        seen = r @ columns  # (B, M, H, K, 3, 3): offset and axes in the world
        s_m, s_rad = F.softplus(by_hand[..., :2]).unbind(-1)
        return Said(
            (w * (p + PLACE_M * seen[..., 0])).sum(3),
            (w[..., None] * seen[..., 1:]).sum(3),
            ERROR_M[0] + ERROR_M[1] * s_m,
            ERROR_RAD[0] + ERROR_RAD[1] * s_rad,
            torch.log_softmax(out[..., 0], -1),
        )

    def one(self) -> Callable[[Poses], Ways]:
        """The same for one moment in NumPy, with errors put right; it shares the memory of the parameters."""
        mlp, factors = numpy_forward(self.mlp), self.factors.numpy()

        def ways(poses: Poses) -> Ways:
            out = mlp(self.features(poses)[0]).reshape(self.ways, -1)
            by_hand, on_frames = self.split(out)
            w = _softmax(on_frames[..., 0])[..., None]
            columns = np.swapaxes(on_frames[..., 1:].reshape(*on_frames.shape[:-1], 3, 3), -1, -2)
            seen = poses.rotation[0] @ columns
            s = np.logaddexp(by_hand[..., :2], 0.0)
            return Ways(
                (w * (poses.position[0] + PLACE_M * seen[..., 0])).sum(2),
                (w[..., None] * seen[..., 1:]).sum(2),
                factors[0] * (ERROR_M[0] + ERROR_M[1] * s[..., 0]),
                factors[1] * (ERROR_RAD[0] + ERROR_RAD[1] * s[..., 1]),
                _softmax(out[:, 0]),
            )

        return ways

    def split(self, out: Any) -> tuple[Any, Any]:
        """Outputs (..., M, 1 + H (2 + 10 K)) -> by hand (..., M, H, 2 + 10 K), and its frames (..., M, H, K, 10)."""
        shape = (*out.shape[:-1], len(self.scene.hands), -1)
        by_hand = out[..., 1:].reshape(shape)
        return by_hand, by_hand[..., 2:].reshape(*shape[:-1], self.scene.frames, PER_FRAME)


class NextPlace:
    """The learner.

    Args:
        config: frozen; belongs into the checkpoint's meta.
        scene: where the poses are in an observation.
        seed: fixes initial weights and every draw.
    """

    def __init__(self, config: NextPlaceConfig, scene: Scene, seed: int) -> None:
        self.config, self.scene, self.updates = config, scene, 0
        self.generator = torch.Generator().manual_seed(seed)
        self.net = NextPlaceNet(config, scene, self.generator)
        self._one = self.net.one()
        self._optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )

    def fit_normaliser(self, data: Trajectories) -> None:
        """Set the units of what the poses do not say, once, before the first update."""
        rest = self.scene.poses(data.observation).rest
        self.net.mean.copy_(torch.from_numpy(rest.mean(0)))
        self.net.scale.copy_(torch.from_numpy(1.0 / np.maximum(rest.std(0), 0.01)))

    def update(self, batch: PlaceBatch, metrics: bool = False) -> dict[str, float]:
        """One AdamW step.

        Args:
            metrics: return losses and mean error; off, nothing is read back and the result is empty.
        """
        rate = 0.5 * self.config.learning_rate * (1.0 + np.cos(np.pi * min(1.0, self.updates / self.config.updates)))
        self._optimizer.param_groups[0]["lr"] = rate
        features = torch.from_numpy(self.net.features(batch.poses))
        features += self.config.feature_noise * torch.randn(features.shape, generator=self.generator)
        said = self.net(features, batch.poses)
        off_m, off_rad, r = _judged(said, batch)
        losses = {
            "place": (r * _unsure(off_m, said.s_m, ERROR_M[1]).sum(-1)).sum(-1).mean(),
            "axes": (r * _unsure(off_rad, said.s_rad, ERROR_RAD[1]).sum(-1)).sum(-1).mean(),
            "choice": -CHOICE * (r * said.log_q).sum(-1).mean(),
        }
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        self._optimizer.step()
        self.updates += 1
        if not metrics:
            return {}
        errors = {"error_m": off_m, "error_rad": off_rad}
        found = {name: float((r[..., None] * off).sum(1).sqrt().detach().mean()) for name, off in errors.items()}
        return found | {f"{name}_loss": float(value.detach()) for name, value in losses.items()}

    @torch.no_grad()
    def fit_errors(self, batch: PlaceBatch) -> None:
        """Put the expected errors right on held-out moments, once, after training."""
        said = self.net(torch.from_numpy(self.net.features(batch.poses)), batch.poses)
        off_m, off_rad, r = _judged(said, batch)
        pairs = ((off_m, said.s_m), (off_rad, said.s_rad))
        shares = [(r[..., None] * (off / s.square()).clamp(max=MOST)).sum(1).mean(0).sqrt() for off, s in pairs]
        self.net.factors.copy_(torch.stack(shares))

    def ways(self, observation: Observation) -> Ways:
        """What one observation says."""
        row = {key: np.asarray(observation[key], np.float32)[None] for key in ("state", "environment_state")}
        return self._one(self.scene.poses(row))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that a resumed run needs to go on bit for bit: (arrays, JSON values)."""
        arrays = module_arrays("net", self.net) | optimizer_arrays("adam", self._optimizer)
        return arrays, {"updates": self.updates, "generators": {"torch": generator_text(self.generator)}}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Go on from `state()`; other keys in either mapping are ignored.

        Raises:
            CheckpointError: the network is of another shape.
        """
        if "net/mlp.0.weight" not in arrays:
            raise CheckpointError("checkpoint holds no next places (net/mlp.0.weight): pass that of a NextPlace")
        load_module("net", self.net, arrays)
        load_optimizer("adam", self._optimizer, arrays)
        self.updates = int(meta["updates"])
        load_generator(self.generator, meta["generators"]["torch"])


def _judged(said: Said, batch: PlaceBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Squared errors (B, M, H) [m^2] and [rad^2], and the responsibilities (B, M), without gradient."""
    off_m = (said.position - torch.from_numpy(batch.position)[:, None]).square().sum(-1)
    off_rad = 0.5 * (said.axes - torch.from_numpy(batch.axes)[:, None]).square().sum((-1, -2))
    likely = said.log_q - (0.5 * off_m / said.s_m.square() + 3.0 * said.s_m.log()).sum(-1)
    return off_m, off_rad, torch.softmax(likely.detach(), -1)


def _unsure(off: Tensor, s: Tensor, unit: float) -> Tensor:
    """s (|error|^2 / 2 s^2 + 3 log s), s in units, the first factor without gradient."""
    in_units = s / unit
    return in_units.detach() * (0.5 * off / s.square() + 3.0 * in_units.log())


def _softmax(x: Array) -> Array:
    """Over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _orthonormal(axes: Array) -> Array:
    """(H, 3, 2) mean axes -> rotations (H, 3, 3): x as it is, y made square to it (Gram-Schmidt)."""
    x, y = axes[..., 0], axes[..., 1]
    x = x / np.sqrt(np.maximum(np.square(x).sum(-1, keepdims=True), 1e-18))
    y = y - x * (x * y).sum(-1, keepdims=True)
    y = y / np.sqrt(np.maximum(np.square(y).sum(-1, keepdims=True), 1e-18))
    return with_third(x, y)
