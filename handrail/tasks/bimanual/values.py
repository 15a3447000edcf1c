"""What bimanual tasks tell those who may know the truth: how it stands, and where a scripted person would move next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np

from handrail.core.values import Array
from handrail.tasks.bimanual.kinematics import tool_rotation


@dataclass(frozen=True, slots=True)
class BimanualTruth:
    """What `privileged()` returns. Only simulated people, oracles and benches may look."""

    progress: float  # in [0, 1], along the task toward the intended goal
    goal: int  # index of the intended goal
    tool_positions: Array  # (2, 3) [m] left, right
    tool_quaternions: Array  # (2, 4) w x y z
    goal_distances_m: Array  # (2,) each tool to where it is needed next
    failure_margin_m: float  # to the nearest irreversible failure; inf where none is near
    contact_force_n: float  # largest normal force on an object from anything but a gripper
    phase: str


@dataclass(frozen=True, slots=True)
class Waypoint:
    """Where a scripted person wants one tool next: a place at an object or a goal, approached inside a cone."""

    position: Array  # (3,) [m]
    quaternion: Array  # (4,) w x y z; x approaches, y is the axis along which the fingers open
    grip: float  # commanded opening: 0 pads together, 1 open
    contact: bool = False  # tight contact: a person would search here
    pace: float = 1.0  # share of the usual speed


@dataclass(frozen=True, slots=True)
class BimanualWaypoint:
    """Both hands at once."""

    left: Waypoint
    right: Waypoint
    phase: str


def both(hand: Callable[[int], Waypoint], phase: str) -> BimanualWaypoint:
    """The same move for side 0 and side 1."""
    return BimanualWaypoint(hand(0), hand(1), phase)


def looking(yaw: float, pitch: float = np.pi / 2, roll: float = 0.0) -> Array:
    """Quaternion (4,) of a tool that looks down by `pitch` from the horizontal, toward `yaw` [rad]."""
    return quaternion_of(tool_rotation(yaw, pitch, roll))


def quaternion_of(rotation: Array) -> Array:
    """(3, 3) -> (4,) w x y z."""
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, rotation.reshape(9))
    return quaternion


def rotation_of(quaternion: Array) -> Array:
    """(4,) w x y z -> (3, 3)."""
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, quaternion)
    return rotation.reshape(3, 3)


def turn_between(quaternion: Array, target: Array) -> Array:
    """Rotation vector (3,) [rad], world frame, that turns one orientation into the other."""
    difference, vector = np.empty(4), np.empty(3)
    mujoco.mju_mulQuat(difference, target, quaternion * (1.0, -1.0, -1.0, -1.0))
    mujoco.mju_quat2Vel(vector, difference if difference[0] >= 0 else -difference, 1.0)
    return vector


def turned(quaternion: Array, vector: Array) -> Array:
    """`quaternion` (4,) turned by a rotation vector (3,) [rad] of the world frame."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return quaternion.copy()
    turn, result = np.empty(4), np.empty(4)
    mujoco.mju_axisAngle2Quat(turn, vector / angle, angle)
    mujoco.mju_mulQuat(result, turn, quaternion)
    return result


def yaw_of(rotation: Array, period: float = 2 * np.pi, near: float = 0.0) -> float:
    """Turn of the x axis of `rotation` (3, 3) about the vertical [rad], the equal one nearest to `near`."""
    yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return near + (yaw - near + period / 2) % period - period / 2
