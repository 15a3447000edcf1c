"""What `cql.CQL` learns from: steps of whole episodes with their n-step returns, and what came of the episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from handrail.core.values import Array
from handrail.store.trajectories import Trajectories

if TYPE_CHECKING:
    from .cql import CQLConfig


@dataclass(frozen=True, slots=True)
class CQLBatch:
    """Steps with what happened in the `n_step` steps from each on. Actions are as executed, joint targets."""

    observation: dict[str, Array]  # (B, ...)
    action: Array  # (B, A)
    later_action: Array  # (B, A) `lead` steps later in the same episode
    returns: Array  # (B,) sum of gamma^k r_k over the window
    carry: Array  # (B,) gamma^m where the episode goes on behind a window of m steps; 0 where it ended
    next_observation: dict[str, Array]  # (B, ...) behind the window
    next_action: Array  # (B, A) taken there
    failure: Array  # (B,) 1 where an irreversible failure follows within H steps
    success: Array  # (B,) 1 where the episode ended well


class CQLSampler:
    """Draws steps of a data set uniformly, with their n-step returns and labels.

    Args:
        data: at least one step, whole episodes. The reward is 1 at the end of a success and 0 elsewhere.
        config: the learner's.
    """

    def __init__(self, data: Trajectories, config: CQLConfig) -> None:
        self.data, self.config = data, config
        steps = np.arange(len(data))
        self._stop = data.end_of(steps)  # (N,)
        self._after = np.minimum(steps + config.n_step - 1, self._stop)  # (N,) last row of each window
        self._returns = np.zeros(len(data), np.float32)
        for k in range(config.n_step):
            at = np.minimum(steps + k, self._stop)
            self._returns += np.where(steps + k <= self._stop, config.discount**k * data.reward[at], 0.0)
        carry = config.discount ** (self._after + 1.0 - steps)
        ended = data.last if config.timeout_fails else data.terminated
        self._carry = np.where(ended[self._after], 0.0, carry).astype(np.float32)
        self._failure = data.violation_within(config.horizon).astype(np.float32)
        self._success = data.ended_well().astype(np.float32)

    def sample(self, batch: int, rng: np.random.Generator) -> CQLBatch:
        """`batch` steps, drawn with replacement."""
        return self.rows(rng.integers(len(self.data), size=batch))

    def rows(self, index: Array) -> CQLBatch:
        """The steps at `index` (B,)."""
        data, after, stop = self.data, self._after[index], self._stop[index]
        return CQLBatch(
            observation={key: column[index] for key, column in data.observation.items()},
            action=data.action[index],
            later_action=data.action[np.minimum(index + self.config.lead, stop)],
            returns=self._returns[index],
            carry=self._carry[index],
            next_observation={key: column[after] for key, column in data.next_observation.items()},
            next_action=data.action[np.minimum(after + 1, stop)],
            failure=self._failure[index],
            success=self._success[index],
        )
