"""Pour: one arm brings one of two bowls and holds it, the other pours beads from a jug into it."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.values import Array
from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.kinematics import about_y, about_z
from handrail.tasks.bimanual.moves import come_up_to, present
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, looking

BEADS, BEAD_M = 10, 0.008
JUG_RADIUS_M, JUG_HALF_M = 0.021, 0.04
BOWL_RADIUS_M, BOWL_HALF_M, HANDLE_M = 0.04, 0.02, -0.058  # the handle is toward the left arm
BOWLS, BOWL_RANGE, BOWL_TURN = np.array([[-0.13, 0.37], [-0.13, 0.63]]), np.array([0.015, 0.015]), 0.3  # the goals
START, START_RANGE = np.array([0.09, 0.5]), np.array([0.02, 0.05])  # [m] of the jug
MEETING = np.array([-0.05, 0.5, 0.05])  # [m] where the bowl is held
ABOVE_M, RISE_M, ASIDE_M = (
    0.03,
    0.065,
    0.012,
)  # the jug's lip: over the bowl's rim, more before it tilts, off its middle
GRASP_PITCH = np.deg2rad(15.0)
EMPTY_RAD = np.deg2rad(110.0)  # a jug that is tilted so far is empty
ENOUGH = 9  # beads in the bowl


class Pour(BimanualTask):
    """Hold the intended bowl with the left arm and pour the beads into it with the right.

    Success: at least 9 of 10 beads lie in that bowl. `spill_limit` beads beside jug and bowls are too many ("spilt");
    a vessel that falls is lost ("dropped").
    """

    name = "Pour"
    instruction = "pour the beads into the bowl"
    objects = ("jug", "bowl0", "bowl1")
    fragile = ("jug", "bowl0", "bowl1")
    extra_dim = 4  # shares of the beads in the jug, in each bowl, and spilt

    def __init__(self, spill_limit: int = 2, **options: Any) -> None:
        self.spill_limit = spill_limit
        super().__init__(**options)
        self._beads = np.array([self.model.body(f"bead{i}").id for i in range(BEADS)])
        self._bead_places = self.model.jnt_qposadr[self.model.body_jntadr[self._beads]]

    def _build(self, spec: mujoco.MjSpec) -> None:
        jug = parts.free_body(spec, "jug")
        parts.cup(jug, JUG_RADIUS_M, 2 * JUG_HALF_M, [0.75, 0.85, 0.90, 0.6], mass=0.08)
        for goal in range(self.goals):
            bowl, colour = parts.free_body(spec, f"bowl{goal}"), parts.GOAL_COLOURS[goal]
            parts.cup(bowl, BOWL_RADIUS_M, 2 * BOWL_HALF_M, colour, mass=0.10)
            parts.solid(bowl, parts.BOX, [0.016, 0.011, BOWL_HALF_M], colour, mass=0.03, pos=[HANDLE_M, 0, 0])
        for i in range(BEADS):
            bead = parts.free_body(spec, f"bead{i}")
            red = [0.80, 0.25, 0.22, 1]
            parts.solid(bead, parts.BALL, [BEAD_M], red, mass=0.002, condim=1, priority=2)  # they flow

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        jug = np.array([*(START + rng.uniform(-1, 1, 2) * START_RANGE * scale), JUG_HALF_M])
        self._put("jug", jug)
        for goal, place in enumerate(BOWLS):
            turn = float(rng.uniform(-1, 1)) * BOWL_TURN * scale
            self._put(
                f"bowl{goal}", np.array([*(place + rng.uniform(-1, 1, 2) * BOWL_RANGE * scale), BOWL_HALF_M]), turn
            )
        for i, place in enumerate(self._bead_places):
            angle, layer = 2 * np.pi * (i % 3) / 3 + 0.5 * (i // 3), i // 3
            offset = (0.0105 * np.cos(angle), 0.0105 * np.sin(angle), 0.018 + 0.0165 * layer - JUG_HALF_M)
            self.data.qpos[place : place + 3] = jug + offset

    def _inside(self, name: str, radius: float, half: float) -> Array:
        """(BEADS,) whether each bead is in this vessel."""
        local = (self.data.xpos[self._beads] - self.position(name)) @ self.rotation(name)
        return (np.hypot(local[:, 0], local[:, 1]) < radius + 0.004) & (np.abs(local[:, 2]) < half + 0.004)

    def _counts(self) -> Array:
        """(4,) beads in the jug, in each bowl, and spilt: under a rim and in none."""
        jug = self._inside("jug", JUG_RADIUS_M, JUG_HALF_M)
        bowls = [self._inside(f"bowl{goal}", BOWL_RADIUS_M, BOWL_HALF_M) for goal in range(self.goals)]
        low = self.data.xpos[self._beads][:, 2] < BEAD_M + 0.004
        return np.array([jug.sum(), bowls[0].sum(), bowls[1].sum(), (low & ~jug & ~bowls[0] & ~bowls[1]).sum()])

    def _features(self) -> Array:
        return self._counts() / BEADS

    def _met(self, goal: int) -> bool:
        return bool(self._counts()[1 + goal] >= ENOUGH)

    def _mishap(self) -> str:
        return "spilt" if self._counts()[3] >= self.spill_limit else ""

    def _excuse(self) -> str:
        return "not_poured" if self.gripped(1, "jug") else "not_grasped"

    def _margin_m(self) -> float:
        """What the jug's lip may still sink before the first bead leaves it, unless a bowl is below."""
        over = np.linalg.norm(self._lip()[:2] - self.position(f"bowl{self.goal}")[:2]) < BOWL_RADIUS_M
        return float("inf") if over else max(0.0, 2 * JUG_RADIUS_M * (np.pi / 3 - self.tilt("jug")))

    def _lip(self) -> Array:
        """The jug's lip on its -x side (3,) [m]."""
        return self.position("jug") + self.rotation("jug") @ (-JUG_RADIUS_M, 0.0, JUG_HALF_M)

    def _advancement(self) -> float:
        share = self._counts()[1 + self.goal] / BEADS
        held = 0.15 * (self.gripped(0, f"bowl{self.goal}") + self.gripped(1, "jug"))
        over = np.linalg.norm(self._lip()[:2] - self.position(f"bowl{self.goal}")[:2])
        return 1.0 if share >= 0.1 * ENOUGH else held + 0.3 * float(np.exp(-over / 0.1)) + 0.4 * share

    def waypoint(self) -> BimanualWaypoint:
        right, phase = self._right()
        return BimanualWaypoint(self._left(), right, phase)

    def _left(self) -> Waypoint:
        name = f"bowl{self.goal}"
        if self.gripped(0, name):
            return present(self, 0, name, MEETING, np.eye(3), pace=0.7)
        handle = self.position(name) + self.rotation(name) @ (HANDLE_M, 0.0, 0.004)
        return come_up_to(self, 0, handle, looking(self.yaw(name)))

    def _right(self) -> tuple[Waypoint, str]:
        jug, bowl = self.position("jug"), self.position(f"bowl{self.goal}")
        if not self.gripped(1, "jug"):
            outward = jug - self.arms[1].base_position  # the turn in which the wrist is at ease
            grasp = looking(float(np.arctan2(outward[1], outward[0])), GRASP_PITCH)
            return come_up_to(self, 1, jug + (0.0, 0.0, 0.005), grasp, standoff_m=0.09, cone_m=0.01), "reach"
        ready = np.linalg.norm(bowl - MEETING) < 0.02
        middle = bowl if ready else MEETING + (0.12, 0.0, 0.0)
        rise = RISE_M * max(0.0, 1.0 - self.tilt("jug") / 0.8)  # an upright jug comes in over the bowl's rim
        lip = middle + (ASIDE_M, 0.0, BOWL_HALF_M + ABOVE_M + rise)
        over = ready and np.linalg.norm(self._lip() - lip) < 0.03
        turn = about_z(self.yaw("jug", 2 * np.pi) if self.tilt("jug") < 0.5 else 0.0)
        if not over:
            place = lip - turn @ (-JUG_RADIUS_M, 0.0, JUG_HALF_M)
            return present(self, 1, "jug", place, turn, pace=0.7), "bring"
        tilt = about_y(-min(EMPTY_RAD, self.tilt("jug") + 0.3))
        return present(self, 1, "jug", lip - tilt @ (-JUG_RADIUS_M, 0.0, JUG_HALF_M), tilt, pace=0.4), "pour"
