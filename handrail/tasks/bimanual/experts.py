"""The scripted person of every bimanual task, and how exactly they follow their own intent."""

from __future__ import annotations

import numpy as np

from handrail.core.values import Array
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.values import (
    BimanualWaypoint,
    Waypoint,
    quaternion_of,
    rotation_of,
    turn_between,
    turned,
)

SPEED_M_S, TURN_RAD_S = 0.35, 2.5  # of the commanded tool pose (ours)
JOINT_RAD_S = 4.0  # no joint is commanded faster: near a singular wrist the tool waits for it
LEAD_M = 0.06  # the command stays this near to the tool: what a blocked tool pushes with is bounded


def intent(task: BimanualTask) -> BimanualWaypoint:
    """Where a scripted person who knows the truth, the intended goal included, wants both tools next."""
    return task.waypoint()


class BimanualExpert:
    """Follows the intent through inverse kinematics, at a steady pace."""

    def __init__(self, env: BimanualTask) -> None:
        self.env = env

    def waypoint(self) -> BimanualWaypoint:
        return self.env.waypoint()

    def act(self) -> Array:
        return follow(self.env, self.waypoint())


def follow(task: BimanualTask, waypoint: BimanualWaypoint) -> Array:
    """The action (14,) that moves both commanded tool poses straight toward a waypoint."""
    return np.concatenate([_arm(task, 0, waypoint.left), _arm(task, 1, waypoint.right)]).astype(np.float32)


def ahead(task: BimanualTask, waypoint: BimanualWaypoint, lead_m: float, lead_rad: float) -> Array:
    """Joints (14,) with both tools on the straight way to a waypoint, at most so far ahead of where they are now.

    What a privileged guidance may pull toward: where `follow` would be a while later.
    """
    return np.concatenate(
        [_ahead(task, side, one, lead_m, lead_rad) for side, one in enumerate((waypoint.left, waypoint.right))]
    ).astype(np.float32)


def _ahead(task: BimanualTask, side: int, waypoint: Waypoint, lead_m: float, lead_rad: float) -> Array:
    arm, tool = task.arms[side], task.tool_position(side)
    quaternion = quaternion_of(task.tool_rotation(side))
    position = tool + _limited(waypoint.position - tool, lead_m)
    turn = _limited(turn_between(quaternion, waypoint.quaternion), lead_rad)
    joints = arm.reach_for(position, rotation_of(turned(quaternion, turn)), task.data.qpos[arm.joints])
    return np.append(joints, waypoint.grip)


def _arm(task: BimanualTask, side: int, waypoint: Waypoint) -> Array:
    arm, period_s = task.arms[side], 1.0 / task.fps
    commanded = task.data.ctrl[arm.servos]
    position, rotation = arm.tool_pose(commanded)
    ahead = position + _limited(waypoint.position - position, SPEED_M_S * waypoint.pace * period_s)
    tool = task.tool_position(side)
    ahead = tool + _limited(ahead - tool, LEAD_M)
    quaternion = quaternion_of(rotation)
    turn = _limited(turn_between(quaternion, waypoint.quaternion), TURN_RAD_S * waypoint.pace * period_s)
    joints = arm.reach_for(ahead, rotation_of(turned(quaternion, turn)), commanded)
    step = JOINT_RAD_S * period_s
    return np.append(commanded + np.clip(joints - commanded, -step, step), waypoint.grip)


def _limited(vector: Array, limit: float) -> Array:
    return vector * min(1.0, limit / max(float(np.linalg.norm(vector)), 1e-12))
