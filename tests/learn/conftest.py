"""Small batches and steps for learners."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from handrail.core.values import Array, Authority, Step, TakeoverCause
from handrail.store.ring import Batch


@pytest.fixture
def random_batch() -> Callable[..., Batch]:
    """random_batch(seed, rows=32, state=3, actions=2) -> Batch, gripper commands among -1, 0, 1 in the last action."""

    def make(seed: int, rows: int = 32, state: int = 3, actions: int = 2) -> Batch:
        rng = np.random.default_rng(seed)
        action = rng.uniform(-1, 1, (rows, actions)).astype(np.float32)
        action[:, -1] = rng.integers(-1, 2, rows)
        return Batch(
            {"state": rng.standard_normal((rows, state), np.float32)},
            action,
            rng.random(rows, np.float32),
            {"state": rng.standard_normal((rows, state), np.float32)},
            rng.random(rows) < 0.2,
            rng.integers(0, 3, rows),
            np.ones(rows, np.float32),
        )

    return make


@pytest.fixture
def make_step() -> Callable[..., Step]:
    """make_step(now, after, action, reward, terminated, truncated, authority) -> Step."""

    def make(
        now: dict[str, Array],
        after: dict[str, Array],
        action: Array,
        reward: float,
        terminated: bool,
        truncated: bool = False,
        authority: Authority = Authority.POLICY,
    ) -> Step:
        nobody = (None, None, authority, TakeoverCause.NONE)
        ends = (terminated, truncated, terminated)
        return Step(now, after, action, action, *nobody, 0.0, 0.0, 0.0, reward, 0.0, *ends, 0.0, 0.0)

    return make
