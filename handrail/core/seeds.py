"""Which env seeds belong to whom: evaluation, development, and training never meet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

EVALUATION_ENV_SEEDS = range(1000, 1100)
DEVELOPMENT_ENV_SEEDS = range(100)
"""Also the range of the operator draws that may be looked at during development."""
FIRST_TRAINING_ENV_SEED = 10_000
_LAST = 2**31 - 1


def training_env_seed(run_seed: int, episode: int) -> int:
    """Return the reset of one training episode; a function of both numbers, so a resumed run goes on where it was."""
    rng = np.random.default_rng([run_seed, episode, 0x7E5E7])
    return int(rng.integers(FIRST_TRAINING_ENV_SEED, _LAST))


def training_env_seeds(run_seed: int) -> Iterator[int]:
    """Yield the resets of a training run without end, episode by episode."""
    return (training_env_seed(run_seed, episode) for episode in count())
