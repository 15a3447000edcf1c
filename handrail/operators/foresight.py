"""What an action is worth, by trying it: the Q of the scripted expert, for take-over by value. Ours.

RLIF (Luo et al. 2024) has a critic trained to optimality; a scripted expert and a simulator that can be put back give
the same comparison without training one, and before anybody has solved the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS
from handrail.core.values import Array, Observation

if TYPE_CHECKING:  # the tasks load MuJoCo
    from handrail.tasks.base import Snapshot, Truth

LOOKAHEAD = 4  # expert steps after the action: as long as RLIF's person holds the robot
SHOWN = DEVELOPMENT_ENV_SEEDS[:10]
KNOTS = 40  # of the table


class Task(Protocol):
    """What is needed of a task."""

    horizon: int

    def reset(self, *, seed: int | None = None) -> Any: ...
    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]: ...
    def privileged(self) -> Truth: ...
    def snapshot(self) -> Snapshot: ...
    def restore(self, snapshot: Snapshot) -> None: ...


class Actor(Protocol):
    """An expert that knows the truth by itself."""

    def act(self) -> Array: ...


class StepsToGo:
    """Steps that the expert still needs, by true progress: falling, and linear between `KNOTS` points or fewer.

    Args:
        progress, steps: pairs from expert episodes (N,), in any order.
    """

    def __init__(self, progress: Array, steps: Array) -> None:
        levels, at, counts = np.unique(progress, return_inverse=True, return_counts=True)
        group = (np.cumsum(counts) - counts) * KNOTS // len(progress)  # of each level: as many pairs in every group
        _, group = np.unique(group, return_inverse=True)
        pairs = np.bincount(group, counts)
        self._progress = np.bincount(group, counts * levels) / pairs
        self._steps = np.minimum.accumulate(np.bincount(group[at], steps) / pairs)

    def __call__(self, progress: float) -> float:
        return float(np.interp(progress, self._progress, self._steps))

    @classmethod
    def of(cls, env: Task, expert: Actor, seeds: Sequence[int] = SHOWN) -> StepsToGo:
        """Measure them on one expert episode for each of `seeds`; those without success count nothing.

        Raises:
            InvalidValueError: the expert succeeds in none.
        """
        progress, steps = list[float](), list[float]()
        for seed in seeds:
            env.reset(seed=seed)
            seen = [env.privileged().progress]
            for _ in range(env.horizon):
                _, _, done, _, info = env.step(expert.act())
                seen.append(env.privileged().progress)
                if done:
                    break
            if info["success"]:
                progress += seen
                steps += range(len(seen) - 1, -1, -1)
        if not progress:
            raise InvalidValueError(f"the expert succeeds in 0 of {len(seeds)} episodes: its value needs one at least")
        return cls(np.array(progress), np.array(steps, float))


class ExpertValue:
    """Q(s, a) = discount ** (steps until success), if `a` is executed now and the expert goes on; 0 after a failure.

    The action and `LOOKAHEAD` expert steps are simulated in the task itself, which is then put back, bit for bit; the
    rest is `StepsToGo`. It knows no time limit, as a learner that bootstraps on truncation does not.

    Args:
        env: the task, in the state that is asked about; construction resets it.
        expert: acts on the true state.
        discount: of the learner.
    """

    def __init__(self, env: Task, expert: Actor, discount: float, to_go: StepsToGo | None = None) -> None:
        self._env, self._expert, self._discount = env, expert, discount
        self.to_go = to_go or StepsToGo.of(env, expert)

    def __call__(self, observation: Observation, action: Array) -> float:
        """The value of `action` (A,) in the task's present state, in [0, 1]."""
        before = self._env.snapshot()
        try:
            return self._tried(action)
        finally:
            self._env.restore(before)

    def _tried(self, action: Array) -> float:
        for done in range(1 + LOOKAHEAD):
            _, _, terminated, _, info = self._env.step(action if done == 0 else self._expert.act())
            if terminated:
                return self._discount ** (1 + done) if info["success"] else 0.0
        return self._discount ** (1 + LOOKAHEAD + self.to_go(self._env.privileged().progress))
