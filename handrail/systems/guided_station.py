"""A teleoperation station: a bimanual task, a simulated person at its leaders, and whoever assists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from handrail.assist.guidance import Guidance, GuidanceConfig
from handrail.core.contracts import Operator, single
from handrail.core.values import Authority, Observation, Proposal, Step
from handrail.run import Supervised, Supervisor, episode
from handrail.run.film import Film
from handrail.run.teleoperator import Teleoperator
from handrail.tasks import make
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.kinematics import jacobian

TIERS = ("novice", "ordinary", "expert")


@dataclass(frozen=True)
class Visit:
    """One person's one episode.

    Attributes:
        tier, draw: who.
        episode: their how-manieth: fixes its noise.
        env_seed: of the reset.
        switched: they want another goal than the one that the seed draws.
    """

    tier: str
    draw: int
    episode: int
    env_seed: int
    switched: bool = False


def visits(tier: str, draws: range, each: int, first_seed: int) -> Iterator[Visit]:
    """Every person of `draws` comes `each` times, each time to another env seed, counted on from `first_seed`."""
    for index, draw in enumerate(draws):
        for number in range(each):
            yield Visit(tier, draw, number, first_seed + index * each + number)


@dataclass(frozen=True)
class Outcome:
    """What came of a visit.

    Attributes:
        goal: that was meant.
        irreversible: it ended in a failure that cannot be undone.
        time_s: until the episode ended.
        failure: its kind; empty after a success.
        effort_j: integral of |tau . qd| over guidance [J].
        torque_share: mean |tau| of guidance as a share of its saturation.
        level: mean assistance level.
    """

    visit: Visit
    goal: int
    success: bool
    irreversible: bool
    time_s: float
    failure: str
    effort_j: float
    torque_share: float
    level: float


class Nobody:
    """The policy of a run that the person drives: it stays where the arms are, should they ever let go."""

    def __init__(self, env: BimanualTask) -> None:
        self._env = env

    def reset(self) -> None:
        """There is nothing to forget."""

    def act(self, observation: Observation) -> Proposal:
        return single(self._env.hold(observation), Authority.POLICY)


class Station:
    """Built once, used by one person after the other; an episode depends on nothing that was before it.

    Args:
        task: name of a bimanual task.
        assist: given the task, who watches and assists; None for nobody.
        between: what a method puts between a person and the robot; None where their command is the robot's.
        guidance: how help is rendered.
        reaction: makes everybody a "yielder", "resister" or "ignorer"; None as drawn.
        options: of the task: shifted conditions, horizon.
    """

    def __init__(
        self,
        task: str,
        assist: Callable[[BimanualTask], Supervisor] | None = None,
        between: Callable[[Operator], Operator] | None = None,
        guidance: GuidanceConfig | None = None,
        reaction: str | None = None,
        **options: Any,
    ) -> None:
        self.env: BimanualTask = make(task, **options)
        self.guidance = None if assist is None else Guidance(guidance, jacobian=jacobian)
        self.supervisor = Supervisor() if assist is None else assist(self.env)
        self._between = between or (lambda person: person)
        self.film = Film(self.env)
        self.people = {tier: Teleoperator(self.env, tier, self.guidance, reaction=reaction) for tier in TIERS}
        self._nobody = Nobody(self.env)

    def run(self, visit: Visit) -> tuple[Outcome, list[Step]]:
        """One episode to its end."""
        steps = list(self.steps(visit))
        return self.outcome(visit, steps), steps

    def steps(self, visit: Visit) -> Iterator[Step]:
        """One episode, step by step."""
        person = self.people[visit.tier]
        person.person.episodes[visit.draw] = visit.episode
        supervised = Supervised(self.film, self.supervisor, self._between(person), driven_by="operator")
        other = {"goal_shift": int(visit.switched)}
        yield from episode(supervised, self._nobody, seed=visit.env_seed, operator_draw=visit.draw, options=other)

    def outcome(self, visit: Visit, steps: list[Step]) -> Outcome:
        """Of the episode that has just ended."""
        guidance = self.guidance
        return Outcome(
            visit=visit,
            goal=self.env.goal,
            success=steps[-1].success,
            irreversible=any(step.cost > 0 for step in steps),
            time_s=len(steps) / self.env.fps,
            failure=self.env.failure_kind(),
            effort_j=0.0 if guidance is None else guidance.effort_j,
            torque_share=0.0 if guidance is None else float(guidance.mean_share),
            level=float(np.mean([step.assist_level for step in steps])),
        )
