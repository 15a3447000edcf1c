"""Several environments side by side, one step each in turn, so that policy and monitor work on a batch.

For small networks a batch of eight costs hardly more than one row. What is decided in a lane is decided as in
`loop.episode`: by its own `Supervised`, with its own trigger, recovery and limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from handrail.core.contracts import Monitor
from handrail.core.values import Array, Assessment, Observation, Step
from handrail.run.supervised import Supervised

Observations = dict[str, Array]
"""A batch: key -> (B, ...)."""
Propose = Callable[[Observations], Array]
"""observations of B lanes -> actions (B, A)."""
Assess = Callable[[Observations, Array], Sequence[Assessment]]
"""observations and proposed actions (B, A) -> an assessment a lane."""


class Foreseen:
    """The monitor of one lane: hands over what was assessed for all lanes at once."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor, self.next = monitor, Assessment(0.0, 0.0)

    def reset(self) -> None:
        self._monitor.reset()

    def assess(self, observation: Observation, action: Array) -> Assessment:
        return self.next

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return self._monitor.assess_many(episode)


@dataclass(eq=False)
class _Lane:
    env: Supervised
    seed: int = 0
    steps: list[Step] = field(default_factory=list)


def lockstep(
    envs: Sequence[Supervised],
    propose: Propose,
    seeds: Iterator[int],
    enough: float = float("inf"),
    assess: Assess | None = None,
) -> Iterator[tuple[int, Supervised, list[Step]]]:
    """Run whole episodes until at least `enough` steps were taken; yield env seed, lane and steps of each as it ends.

    No episode begins once the episodes so far, finished or not, hold `enough` steps, or when there is no seed left:
    every lane is idle at the end.

    Args:
        envs: one a lane, with observations of one shape; a text among them is not batched.
        propose: the policy of all lanes.
        seeds: env seed of each episode, in the order in which they begin.
        enough: steps.
        assess: the monitor of all lanes, whose supervisors hold a `Foreseen`; None where they have one of their own.
    """
    lanes = [lane for lane in map(_Lane, envs) if _begin(lane, seeds)]
    taken = 0
    while lanes:
        observations = _batch([lane.env.observation for lane in lanes])
        actions = propose(observations)
        if assess is not None:
            for lane, assessment in zip(lanes, assess(observations, actions), strict=True):
                monitor = lane.env.supervisor.monitor
                assert isinstance(monitor, Foreseen), "a lane of a shared monitor needs a Foreseen"
                monitor.next = assessment
        for lane, action in zip(lanes, actions, strict=True):
            lane.env.step(action)
            assert lane.env.last_step is not None
            lane.steps.append(lane.env.last_step)
        taken += len(lanes)
        for lane in [lane for lane in lanes if lane.steps[-1].done]:
            yield lane.seed, lane.env, lane.steps
            if taken >= enough or not _begin(lane, seeds):
                lanes.remove(lane)


def _begin(lane: _Lane, seeds: Iterator[int]) -> bool:
    """Begin the next episode, if there is one."""
    seed = next(seeds, None)
    if seed is None:
        return False
    lane.seed, lane.steps = seed, []
    lane.env.reset(seed=seed)
    return True


def _batch(observations: Sequence[Observation]) -> Observations:
    vectors = [key for key, value in observations[0].items() if not isinstance(value, str)]
    return {key: np.stack([np.asarray(observation[key]) for observation in observations]) for key in vectors}
