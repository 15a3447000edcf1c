"""What a learner sees: the arms exactly, the objects through a camera's error."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from handrail.core.values import Array
from handrail.tasks.base import PoseNoise
from handrail.tasks.bimanual.viperx import FINGER_CLOSED_M, FINGER_TRAVEL_M, Arm

STATE_DIM = 46
POSE_DIM = 9
UPRIGHT = np.eye(3)[:, :2]


def opening(data: mujoco.MjData, arm: Arm) -> float:
    """Measured opening of a gripper: 0 pads together, 1 open."""
    one, other = data.qpos[arm.fingers].tolist()
    return (0.5 * (one - other) - FINGER_CLOSED_M) / FINGER_TRAVEL_M


def proprioception(data: mujoco.MjData, arms: Sequence[Arm]) -> Array:
    """(46,): joint positions 14, joint velocities 14, then of each tool position 3, approach axis 3, finger axis 3."""
    state = np.empty(STATE_DIM)
    for side, arm in enumerate(arms):
        joints, tool = 7 * side, 28 + 9 * side
        one, other = data.qvel[arm.finger_dofs].tolist()
        rotation = data.site_xmat[arm.site].reshape(3, 3)
        state[joints : joints + 6] = data.qpos[arm.joints]
        state[joints + 6] = opening(data, arm)
        state[14 + joints : 20 + joints] = data.qvel[arm.dofs]
        state[20 + joints] = 0.5 * (one - other) / FINGER_TRAVEL_M
        state[tool : tool + 3] = data.site_xpos[arm.site]
        state[tool + 3 : tool + 9] = rotation[:, :2].T.ravel()
    return state


def draw_bias(rng: np.random.Generator, noise: PoseNoise, count: int) -> Array:
    """This episode's error of `count` objects (count, 4) [m, m, m, rad]."""
    return rng.normal(size=(count, 4)) * [*[noise.sigma_m] * 3, noise.sigma_rad]


def object_poses(data: mujoco.MjData, bodies: Sequence[int], error: Array, turning: Sequence[bool]) -> Array:
    """(9 n,): of each body position 3, x axis 3, y axis 3, moved and turned about the vertical by `error` (n, 4).

    What is not `turning` (a ball) has the axes of the world.
    """
    poses = np.empty((len(bodies), POSE_DIM))
    for row, body, (x, y, z, turn), turns in zip(poses, bodies, error.tolist(), turning, strict=True):
        c, s = np.cos(turn), np.sin(turn)
        first, second, third = data.xmat[body].reshape(3, 3)[:, :2] if turns else UPRIGHT
        row[:3] = data.xpos[body] + (x, y, z)
        row[3:] = np.array([c * first - s * second, s * first + c * second, third]).T.ravel()
    return poses.ravel()
