"""Moves that every scripted intent is made of: come up to a thing, close on it, stay out of the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from handrail.core.values import Array
from handrail.tasks.bimanual.base import HOME_TOOL, BimanualTask
from handrail.tasks.bimanual.values import Waypoint, looking, quaternion_of, rotation_of, turn_between

STANDOFF_M = 0.07  # where an approach begins, behind the grasp
NARROW_M, CONE_M = 0.005, 0.03  # sideways error where the approach begins to widen into a cone; width of the cone
CLOSE_M, CLOSE_RAD = 0.012, 0.25  # near enough to close the fingers; once they close, twice as far is near enough
SQUEEZE, OPEN = 0.0, 1.0
HOME_YAW = (0.0, np.pi)


def at_home(side: int, grip: float = 0.5) -> Waypoint:
    """Out of the way."""
    return Waypoint(HOME_TOOL[side], looking(HOME_YAW[side]), grip)


def come_up_to(
    task: BimanualTask,
    side: int,
    position: Array,
    quaternion: Array,
    opened: float = OPEN,
    closed: float = SQUEEZE,
    standoff_m: float = STANDOFF_M,
    close_m: float = CLOSE_M,
    cone_m: float = CONE_M,
) -> Waypoint:
    """Approach a grasp along the tool's axis inside a cone, then close the fingers.

    A thing nearly as wide as the open fingers needs a narrow `cone_m`: a tool that far aside stays `standoff_m` behind.
    """
    approach = rotation_of(quaternion)[:, 0]
    error = task.tool_position(side) - position
    aside = float(np.linalg.norm(error - (error @ approach) * approach))
    turned = float(np.linalg.norm(turn_between(quaternion_of(task.tool_rotation(side)), quaternion)))
    back = standoff_m * (float(np.clip((aside - NARROW_M) / cone_m, 0.0, 1.0)) if turned < CLOSE_RAD else 1.0)
    closing = task.commanded[7 * side + 6] < 0.5 * (opened + closed)
    near = float(np.linalg.norm(error)) < close_m * (2 if closing else 1) and turned < CLOSE_RAD
    return Waypoint(position - back * approach, quaternion, closed if near else opened, contact=back == 0.0)


def retreat(waypoint: Waypoint, distance_m: float = STANDOFF_M, grip: float = OPEN) -> Waypoint:
    """Back along the approach of `waypoint`, fingers open."""
    approach = rotation_of(waypoint.quaternion)[:, 0]
    return replace(waypoint, position=waypoint.position - distance_m * approach, grip=grip)


def present(
    task: BimanualTask, side: int, name: str, place: Array, rotation: Array, grip: float = SQUEEZE, pace: float = 1.0
) -> Waypoint:
    """Bring the held body `name` to a pose (3,), (3, 3), however it lies in the fingers."""
    held = task.rotation(name).T @ task.tool_rotation(side)
    return carry(task, side, name, place, quaternion_of(rotation @ held), grip, pace)


def carry(
    task: BimanualTask, side: int, name: str, place: Array, quaternion: Array, grip: float = SQUEEZE, pace: float = 1.0
) -> Waypoint:
    """Bring the held body `name` to `place` (3,): the tool goes where the body will be there after the turn."""
    offset = task.tool_rotation(side).T @ (task.tool_position(side) - task.position(name))  # in the tool's frame
    return Waypoint(place + rotation_of(quaternion) @ offset, quaternion, grip, pace=pace)
