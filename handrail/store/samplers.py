"""Batches out of several rings."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from handrail.core.errors import SchemaError
from handrail.core.values import Array, Step

from .ring import Batch, ReplayRing, stack


def mix(online: Batch, demo: Batch) -> Batch:
    """Put the rows of `demo` under those of `online`: half and half for equal sizes (Ball et al. 2023, 4.1).

    Raises:
        SchemaError: an observation key is on one side only; dropping it would misalign the batch.
    """
    return Batch(
        _concatenate(online.observation, demo.observation),
        np.concatenate([online.action, demo.action]),
        np.concatenate([online.reward, demo.reward]),
        _concatenate(online.next_observation, demo.next_observation),
        np.concatenate([online.terminated, demo.terminated]),
        np.concatenate([online.authority, demo.authority]),
        np.concatenate([online.weight, demo.weight]),
    )


def sample_mixed(
    online: ReplayRing, demo: ReplayRing, batch_size: int, rng: np.random.Generator, batches: int = 1
) -> list[Batch]:
    """Draw `batches` batches of `batch_size`, each half from `online` and half from `demo` (an odd row is online).

    While one of the rings is empty the other gives every row.
    """
    if len(online) == 0 or len(demo) == 0:
        full = demo if len(online) == 0 else online
        return full.sample(batch_size * batches, rng).split(batches)
    half = batch_size // 2
    pairs = zip(
        online.sample((batch_size - half) * batches, rng).split(batches),
        demo.sample(half * batches, rng).split(batches),
        strict=True,
    )
    return [mix(*pair) for pair in pairs]


def _concatenate(online: dict[str, Array], demo: dict[str, Array]) -> dict[str, Array]:
    if online.keys() != demo.keys():
        only = sorted(online.keys() ^ demo.keys())
        raise SchemaError(f"observation key '{only[0]}' is on one side of the mix only: record both with the same keys")
    return {key: np.concatenate([online[key], demo[key]]) for key in online}


def chunks(episode: list[Step], horizon: int, weights: Array | None = None) -> Batch:
    """Every step of one episode with the `horizon` actions from it on: `Batch` with actions (T, H, A).

    Past the end the last action is repeated. `weights` (T,), ones when not given.
    """
    batch = stack(episode, weights)
    index = np.minimum(np.arange(len(batch))[:, None] + np.arange(horizon), len(batch) - 1)
    return replace(batch, action=batch.action[index])


def concatenate(batches: list[Batch]) -> Batch:
    """All rows of `batches`, in order."""
    return reduce(mix, batches)
