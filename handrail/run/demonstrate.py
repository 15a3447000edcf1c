"""Demonstrations: the operator drives whole episodes, and the failed ones are thrown away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.seeds import training_env_seed
from handrail.core.values import Authority, Observation, Proposal, Step
from handrail.run.loop import run_episode
from handrail.run.supervised import Supervised

FIRST_DEMONSTRATION = 1_000_000
"""Episode index from which a run draws the resets of its demonstrations, apart from its training resets."""
MOST_TRIES = 20


class Still:
    """A policy that proposes not to move: what stands behind an operator who drives."""

    def __init__(self, action_dim: int) -> None:
        self._proposal = Proposal(np.zeros((1, action_dim), np.float32), Authority.POLICY)

    def reset(self) -> None:
        """Nothing is carried from step to step."""

    def act(self, observation: Observation) -> Proposal:
        return self._proposal


def demonstrate(env: Supervised, count: int, run_seed: int, operator_draw: int) -> Iterator[tuple[int, list[Step]]]:
    """Yield `count` successful episodes driven by `env.operator`, each with its env seed.

    Raises:
        HandrailError: the operator fails so often that `MOST_TRIES` episodes a demonstration were not enough.
    """
    assert env.action_space.shape is not None
    still, shown = Still(env.action_space.shape[0]), 0
    for attempt in range(MOST_TRIES * count):
        seed = training_env_seed(run_seed, FIRST_DEMONSTRATION + attempt)
        steps = run_episode(env, still, seed=seed, operator_draw=operator_draw)
        if steps[-1].success:
            yield seed, steps
            shown += 1
        if shown == count:
            return
    raise HandrailError(
        f"{shown} of {count} demonstrations after {MOST_TRIES * count} tries: the operator cannot do this task"
    )
