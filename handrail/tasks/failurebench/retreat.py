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
LEAD_STEPS = 6.0  # how far ahead a rolling ball is met


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
    """Bring a held puck back in; from a loose one, which stays where it is, lift off."""
    x, y, z = seen.hand
    if not _caged(seen):
        return toward(seen, (x, y, z + STEP_M), OPEN)
    to_x, to_y = _inward(task, seen)
    return toward(seen, (x + STEP_M * to_x, y + STEP_M * to_y, z), HOLD_EFFORT)


def _ball_back_inside(task: Any, seen: Seen) -> Array:
    """Bring a held ball back in; a loose one is met where it rolls, from above, and held."""
    x, y, _ = seen.hand
    if _caged(seen):
        to_x, to_y = _inward(task, seen)
        return toward(seen, (x + STEP_M * to_x, y + STEP_M * to_y, 0.07), CLOSE)
    ahead = [LEAD_STEPS * (now - before) for now, before in zip(seen.object, seen.last_object, strict=True)]
    return toward(seen, (seen.object[0] + ahead[0], seen.object[1] + ahead[1], 0.07), OPEN, gain=40.0)


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
