"""Scripted experts of FailureBench: deterministic functions of the observation.

Push, and push around the wall, are Meta-World's own policies, called without the machinery around them; the wall on
the other side is theirs in a mirror. Soccer is ours: stock's lets the ball out of bounds in one episode of ten.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from metaworld.policies.sawyer_push_v3_policy import SawyerPushV3Policy
from metaworld.policies.sawyer_push_wall_v3_policy import SawyerPushWallV3Policy

from handrail.core.errors import unknown_name
from handrail.core.values import Array
from handrail.tasks.failurebench.rewards import Point
from handrail.tasks.failurebench.sawyer import SawyerTask

MIRRORED_INPUTS = [0, 4, 18, 22, 36]  # x of hand, object, both a step before, and goal
STOCK_GAIN = 10.0  # of stock's push policies: action per metre
GAIN = 12.0
OPEN, CLOSE = -1.0, 1.0

LOW_M, HIGH_M = 0.07, 0.14  # height of the hand: fingers around the ball, fingers above the ball
OVER_M = 0.022  # the hand is over the ball
BEHIND_M = 0.05  # where the hand comes down to kick
BESIDE_M = 0.025  # how far aside of the goal's middle a ball may be kicked
RUN_UP_M = 0.16  # how far before the goal a carried ball is let go at least
SQUEEZED = 0.5  # opening below which the fingers hold the ball


class Seen(NamedTuple):
    """An observation (39,) taken apart [m]."""

    hand: Point
    opening: float
    object: Point
    last_hand: Point
    last_object: Point
    goal: Point

    @property
    def apart_m(self) -> float:
        """Horizontal distance between hand and object."""
        return math.hypot(self.hand[0] - self.object[0], self.hand[1] - self.object[1])


def see(observation: Array) -> Seen:
    """Take an observation (39,) apart."""
    o = observation.tolist()
    return Seen(tuple(o[:3]), o[3], tuple(o[4:7]), tuple(o[18:21]), tuple(o[22:25]), tuple(o[36:]))


class Expert(Protocol):
    """Observation (39,) -> action (4,) float32 in [-1, 1]."""

    def act(self, observation: Array) -> Array: ...


class StockExpert:
    """A policy of Meta-World's, asked for its target and its grip; mirrored in x when `side` is -1."""

    def __init__(self, policy: Any, side: int = 1) -> None:
        self._target: Callable[[dict[str, Array]], Array] = policy._desired_pos
        self._grip: Callable[[dict[str, Array]], float] = policy._grab_effort
        self._side = side

    def act(self, observation: Array) -> Array:
        if self._side < 0:
            observation = observation.copy()
            observation[MIRRORED_INPUTS] *= -1.0
        parts = {"hand_pos": observation[:3], "goal_pos": observation[36:]}
        parts["puck_pos"] = parts["obj_pos"] = observation[4:7]
        action = np.append(STOCK_GAIN * (self._target(parts) - parts["hand_pos"]), self._grip(parts))
        action[0] *= self._side
        return np.clip(action, -1.0, 1.0).astype(np.float32)


class SoccerExpert:
    """Grip the ball, carry it in front of the goal, let go, and kick it in from behind (ours)."""

    def act(self, observation: Array) -> Array:
        seen = see(observation)
        aside = abs(seen.object[0] - seen.goal[0])
        if self._ready_to_kick(seen) and aside < 2.0 * BESIDE_M:
            return toward(seen, (self._kick_x(seen), seen.hand[1] + 0.2, LOW_M), CLOSE)
        if aside < BESIDE_M:
            return self._go_behind(seen)
        return self.carry(seen, (seen.goal[0], min(seen.object[1], seen.goal[1] - RUN_UP_M)))

    def _ready_to_kick(self, seen: Seen) -> bool:
        (x, y, z), ball = seen.hand, seen.object
        return 0.03 < ball[1] - y < 0.07 and abs(x - ball[0]) < 0.02 and z < LOW_M + 0.02

    def _kick_x(self, seen: Seen) -> float:
        """Off the ball's middle, so that it runs to the goal's."""
        return seen.object[0] + 0.5 * (seen.object[0] - seen.goal[0])

    def _go_behind(self, seen: Seen) -> Array:
        (x, y, z), ball = seen.hand, seen.object
        place = (self._kick_x(seen), ball[1] - BEHIND_M)
        off = math.hypot(x - place[0], y - place[1])
        if off < 0.02:
            return toward(seen, (*place, LOW_M - 0.02), CLOSE)
        if z < HIGH_M - 0.025 and seen.apart_m < 0.07:  # out of the way first
            return toward(seen, (x, y, HIGH_M + 0.05), OPEN)
        return toward(seen, (*place, HIGH_M), CLOSE if seen.apart_m > 0.03 else OPEN)

    def carry(self, seen: Seen, place: tuple[float, float]) -> Array:
        """Grip the ball, wherever it is, and bring it to `place` [m]."""
        (x, y, z), ball = seen.hand, seen.object
        if seen.apart_m > OVER_M:
            if z < HIGH_M - 0.03 and seen.apart_m < 0.07:
                return toward(seen, (x, y, HIGH_M + 0.05), OPEN)
            ahead = [8.0 * (now - before) for now, before in zip(ball, seen.last_object, strict=True)]
            return toward(seen, (ball[0] + ahead[0], ball[1] + ahead[1], HIGH_M), OPEN)
        if z > LOW_M + 0.012:
            return toward(seen, (ball[0], ball[1], LOW_M - 0.03), OPEN)
        if seen.opening > SQUEEZED:
            return toward(seen, (ball[0], ball[1], LOW_M), CLOSE)
        return toward(seen, (*place, LOW_M), CLOSE)


def toward(seen: Seen, place: Point, effort: float, gain: float = GAIN) -> Array:
    """The action (4,) that brings the hand to `place` [m], each axis for itself."""
    shift = [gain * (there - here) for there, here in zip(place, seen.hand, strict=True)]
    return np.array([*(min(1.0, max(-1.0, value)) for value in shift), effort], np.float32)


def expert_for(task: SawyerTask) -> Expert:
    """The scripted expert of `task`.

    Raises:
        UnknownNameError: the task has no expert.
    """
    if task.name not in EXPERTS:
        raise unknown_name("expert for task", task.name, EXPERTS)
    return EXPERTS[task.name](task)


EXPERTS: dict[str, Callable[[Any], Expert]] = {
    "BoundedPush": lambda task: StockExpert(SawyerPushV3Policy),
    "BoundedSoccer": lambda task: SoccerExpert(),
    "FragilePushWall": lambda task: StockExpert(SawyerPushWallV3Policy, task.side),
    "ObstructedPush": lambda task: StockExpert(SawyerPushV3Policy),
}
