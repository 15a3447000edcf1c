"""Evaluation alone: the policy's mean action, nobody watching, fixed env seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from handrail.core.contracts import Policy
from handrail.core.values import Step
from handrail.run.loop import episode
from handrail.run.supervised import Supervised


@dataclass(frozen=True)
class Evaluation:
    """What came of one policy on a list of env seeds, an entry an episode.

    Attributes:
        success: 0 or 1.
        returns: undiscounted.
        failures: failure kinds, counted over the failed episodes.
    """

    success: list[int]
    returns: list[float]
    lengths: list[int]
    failures: dict[str, int]

    @property
    def success_rate(self) -> float:
        return sum(self.success) / len(self.success)

    @property
    def return_mean(self) -> float:
        return sum(self.returns) / len(self.returns)


def evaluate(
    env: Supervised,
    policy: Policy,
    seeds: Sequence[int],
    watch: Callable[[int, Step], None] | None = None,
    after: Callable[[int, list[Step]], None] | None = None,
) -> Evaluation:
    """Run one episode for each of `seeds`; `watch(index, step)` sees each step, `after(index, steps)` each episode."""
    success, returns, lengths, failures = [], [], [], Counter[str]()
    for index, seed in enumerate(seeds):
        steps = []
        for step in episode(env, policy, seed=seed):
            steps.append(step)
            if watch is not None:
                watch(index, step)
        won = steps[-1].success
        success.append(int(won))
        returns.append(sum(step.reward for step in steps))
        lengths.append(len(steps))
        if not won:
            failures[env.unwrapped.failure_kind() or "timeout"] += 1  # type: ignore[attr-defined]
        if after is not None:
            after(index, steps)
    return Evaluation(success, returns, lengths, dict(failures))
