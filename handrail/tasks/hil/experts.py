"""Scripted experts: where the tool should go next.

Each is a stateless function of the true state, so that it can take over anywhere.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from handrail.core.errors import unknown_name
from handrail.core.values import Array
from handrail.tasks.base import Waypoint
from handrail.tasks.hil import tube_insertion as tube
from handrail.tasks.hil.panda import PandaTask, half_turn, wrap
from handrail.tasks.hil.pick_cube import PickCube
from handrail.tasks.hil.tube_insertion import TubeInsertion

NO_BIAS = np.zeros(3)


class Expert(Protocol):
    """Proposes the next waypoint; the object pose is shifted by what its user misperceives."""

    def waypoint(self, bias_m: Array = NO_BIAS, bias_rad: float = 0.0) -> Waypoint: ...
    def act(self, bias_m: Array = NO_BIAS, bias_rad: float = 0.0) -> Array: ...


class PickCubeExpert:
    """Above the cube, down, close, up."""

    def __init__(self, env: PickCube) -> None:
        self.env = env

    def waypoint(self, bias_m: Array = NO_BIAS, bias_rad: float = 0.0) -> Waypoint:
        env = self.env
        tool, cube = env.tool_position, env.object_position + bias_m
        aside = float(np.linalg.norm(tool[:2] - cube[:2]))
        if env.gripper_closed and env._gripped(env._block):
            return Waypoint(np.array([*tool[:2], 0.25]), 0.0, -1.0, False, "lift")
        if env.gripper_closed and tool[2] > cube[2] + 0.03:
            return Waypoint(np.array([*cube[:2], 0.1]), 0.0, 1.0, False, "open")
        if (aside > 0.015 and tool[2] < cube[2] + 0.035) or aside > 0.03:
            return Waypoint(np.array([*cube[:2], cube[2] + 0.06]), 0.0, 1.0, False, "above")
        if tool[2] > cube[2] + 0.012:
            return Waypoint(np.array([*cube[:2], max(0.015, cube[2] - 0.005)]), 0.0, 1.0, False, "descend")
        return Waypoint(np.array([*cube[:2], max(0.015, cube[2] - 0.005)]), 0.0, -1.0, False, "grasp")

    def act(self, bias_m: Array = NO_BIAS, bias_rad: float = 0.0) -> Array:
        return follow(self.env, self.waypoint(bias_m, bias_rad))


class TubeInsertionExpert:
    """Above the cap, down, close, out of the rack, across, and down into the hole."""

    def __init__(self, env: TubeInsertion) -> None:
        self.env = env

    def waypoint(self, bias_m: Array = NO_BIAS, bias_rad: float = 0.0) -> Waypoint:
        env = self.env
        return self._carry(bias_m) if env.phase() != "reach" else self._reach(bias_m, bias_rad)

    def _reach(self, bias_m: Array, bias_rad: float) -> Waypoint:
        env = self.env
        tool = env.tool_position
        cap = env.object_position + tube.CAP_M * env.tube_axis + bias_m
        yaw = half_turn(env.tube_yaw + bias_rad)
        aside = float(np.linalg.norm(tool[:2] - cap[:2]))
        turned = abs(half_turn(wrap(yaw - env.tool_yaw)))
        above = np.clip(2.5 * (aside - 0.012), 0.03 if turned > 0.4 else 0.0, 0.045)  # a cone over the cap
        if above > 0.0 or tool[2] > cap[2] + 0.008:
            sunk = tool[2] < cap[2] + above - 0.015 and aside < 0.05  # beside the cap: straight up first
            goal = np.array([*(tool[:2] if sunk else cap[:2]), cap[2] + above - 0.003])
            return Waypoint(goal, yaw, 1.0, False, "above" if above > 0.0 else "descend")
        return Waypoint(cap - (0, 0, 0.003), yaw, -1.0, False, "grasp")

    def _carry(self, bias_m: Array) -> Waypoint:
        env = self.env
        tool, tip, yaw = env.tool_position, env.tip, env.tool_yaw
        to_hole = tube.HOLE + bias_m[:2] - tip[:2]
        offset = float(np.linalg.norm(to_hole))
        if env.depth_m() > 0.002:  # the hole holds the tip: bring the cap above it, or a tilted tube jams
            upright = tube.HOLE - (env.object_position + tube.CAP_M * env.tube_axis)[:2]
            return Waypoint(np.array([*(tool[:2] + upright), tool[2] - 0.05]), yaw, -1.0, True, "insert")
        if offset < 0.012:
            return Waypoint(np.array([*(tool[:2] + to_hole), tool[2] - 0.05]), yaw, -1.0, True, "insert")
        rise = max(0.0, tube.HOLE_TOP_M + tube.FUNNEL_M + 0.012 - tip[2])
        if tip[2] < tube.RACK_TOP_M + 0.003 or (rise > 0.012 and offset < 0.05):
            return Waypoint(tool + (0, 0, rise + 0.01), yaw, -1.0, False, "lift")
        return Waypoint(np.array([*(tool[:2] + to_hole), tool[2] + rise]), yaw, -1.0, offset < 0.02, "carry")

    def act(self, bias_m: Array = NO_BIAS, bias_rad: float = 0.0) -> Array:
        return follow(self.env, self.waypoint(bias_m, bias_rad))


def follow(env: PandaTask, waypoint: Waypoint) -> Array:
    """The action (A,) that goes straight for a waypoint."""
    return env.action_toward(waypoint.position, waypoint.yaw, waypoint.grip)


EXPERTS = {PickCube.name: PickCubeExpert, TubeInsertion.name: TubeInsertionExpert}


def expert_for(env: PandaTask) -> Expert:
    """The scripted expert of `env`.

    Raises:
        UnknownNameError: the task has no expert.
    """
    if env.name not in EXPERTS:
        raise unknown_name("expert for task", env.name, EXPERTS)
    return EXPERTS[env.name](env)  # type: ignore[arg-type]
