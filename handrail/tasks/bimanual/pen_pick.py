"""PenPick: one arm picks up a pen and turns it upright, the other brings one of two cups, and the pen drops into it."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.values import Array
from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import FALL_M_S, BimanualTask
from handrail.tasks.bimanual.kinematics import about_z
from handrail.tasks.bimanual.moves import OPEN, at_home, carry, come_up_to, present
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, looking

RADIUS_M, HALF_M = 0.007, 0.065  # of the pen, which is square, so that it does not roll
CUP_HALF_M = 0.04
CUPS, CUP_RANGE = np.array([[-0.12, 0.38], [-0.12, 0.62]]), np.array([0.015, 0.02])  # [m] the goals
START, START_RANGE, START_TURN = np.array([0.18, 0.5]), np.array([0.03, 0.08]), 0.5  # [m], [m], [rad]
MEETING = np.array([-0.02, 0.5, 0.07])  # [m] where the cup is held
GRASP_RISE_M = 0.0090  # the finger tips stay 2 mm off the table
CUP_PITCH = np.deg2rad(15.0)  # well away from a straight wrist
ABOVE_M, SUNK_M = 0.03, 0.03  # the tip waits over the rim, and is let go so far below it
TIPPED_RAD = np.deg2rad(50.0)


class PenPick(BimanualTask):
    """Pick the pen with the right arm, hold the intended cup with the left, and drop the pen into it.

    Success: the pen stands in that cup, and the right hand has let go. The pen is lost when it falls anywhere else
    ("dropped"), a cup when it falls ("dropped") or tips ("tipped").
    """

    name = "PenPick"
    horizon = 550
    instruction = "put the pen into the cup"
    objects = ("pen", "cup0", "cup1")
    fragile = ("cup0", "cup1")

    def __init__(self, cup_radius_m: float = 0.019, **options: Any) -> None:
        self.cup_radius_m = cup_radius_m
        super().__init__(**options)

    def _build(self, spec: mujoco.MjSpec) -> None:
        pen = parts.free_body(spec, "pen")
        parts.solid(pen, parts.BOX, [HALF_M - 0.015, RADIUS_M, RADIUS_M], [0.80, 0.25, 0.22, 1], mass=0.016)
        for end, colour in ((-1, [0.2, 0.2, 0.22, 1]), (1, [0.80, 0.25, 0.22, 1])):
            along = [end * (HALF_M - 0.02), 0, 0, end * (HALF_M - 0.006), 0, 0]
            parts.solid(pen, parts.CAPSULE, [0.006], colour, mass=0.002, fromto=along)
        for goal in range(self.goals):
            cup = parts.free_body(spec, f"cup{goal}")
            parts.cup(cup, self.cup_radius_m, 2 * CUP_HALF_M, parts.GOAL_COLOURS[goal], mass=0.08)

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        place = START + rng.uniform(-1, 1, 2) * START_RANGE * scale
        self._put("pen", np.array([*place, RADIUS_M]), float(rng.uniform(-1, 1)) * START_TURN * scale)
        for goal, cup in enumerate(CUPS):
            self._put(f"cup{goal}", np.array([*(cup + rng.uniform(-1, 1, 2) * CUP_RANGE * scale), CUP_HALF_M]))

    def _tip(self) -> Array:
        """The lower end of the pen (3,) [m]."""
        axis = self.rotation("pen")[:, 0]
        return self.position("pen") - HALF_M * np.sign(axis[2]) * axis

    def _depth_m(self, goal: int) -> float:
        """How far the pen's lower end is below the rim, inside the cup [m]; 0 outside."""
        cup = f"cup{goal}"
        x, y, z = self.rotation(cup).T @ (self._tip() - self.position(cup))
        inside = np.hypot(x, y) < self.cup_radius_m + 0.003 and z > -CUP_HALF_M - 0.01
        return max(0.0, CUP_HALF_M - float(z)) if inside else 0.0

    def _met(self, goal: int) -> bool:
        pen = self._ids["pen"]
        return self._depth_m(goal) > 0.04 and not self.contacts.touching({pen}, self.arms[1].bodies)

    def _mishap(self) -> str:
        if max(self.tilt("cup0"), self.tilt("cup1")) > TIPPED_RAD:
            return "tipped"
        loose = self.velocity("pen")[2] < -FALL_M_S and not self.touched_by_arms("pen")
        return "dropped" if loose and self._depth_m(0) == self._depth_m(1) == 0.0 else ""

    def _excuse(self) -> str:
        return "not_dropped_in" if self.gripped(1, "pen") else "not_grasped"

    def _margin_m(self) -> float:
        return max(0.0, float(self._tip()[2])) if not self.gripped(1, "pen") else float("inf")

    def _advancement(self) -> float:
        if self._depth_m(self.goal) > 0.04:
            return 1.0 if self._met(self.goal) else 0.95
        pen, cup = self.position("pen"), self.position(f"cup{self.goal}")
        held = 0.2 * self.gripped(0, f"cup{self.goal}")
        if not self.gripped(1, "pen"):
            return held + 0.2 * float(np.exp(-np.linalg.norm(self.tool_position(1) - pen) / 0.1))
        return held + 0.3 + 0.4 * float(np.exp(-np.linalg.norm(pen[:2] - cup[:2]) / 0.1))

    def waypoint(self) -> BimanualWaypoint:
        right, phase = self._right()
        return BimanualWaypoint(self._left(), right, phase)

    def _left(self) -> Waypoint:
        name = f"cup{self.goal}"
        cup = self.position(name)
        outward = cup - self.arms[0].base_position  # the turn in which the wrist is at ease
        hold = looking(float(np.arctan2(outward[1], outward[0])), CUP_PITCH)
        if self.gripped(0, name):
            return present(self, 0, name, MEETING, about_z(self.yaw(name)), pace=0.7)
        return come_up_to(self, 0, cup + (0.0, 0.0, 0.005), hold, cone_m=0.01)

    def _right(self) -> tuple[Waypoint, str]:
        pen, cup = self.position("pen"), self.position(f"cup{self.goal}")
        upright = looking(np.pi, 0.0)
        if self._depth_m(self.goal) > SUNK_M - 0.012:
            clear = np.linalg.norm(self.tool_position(1) - pen) > 0.1
            return (at_home(1) if clear else self._let_go(pen, upright)), "let_go"
        if not self.gripped(1, "pen"):
            down = looking(np.pi + self.yaw("pen", np.pi))
            return come_up_to(self, 1, pen + (0.0, 0.0, GRASP_RISE_M), down, close_m=0.005), "reach"
        ready = np.linalg.norm(cup - MEETING) < 0.02
        over = (cup if ready else MEETING + (0.10, 0.0, 0.0)) + (0.0, 0.0, CUP_HALF_M + HALF_M)
        aside = np.linalg.norm(pen[:2] - over[:2]) + np.linalg.norm(self._tip()[:2] - over[:2])
        if ready and aside < 0.015:
            return carry(self, 1, "pen", over - (0.0, 0.0, SUNK_M), upright, pace=0.4), "lower"
        return carry(self, 1, "pen", over + (0.0, 0.0, ABOVE_M), upright), "bring"

    def _let_go(self, pen: Array, upright: Array) -> Waypoint:
        """Open, then back away to the right."""
        away = 0.14 if self.opening(1) > 0.6 else 0.0
        position = pen + (away, 0.0, 0.0) if away else self.tool_position(1)
        return Waypoint(position, upright, OPEN, pace=0.6)
