"""Encoders: observation batch -> features (B, D). Learners take one and never look behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Observation
from handrail.store.ring import Batch

VECTORS = ("state", "environment_state")


class ObservationEncoder(nn.Module):
    """What learners ask of an encoder. `fit` sets normalisation once, before training; afterwards it is frozen."""

    output_dim: int

    def fit(self, batch: Batch) -> None:
        """Set normalisation from demonstrations."""

    def encode(self, observation: Mapping[str, Array]) -> Tensor:
        """Batched arrays (B, ...) -> (B, output_dim)."""
        raise InvalidValueError(f"{type(self).__name__} has no encode: derive from it and write one")


@dataclass(frozen=True)
class Difference:
    """A feature of its own: `length` entries of the concatenated vectors from `first` on, less those from `second` on.

    Where the tool is from the object matters to the millimetre, where both are in the room does not.

    Attributes:
        scale: divides the difference, in its unit.
    """

    first: int
    second: int
    length: int
    scale: float = 0.02


class StateEncoder(ObservationEncoder):
    """Concatenates vectors, normalises them, and appends differences; nothing in it is trained.

    Args:
        sizes: length of each vector by observation key, in the order of concatenation.
        differences: features appended to the normalised vectors.
        clip: features stay within +-clip: one that never moved in the demonstrations cannot explode.
        min_std: smallest standard deviation divided by, in the unit of the feature.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        differences: Sequence[Difference] = (),
        clip: float = 5.0,
        min_std: float = 1e-2,
    ) -> None:
        super().__init__()
        self.sizes, self.differences, self.clip, self.min_std = dict(sizes), tuple(differences), clip, min_std
        width = sum(self.sizes.values())
        self.output_dim = width + sum(difference.length for difference in self.differences)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(self.output_dim))
        self.register_buffer("scale", torch.ones(self.output_dim))
        for difference in self.differences:
            self.scale[width : width + difference.length] = 1.0 / difference.scale
            width += difference.length

    def fit(self, batch: Batch) -> None:
        """Set mean and standard deviation of the vectors from the observations of `batch`."""
        rows = np.concatenate([batch.observation[key] for key in self.sizes], axis=1).astype(np.float64)
        width = rows.shape[1]
        self.mean[:width] = torch.from_numpy(rows.mean(axis=0))
        self.scale[:width] = torch.from_numpy(1.0 / np.maximum(rows.std(axis=0), self.min_std))

    def encode(self, observation: Mapping[str, Array]) -> Tensor:
        rows = torch.from_numpy(self._columns([observation[key] for key in self.sizes]))
        return rows.sub_(self.mean).mul_(self.scale).clamp_(-self.clip, self.clip)

    def encode_one(self, observation: Observation) -> Array:
        """One unbatched observation -> (output_dim,), in NumPy."""
        row = self._columns([np.asarray(observation[key], np.float32) for key in self.sizes])
        return np.clip((row - self.mean.numpy()) * self.scale.numpy(), -self.clip, self.clip)

    def _columns(self, vectors: Sequence[Array]) -> Array:
        """The vectors side by side along the last axis, then the differences, float32."""
        row = np.concatenate(vectors, axis=-1, dtype=np.float32)
        apart = [
            row[..., d.first : d.first + d.length] - row[..., d.second : d.second + d.length] for d in self.differences
        ]
        return np.concatenate([row, *apart], axis=-1) if apart else row


@dataclass(frozen=True)
class CnnConfig:
    """Small CNN for images of about 64x64."""

    channels: tuple[int, ...] = (16, 32, 32)
    strides: tuple[int, ...] = (2, 2, 2)
    features: int = 64  # per camera


class CnnEncoder(ObservationEncoder):
    """Images through strided 3x3 convolutions, flattened, beside normalised vectors; trained by the learner's loss.

    Args:
        cameras: (H, W, 3) by observation key, e.g. {"images.front": (64, 64, 3)}.
        sizes: vectors as for `StateEncoder`; may be empty.
        generator: draws the initial weights.
    """

    def __init__(
        self,
        cameras: Mapping[str, tuple[int, int, int]],
        sizes: Mapping[str, int],
        generator: torch.Generator,
        config: CnnConfig | None = None,
    ) -> None:
        super().__init__()
        config = config or CnnConfig()
        self.cameras = dict(cameras)
        self.vectors = StateEncoder(sizes)
        self.towers = nn.ModuleList(_tower(shape, config, generator) for shape in cameras.values())
        self.output_dim = config.features * len(self.cameras) + self.vectors.output_dim

    def fit(self, batch: Batch) -> None:
        if self.vectors.sizes:
            self.vectors.fit(batch)

    def encode(self, observation: Mapping[str, Array]) -> Tensor:
        features = [
            tower(torch.from_numpy(observation[key]).permute(0, 3, 1, 2).float().div_(255.0).sub_(0.5))
            for key, tower in zip(self.cameras, self.towers, strict=True)
        ]
        return (
            torch.cat([*features, self.vectors.encode(observation)], 1)
            if self.vectors.sizes
            else torch.cat(features, 1)
        )


EncoderFactory = Callable[[torch.Generator], ObservationEncoder]
"""Builds an encoder whose initial weights come from the generator given."""


@dataclass(frozen=True)
class StateFactory:
    """Factory of a `StateEncoder` over the vectors of an observation."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()

    def __call__(self, generator: torch.Generator) -> StateEncoder:
        return StateEncoder(self.sizes, self.differences)


def state_sizes(observation: Observation, keys: Sequence[str] = VECTORS) -> dict[str, int]:
    """Length of each vector among `keys` that `observation` holds.

    Raises:
        InvalidValueError: it holds none of them.
    """
    sizes = {key: len(np.asarray(observation[key])) for key in keys if key in observation}
    if not sizes:
        raise InvalidValueError(f"observation has keys {sorted(observation)}, none of {list(keys)}: name its vectors")
    return sizes


def batched(observation: Observation) -> dict[str, Array]:
    """One observation as a batch of one; strings are left out."""
    return {key: np.asarray(value)[None] for key, value in observation.items() if not isinstance(value, str)}


def _tower(shape: tuple[int, int, int], config: CnnConfig, generator: torch.Generator) -> nn.Sequential:
    height, width, channels = shape
    layers: list[nn.Module] = []
    for outputs, stride in zip(config.channels, config.strides, strict=True):
        layers += [_seeded(nn.Conv2d(channels, outputs, 3, stride, 1, device="meta"), generator), nn.ReLU()]
        channels, height, width = outputs, -(-height // stride), -(-width // stride)
    head = _seeded(nn.Linear(channels * height * width, config.features, device="meta"), generator)
    return nn.Sequential(*layers, nn.Flatten(), head, nn.LayerNorm(config.features), nn.Tanh())


def _seeded(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> nn.Module:
    layer = layer.to_empty(device="cpu")  # made on "meta": nothing was drawn from the global generator
    nn.init.orthogonal_(layer.weight, 2**0.5, generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
