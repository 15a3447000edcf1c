"""LidOpen: one arm holds a light jar, the other pulls off its tight lid and puts it on one of two coasters."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.clock import SECOND_NS
from handrail.core.values import Array
from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.moves import OPEN, at_home, carry, come_up_to
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, looking
from handrail.tasks.physics import Tick

JAR_RADIUS_M, JAR_HALF_M, NECK_M = 0.023, 0.040, 0.012
SEAT_M = JAR_HALF_M + NECK_M + 0.004  # middle of the jar to the middle of a lid that is on
LID_REST_M = 0.014  # height of a lid that lies on its skirt
KNOB_M = 0.019  # lid to the middle of its knob
COASTERS = np.array([[0.22, 0.38, 0.0], [0.22, 0.63, 0.0]])  # [m] the goals
START, START_RANGE, START_TURN = np.array([-0.02, 0.5]), np.array([0.03, 0.06]), 0.4  # [m], [m], [rad]
SEAL_M = 0.004  # the lid is sucked down until it is lifted so far
HOLD_PITCH = np.deg2rad(35.0)
GRASP_M = -0.008  # where the jar is held, over its middle
HIGH_M, CLEAR_M = 0.20, 0.10  # height of the lid on its way; the fingers are out of the way
SPILT_RAD = np.deg2rad(40.0)


class LidOpen(BimanualTask):
    """Hold the jar with the left arm, pull the lid off with the right and put it on the intended coaster.

    The lid sits with `seal_n` (ours: a constant pull over its first 4 mm), more than the jar weighs: pulled with one
    hand, the jar comes along. Success: the lid lies on the coaster, its middle within `tolerance_m`, nothing holds it,
    and the jar stands. The jar is lost when it tips ("spilt"), either when it falls ("dropped").
    """

    name = "LidOpen"
    horizon = 550
    instruction = "open the jar and put the lid on the coaster"
    objects = ("jar", "lid")
    fragile = ("jar", "lid")

    def __init__(self, seal_n: float = 7.0, tolerance_m: float = 0.03, **options: Any) -> None:
        self.seal_n, self.tolerance_m = seal_n, tolerance_m
        super().__init__(**options)
        self._ticks = (Tick(round(self.model.opt.timestep * SECOND_NS), self._seal),)

    def _build(self, spec: mujoco.MjSpec) -> None:
        jar, lid = parts.free_body(spec, "jar"), parts.free_body(spec, "lid")
        glass, tin = [0.60, 0.78, 0.70, 0.9], [0.78, 0.28, 0.25, 1]
        parts.solid(jar, parts.CYLINDER, [JAR_RADIUS_M, JAR_HALF_M], glass, mass=0.20)
        neck = [0, 0, JAR_HALF_M + NECK_M / 2]
        parts.solid(jar, parts.CYLINDER, [0.016, NECK_M / 2], glass, mass=0.01, pos=neck, friction=parts.SMOOTH)
        parts.solid(lid, parts.CYLINDER, [0.024, 0.004], tin, mass=0.02, friction=parts.SMOOTH)
        parts.solid(lid, parts.BOX, [0.011, 0.011, 0.015], [0.3, 0.3, 0.33, 1], mass=0.015, pos=[0, 0, KNOB_M])
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            size = [0.002 if x else 0.022, 0.002 if y else 0.022, 0.005]
            place = [0.0205 * x, 0.0205 * y, -0.009]
            parts.solid(lid, parts.BOX, size, tin, mass=0.003, pos=place, friction=parts.SMOOTH)
        for coaster, colour in zip(COASTERS, parts.GOAL_COLOURS, strict=False):
            parts.mark(spec.worldbody, parts.CYLINDER, [0.024 + self.tolerance_m, 0.001], colour, pos=[*coaster])

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        place = START + rng.uniform(-1, 1, 2) * START_RANGE * scale
        yaw = float(rng.uniform(-1, 1)) * START_TURN * scale
        self._put("jar", np.array([*place, JAR_HALF_M]), yaw)
        self._put("lid", np.array([*place, JAR_HALF_M + SEAT_M]), yaw)

    def _lid(self) -> Array:
        """Middle of the lid (3,) [m] in the jar's frame."""
        return self.rotation("jar").T @ (self.position("lid") - self.position("jar"))

    def _seated(self) -> bool:
        x, y, z = self._lid()
        return bool(np.hypot(x, y) < 0.01 and -0.004 < z - SEAT_M < SEAL_M)

    def _seal(self) -> None:
        """Pull jar and lid together while the lid is on: equal and opposite forces along the jar's axis."""
        force = self.seal_n * self.rotation("jar")[:, 2] if self._seated() else np.zeros(3)
        for name, sign in (("jar", 1.0), ("lid", -1.0)):
            self.data.xfrc_applied[self._ids[name], :3] = sign * force

    def _on_coaster(self, goal: int) -> bool:
        lid = self.position("lid")
        near = np.linalg.norm(lid[:2] - COASTERS[goal][:2]) < self.tolerance_m
        return bool(near and lid[2] < LID_REST_M + 0.004 and self.tilt("lid") < 0.2)

    def _met(self, goal: int) -> bool:
        return self._on_coaster(goal) and not self.touched_by_arms("lid") and self.tilt("jar") < 0.2

    def _mishap(self) -> str:
        return "spilt" if self.tilt("jar") > SPILT_RAD else ""

    def _excuse(self) -> str:
        return "not_opened" if self._seated() else "not_put_down"

    def _margin_m(self) -> float:
        return max(0.0, 2 * JAR_HALF_M * (SPILT_RAD - self.tilt("jar")))  # what the jar's top may still swing

    def _advancement(self) -> float:
        if self._on_coaster(self.goal):
            return 1.0 if self._met(self.goal) else 0.95
        lid, coaster = self.position("lid"), COASTERS[self.goal]
        if not self._seated():
            return 0.5 + 0.4 * float(np.exp(-np.linalg.norm(lid - coaster) / 0.15))
        held = 0.15 * (self.gripped(0, "jar") + self.gripped(1, "lid"))
        reach = np.linalg.norm(self.tool_position(1) - lid) + np.linalg.norm(
            self.tool_position(0) - self.position("jar")
        )
        return held + 0.2 * float(np.exp(-reach / 0.1))

    def waypoint(self) -> BimanualWaypoint:
        right, phase = self._right()
        return BimanualWaypoint(self._left(), right, phase)

    def _left(self) -> Waypoint:
        jar = self.position("jar")
        outward = jar - self.arms[0].base_position  # the turn in which the wrist is at ease
        hold = looking(float(np.arctan2(outward[1], outward[0])), HOLD_PITCH)
        if self.gripped(0, "jar"):  # keep it standing where it is
            return carry(self, 0, "jar", np.array([*jar[:2], JAR_HALF_M]), hold)
        return come_up_to(self, 0, jar + (0.0, 0.0, GRASP_M), hold, standoff_m=0.09, cone_m=0.015)

    def _right(self) -> tuple[Waypoint, str]:
        lid, coaster = self.position("lid"), COASTERS[self.goal]
        down = looking(np.pi + self.yaw("lid", np.pi / 2))
        knob = lid + (0.0, 0.0, KNOB_M + 0.004)
        if self._on_coaster(self.goal):
            if np.linalg.norm(self.tool_position(1) - knob) > CLEAR_M:
                return at_home(1), "done"
            opened = self.opening(1) > 0.7
            return Waypoint(knob + (0.0, 0.0, CLEAR_M + 0.04 if opened else 0.0), down, OPEN, pace=0.6), "release"
        if not self.gripped(1, "lid"):
            return come_up_to(self, 1, knob, down), "reach"
        if self._seated():
            jar = self.position("jar")
            pull = carry(self, 1, "lid", np.array([*jar[:2], HIGH_M]), down, pace=0.4)
            wait = Waypoint(knob, down, 0.0)
            return (pull, "pull") if self.gripped(0, "jar") else (wait, "wait")
        straight = looking(np.pi)
        if np.linalg.norm(lid[:2] - coaster[:2]) < 0.01:
            return carry(self, 1, "lid", coaster + (0.0, 0.0, LID_REST_M), straight, pace=0.5), "put_down"
        over = coaster[:2] if lid[2] > 0.14 or lid[0] > 0.12 else lid[:2]
        return carry(self, 1, "lid", np.array([*over, 0.16]), straight), "bring"
