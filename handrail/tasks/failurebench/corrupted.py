"""A bad driver: begins the task as the expert does, then goes for a wrong place where the constraint is broken (ours).

Its episodes are the failure data of FailureBench: task episodes that go wrong, with near misses among them. Half of
them *fumble*: the driver believes the object somewhere else, so that the fingers come down on it and knock it away,
as those of a policy that still learns do. The others bring the hand, or the object, to the wrong place on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from metaworld.policies.sawyer_push_v3_policy import SawyerPushV3Policy

from handrail.core.errors import unknown_name
from handrail.core.values import Array
from handrail.tasks.failurebench.experts import Expert, SoccerExpert, StockExpert, expert_for, see, toward
from handrail.tasks.failurebench.fragile_push_wall import WALL_HALF_M
from handrail.tasks.failurebench.sawyer import SawyerTask

Spot = tuple[float, float, float]
SMOOTH = 0.9  # of the hand's tremor, per step
TREMOR = (0.02, 0.12)  # its size, drawn once an episode
WRONG_STEPS = (80, 160)  # for how long the wrong place is gone for
NEAR_MISS_M = 0.015  # a wrong place may lie so far on the good side of a line
FUMBLED_M = (0.01, 0.06)  # how far off the object is believed
FUMBLES = 0.5  # share of episodes

_STRAIGHT, _SOCCER = StockExpert(SawyerPushV3Policy), SoccerExpert()


@dataclass(frozen=True)
class Mistake:
    """One way in which a driver goes wrong.

    Attributes:
        begins: steps after which the mistake is made, drawn between the two.
        spot: draws the wrong place, or how far off the object is believed [m].
        drive: expert, observation and wrong place -> action (4,).
    """

    begins: tuple[int, int]
    spot: Callable[[Any, np.random.Generator], Spot]
    drive: Callable[[Expert, Array, Spot], Array]


@dataclass
class Episode:
    """What was drawn for one episode."""

    begins: int
    ends: int
    spot: Spot
    tremor: float
    shake: Array = field(default_factory=lambda: np.zeros(3))
    steps: int = 0


class Corrupted:
    """The expert of `task` until it makes a mistake; every episode from its own seed.

    Args:
        task: says which constraint there is to break; it is never looked at afterwards.
        seed: of the first episode; `reset(seed)` begins another.
    """

    def __init__(self, task: SawyerTask, seed: int = 0) -> None:
        if task.name not in MISTAKES:
            raise unknown_name("mistake for task", task.name, MISTAKES)
        self._task, self._expert = task, expert_for(task)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Draw which mistake is made, when, for how long, where it leads, and how shaky the hand is."""
        self._rng = rng = np.random.default_rng(seed)
        self._mistake = FUMBLE if rng.random() < FUMBLES else MISTAKES[self._task.name]
        begins = int(rng.integers(*self._mistake.begins, endpoint=True))
        ends = begins + int(rng.integers(*WRONG_STEPS, endpoint=True))
        self._episode = Episode(begins, ends, self._mistake.spot(self._task, rng), float(rng.uniform(*TREMOR)))

    @property
    def wrong(self) -> bool:
        """Whether the mistake is being made."""
        return self._episode.begins <= self._episode.steps < self._episode.ends

    def act(self, observation: Array) -> Array:
        """Observation (39,) -> action (4,)."""
        episode = self._episode
        if self.wrong:
            action = self._mistake.drive(self._expert, observation, episode.spot)
        else:
            action = self._expert.act(observation)
        fresh = np.sqrt(1.0 - SMOOTH**2) * episode.tremor
        episode.shake = SMOOTH * episode.shake + fresh * self._rng.normal(size=3)
        episode.steps += 1
        action[:3] = np.clip(action[:3] + episode.shake, -1.0, 1.0)
        return action


def _beyond_a_line(task: Any, rng: np.random.Generator) -> Spot:
    """A place outside of the rectangle, or just inside: left, right, near, or far where the hand reaches that far."""
    beyond = rng.uniform(-NEAR_MISS_M, 0.15)
    x, y = rng.uniform(-0.7, 0.7) * task.half_width, rng.uniform(task.y_low + 0.08, task.y_high - 0.08)
    side = int(rng.choice(4, p=(0.4, 0.4, 0.15, 0.05)))
    if side == 2:
        y = task.y_low - min(beyond, 0.07)
    elif side == 3:
        y = task.y_high + min(beyond, 0.03)
    else:
        x = (task.half_width + beyond) * (-1.0 if side == 0 else 1.0)
    return float(x), float(y), 0.02


def _in_the_wall(task: Any, rng: np.random.Generator) -> Spot:
    """A place inside the wall or just off its free end; from in front and behind the fingers would touch first."""
    x = task.wall_x - task.side * float(rng.uniform(0.04, WALL_HALF_M[0] + 0.01 + NEAR_MISS_M))
    return x, task.wall_y + float(rng.uniform(-0.04, 0.0)), 0.02


def _past_the_vase(task: Any, rng: np.random.Generator) -> Spot:
    """A place behind the vase for the hand, at a height between carrying low and passing over its shoulder."""
    x, y = task.vase
    aside = rng.uniform(-0.05, task.vase_radius_m + 0.08)  # some stop short of it
    return float(x + aside), float(y + rng.uniform(-0.1, 0.1)), float(rng.uniform(0.06, task.vase_height_m + 0.1))


def _off_the_object(task: Any, rng: np.random.Generator) -> Spot:
    """How far off the object is believed, in any direction of the table."""
    off, angle = rng.uniform(*FUMBLED_M), rng.uniform(-np.pi, np.pi)
    return float(off * np.cos(angle)), float(off * np.sin(angle)), float(rng.uniform(-0.02, 0.0))


def _fumble(expert: Expert, observation: Array, spot: Spot) -> Array:
    """The task as it should be done, if only the object were there."""
    misled = observation.copy()
    misled[4:7] += spot
    misled[22:25] += spot
    return expert.act(misled)


def _wrong_goal(expert: Expert, observation: Array, spot: Spot) -> Array:
    """The task as it should be done, but for another goal."""
    misled = observation.copy()
    misled[36:] = spot
    return expert.act(misled)


def _turn_early(expert: Expert, observation: Array, spot: Spot) -> Array:
    """Go round the wall, but turn in beside it instead of behind it."""
    if observation[5] < spot[1]:
        return expert.act(observation)
    return _wrong_goal(_STRAIGHT, observation, (spot[0], spot[1] + 0.02, spot[2]))


def _drag_there(expert: Expert, observation: Array, spot: Spot) -> Array:
    """Take the ball and drag it to the spot: what is let go on the way rolls on by itself."""
    return _SOCCER.carry(see(observation), spot[:2])


def _sweep(expert: Expert, observation: Array, spot: Spot) -> Array:
    """Swing the hand over, with whatever it holds."""
    seen = see(observation)
    return toward(seen, spot, 0.6 if seen.opening < 0.9 else 0.0)


FUMBLE = Mistake((0, 30), _off_the_object, _fumble)
MISTAKES = {
    "BoundedPush": Mistake((20, 52), _beyond_a_line, _wrong_goal),
    "BoundedSoccer": Mistake((15, 60), _beyond_a_line, _drag_there),
    "FragilePushWall": Mistake((20, 60), _in_the_wall, _turn_early),
    "ObstructedPush": Mistake((5, 45), _past_the_vase, _sweep),
}
"""Ours, all numbers: when the mistake is made (in steps of the expert's way), where it leads, how it is made."""
