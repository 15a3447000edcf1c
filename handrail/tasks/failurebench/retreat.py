"""A scripted retreat from a near-failure state: a deterministic function of the observation (ours).

Recovery demonstrations start where the true near-future risk is high and follow it for some steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from handrail.core.errors import unknown_name
from handrail.core.values import Array
from handrail.tasks.failurebench.experts import CLOSE, OPEN, Seen, see, toward
from handrail.tasks.failurebench.fragile_push_wall import WALL_HALF_M
from handrail.tasks.failurebench.sawyer import SawyerTask

AROUND_M = 0.045  # horizontally: the fingers are around the object
ABOVE_M = 0.085  # hand above object: higher, the fingers do not hold it
STEP_M = 0.1  # a retreat aims so far ahead: full speed
HOLD_EFFORT = 0.6
LEAD_STEPS = 6.0  # how far ahead something that rolls is met
OVER_M = 0.025  # horizontally: the hand may come down on the object
OVER_HEIGHT_M = 0.07  # above where it grips, until then
CHASE_GAIN = 40.0  # action per metre of a hand after something that rolls
PUCK_LOW_M, BALL_LOW_M = 0.05, 0.07  # height of the hand that grips
CLEAR_M, STILL_M = 0.02, 0.002  # of the lines; between two looks, whose error is about a millimetre


class Retreat:
    """Brings `task` away from a near failure; says nothing about the goal."""

    def __init__(self, task: SawyerTask) -> None:
        if task.name not in RETREATS:
            raise unknown_name("retreat for task", task.name, RETREATS)
        self._task, self._away = task, RETREATS[task.name]

    def act(self, observation: Array) -> Array:
        """Observation (39,) -> action (4,)."""
        return self._away(self._task, see(observation))


def _caged(seen: Seen) -> bool:
    return seen.apart_m < AROUND_M and seen.hand[2] - seen.object[2] < ABOVE_M


def _inward(task: Any, seen: Seen) -> tuple[float, float]:
    """Unit vector from the object to the middle of the allowed rectangle, weighed by how near each line is."""
    x, y = seen.object[0], seen.object[1] - (task.y_low + task.y_high) / 2
    x, y = x / task.half_width, y / ((task.y_high - task.y_low) / 2)
    x, y = -math.copysign(abs(x) ** 3, x), -math.copysign(abs(y) ** 3, y)
    length = math.hypot(x, y) or 1.0
    return x / length, y / length


def _back_inside(task: Any, seen: Seen) -> Array:
    """Bring a held puck back in; from a loose one that lies still lift off, one that rolls on its edge is fetched."""
    x, y, z = seen.hand
    if _caged(seen):
        to_x, to_y = _inward(task, seen)
        return toward(seen, (x + STEP_M * to_x, y + STEP_M * to_y, z), HOLD_EFFORT)
    if _at_rest(task, seen):
        return toward(seen, (x, y, z + STEP_M), OPEN)
    return _fetch(seen)


def _ball_back_inside(task: Any, seen: Seen) -> Array:
    """Bring a held ball back in; a loose one is met where it rolls, from above, and held."""
    x, y, _ = seen.hand
    if _caged(seen):
        to_x, to_y = _inward(task, seen)
        return toward(seen, (x + STEP_M * to_x, y + STEP_M * to_y, BALL_LOW_M), CLOSE)
    return toward(seen, (*_where_it_rolls(seen), BALL_LOW_M), OPEN, gain=CHASE_GAIN)


def _at_rest(task: Any, seen: Seen) -> bool:
    """The object does not move, as far as one look can tell, and is clear of the lines."""
    x, y, _ = seen.object
    clear = min(task.half_width - abs(x), y - task.y_low, task.y_high - y)
    return clear > CLEAR_M and math.dist(seen.object[:2], seen.last_object[:2]) < STILL_M


def _fetch(seen: Seen) -> Array:
    """Come down on the puck from above, so that it is caged and not kicked."""
    height = PUCK_LOW_M if seen.apart_m < OVER_M else PUCK_LOW_M + OVER_HEIGHT_M
    return toward(seen, (*_where_it_rolls(seen), height), OPEN, gain=CHASE_GAIN)


def _where_it_rolls(seen: Seen) -> tuple[float, float]:
    """Where the object will be when the hand is there."""
    (x, y, _), (last_x, last_y, _) = seen.object, seen.last_object
    return x + LEAD_STEPS * (x - last_x), y + LEAD_STEPS * (y - last_y)


def _off_the_wall(task: Any, seen: Seen) -> Array:
    """Draw a held puck off the wall's nearest point; from a loose one lift off."""
    x, y, z = seen.hand
    if not _caged(seen):
        return toward(seen, (x, y, z + STEP_M), OPEN)
    half_x, half_y, _ = WALL_HALF_M
    near_x = min(max(seen.object[0], task.wall_x - half_x), task.wall_x + half_x)
    near_y = min(max(seen.object[1], task.wall_y - half_y), task.wall_y + half_y)
    off_x, off_y = seen.object[0] - near_x, seen.object[1] - near_y
    off = math.hypot(off_x, off_y) or 1.0
    return toward(seen, (x + STEP_M * off_x / off, y + STEP_M * off_y / off, z), HOLD_EFFORT)


def _off_the_vase(task: Any, seen: Seen) -> Array:
    """Away from the vase, in the plane first."""
    x, y, z = seen.hand
    off_x, off_y = x - task.vase[0], y - task.vase[1]
    off = math.hypot(off_x, off_y) or 1.0
    return toward(seen, (x + STEP_M * max(0.5, off_x / off), y + STEP_M * off_y / off, z), HOLD_EFFORT)


RETREATS: dict[str, Callable[[Any, Seen], Array]] = {
    "BoundedPush": _back_inside,
    "BoundedSoccer": _ball_back_inside,
    "FragilePushWall": _off_the_wall,
    "ObstructedPush": _off_the_vase,
}
