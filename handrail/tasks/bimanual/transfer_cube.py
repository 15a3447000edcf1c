"""TransferCube: one arm takes a cube, hands it over, and the other sets it down on one of two mats."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.moves import OPEN, SQUEEZE, at_home, carry, come_up_to, retreat
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, looking

HALF_M = 0.02
MATS = np.array([[-0.22, 0.40, 0.0], [-0.22, 0.62, 0.0]])  # [m] the goals
START, START_RANGE = np.array([0.18, 0.5]), np.array([0.05, 0.10])  # [m] only the right arm reaches here
START_TURN = 0.5  # [rad]
HANDOVER = np.array([0.0, 0.5, 0.22])
RECEIVE = looking(0.0, 0.0, np.pi / 2)  # horizontal, one finger above, one below
CLEAR_M = 0.09  # the giver's fingers are out of the way
GIVE_PITCH = np.deg2rad(60.0)


class TransferCube(BimanualTask):
    """The right arm takes the cube, the left receives it in the air and sets it on the intended mat (blue or orange).

    Success: the cube rests on the mat, its centre within `tolerance_m` of the mat's, and nothing holds it. It breaks
    when it falls more than about 3 cm ("dropped"), and is lost when it leaves the table ("off_table").
    """

    name = "TransferCube"
    instruction = "hand the cube over and put it on the mat"
    objects = ("cube",)
    fragile = ("cube",)

    def __init__(self, tolerance_m: float = 0.025, **options: Any) -> None:
        self.tolerance_m = tolerance_m
        super().__init__(**options)

    def _build(self, spec: mujoco.MjSpec) -> None:
        cube = parts.free_body(spec, "cube")
        parts.solid(cube, parts.BOX, [HALF_M] * 3, [0.80, 0.25, 0.22, 1], mass=0.06)
        for mat, colour in zip(MATS, parts.GOAL_COLOURS, strict=False):
            size = [HALF_M + self.tolerance_m, 0.001]
            parts.mark(spec.worldbody, parts.CYLINDER, size, colour, pos=list(mat))

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        place = START + rng.uniform(-1, 1, 2) * START_RANGE * scale
        self._put("cube", np.array([*place, HALF_M]), float(rng.uniform(-1, 1)) * START_TURN * scale)

    def _near_mat(self, goal: int) -> bool:
        cube = self.position("cube")
        on_mat = np.linalg.norm(cube[:2] - MATS[goal][:2]) < self.tolerance_m
        return bool(on_mat and cube[2] < HALF_M + 0.004)

    def _met(self, goal: int) -> bool:
        return self._near_mat(goal) and not self.touched_by_arms("cube")

    def _excuse(self) -> str:
        return "not_placed" if self.position("cube")[0] < -0.1 else "not_handed_over"

    def _margin_m(self) -> float:
        return max(0.0, float(self.position("cube")[2]) - HALF_M) if self._in_air() else float("inf")

    def _in_air(self) -> bool:
        return not (self.gripped(0, "cube") or self.gripped(1, "cube")) and self.position("cube")[2] > HALF_M + 0.01

    def _advancement(self) -> float:
        cube, mat = self.position("cube"), MATS[self.goal]
        if self._near_mat(self.goal):
            return 1.0 if self._met(self.goal) else 0.95
        if self.gripped(0, "cube"):
            return 0.6 + 0.35 * float(np.exp(-np.linalg.norm(cube - mat) / 0.1))
        if self.gripped(1, "cube"):
            return 0.3 + 0.3 * float(np.exp(-np.linalg.norm(cube - HANDOVER) / 0.1))
        return 0.3 * float(np.exp(-np.linalg.norm(self.tool_position(1) - cube) / 0.1))

    def waypoint(self) -> BimanualWaypoint:
        cube, mat = self.position("cube"), MATS[self.goal]
        left, right = self.gripped(0, "cube"), self.gripped(1, "cube")
        if self._near_mat(self.goal) or (left and self._lies_on_mat()):
            resting = Waypoint(cube, self._down(), OPEN)
            return BimanualWaypoint(retreat(resting, 0.1 if not left else 0.0), at_home(1), "release")
        if left and right:
            take = Waypoint(cube, RECEIVE, SQUEEZE)
            return BimanualWaypoint(take, Waypoint(cube, self._give(), OPEN), "let_go")
        if left and np.linalg.norm(self.tool_position(1) - cube) < CLEAR_M:
            return BimanualWaypoint(carry(self, 0, "cube", HANDOVER, RECEIVE), at_home(1, OPEN), "part")
        if left:
            over = np.linalg.norm(cube[:2] - mat[:2]) < 0.01
            height = HALF_M + 0.001 if over else 0.10
            place = carry(self, 0, "cube", np.array([*mat[:2], height]), self._down())
            return BimanualWaypoint(place, at_home(1, OPEN), "set_down" if over else "bring")
        if right:
            give = carry(self, 1, "cube", HANDOVER, self._give())
            ready = np.linalg.norm(cube - HANDOVER) < 0.02
            waiting = retreat(Waypoint(HANDOVER, RECEIVE, OPEN))
            receive = come_up_to(self, 0, cube, RECEIVE) if ready else waiting
            return BimanualWaypoint(receive, give, "hand_over" if ready else "lift")
        if cube[0] < -0.12:  # it lies on the left arm's side: no hand-over is needed any more
            yaw = self.yaw("cube", np.pi / 2)
            return BimanualWaypoint(come_up_to(self, 0, cube, looking(yaw)), at_home(1), "reach_left")
        yaw = np.pi + self.yaw("cube", np.pi / 2)
        reach = come_up_to(self, 1, cube, looking(yaw, GIVE_PITCH))
        return BimanualWaypoint(retreat(Waypoint(HANDOVER, looking(0.0, 0.0), OPEN)), reach, "reach")

    def _lies_on_mat(self) -> bool:
        """It touches down, if only with an edge: it lies askew in the fingers, and letting go rights it."""
        cube = self.position("cube")
        over = np.linalg.norm(cube[:2] - MATS[self.goal][:2]) < 0.01
        return bool(over and cube[2] < HALF_M + 0.012 and 0 in self.contacts.touched(self._ids["cube"]))

    def _give(self) -> np.ndarray:
        return looking(np.pi, GIVE_PITCH)

    def _down(self) -> np.ndarray:
        outward = MATS[self.goal] - self.arms[0].base_position  # the turn in which the wrist is at ease
        return looking(float(np.arctan2(outward[1], outward[0])), np.pi / 2, np.pi / 2)
