"""PegInsertion: one arm holds a block with two holes in the air, the other pushes a peg into one of them."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array
from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.moves import come_up_to, present
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, looking

RADIUS_M = 0.009  # peg
TIP_M = 0.084  # middle of the peg's handle to its round tip
HOLES_Y = (-0.02, 0.02)  # [m] the goals, in the block's frame
ENTRY_M, DEEP_M = 0.075, 0.05  # handle to the face with the holes; length of the holes
WALL_M = 0.005
INSERTED_M = 0.03
STARTS = np.array([[0.17, 0.5], [-0.20, 0.5]])  # [m] peg, block
START_RANGE, START_TURN = np.array([0.03, 0.08]), 0.35  # [m], [rad]
MEETING = np.array([-0.10, 0.5, 0.16])  # [m] where the block's handle is held
AHEAD_M = 0.025  # the tip waits so far in front of the hole
GRASP_RISE_M = 0.006  # fingers stay off the table


class PegInsertion(BimanualTask):
    """Push the peg >= 30 mm into the intended hole (of two, 40 mm apart) with `clearance_m` on every side, 1 to 3 mm.

    Both lie on the table at first. The peg breaks when it is pressed harder than `force_limit_n` ("broken"); both break
    when they fall ("dropped").
    """

    name = "PegInsertion"
    instruction = "push the peg into the hole"
    objects = ("peg", "block")
    fragile = ("peg", "block")

    def __init__(self, clearance_m: float = 0.002, force_limit_n: float = 12.0, **options: Any) -> None:
        if not 0.001 <= clearance_m <= 0.003:
            raise InvalidValueError(f"clearance_m is {clearance_m}, must be 0.001 to 0.003 [m]")
        self.clearance_m, self.force_limit_n = clearance_m, force_limit_n
        super().__init__(**options)

    def _build(self, spec: mujoco.MjSpec) -> None:
        peg, block = parts.free_body(spec, "peg"), parts.free_body(spec, "block")
        parts.solid(peg, parts.BOX, [0.03, 0.010, 0.010], [0.85, 0.70, 0.25, 1], mass=0.03)
        parts.solid(
            peg, parts.CAPSULE, [RADIUS_M], [0.80, 0.25, 0.22, 1], mass=0.02, friction=parts.SMOOTH,
            fromto=[-0.02, 0, 0, RADIUS_M - TIP_M, 0, 0],
        )  # fmt: skip
        inner, middle = RADIUS_M + self.clearance_m, ENTRY_M - DEEP_M / 2
        outer = HOLES_Y[1] + inner + WALL_M
        grey, smooth = [0.45, 0.50, 0.55, 1], parts.SMOOTH
        parts.solid(block, parts.BOX, [0.025, 0.011, inner + WALL_M], grey, mass=0.05)
        for z in (-1, 1):
            height = z * (inner + WALL_M / 2)
            parts.solid(
                block,
                parts.BOX,
                [DEEP_M / 2, outer, WALL_M / 2],
                grey,
                mass=0.02,
                pos=[middle, 0, height],
                friction=smooth,
            )
        between = HOLES_Y[1] - inner
        for y, half in ((0.0, between), (outer - WALL_M / 2, WALL_M / 2), (WALL_M / 2 - outer, WALL_M / 2)):
            parts.solid(
                block, parts.BOX, [DEEP_M / 2, half, inner], grey, mass=0.01, pos=[middle, y, 0], friction=smooth
            )
        for y, colour in zip(HOLES_Y, parts.GOAL_COLOURS, strict=False):
            size = [DEEP_M / 2, inner, 0.0005]
            parts.mark(block, parts.BOX, size, colour, pos=[middle, y, inner + WALL_M])

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        for name, start, height in zip(
            self.objects, STARTS, (0.010, RADIUS_M + self.clearance_m + WALL_M), strict=True
        ):
            place = start + rng.uniform(-1, 1, 2) * START_RANGE * scale
            self._put(name, np.array([*place, height]), float(rng.uniform(-1, 1)) * START_TURN * scale)

    def _tip(self) -> Array:
        """Tip of the peg (3,) [m] in the block's frame, from the face with the holes: x grows outward."""
        tip = self.position("peg") - TIP_M * self.rotation("peg")[:, 0]
        return self.rotation("block").T @ (tip - self.position("block")) - (ENTRY_M, 0.0, 0.0)

    def depth_m(self, goal: int) -> float:
        """How deep the tip is in a hole [m]; 0 outside."""
        x, y, z = self._tip()
        inside = max(abs(y - HOLES_Y[goal]), abs(z)) < RADIUS_M
        return max(0.0, -float(x)) if inside else 0.0

    def _met(self, goal: int) -> bool:
        return self.depth_m(goal) >= INSERTED_M

    def _press_n(self) -> float:
        return self.contacts.force_n({self._ids["peg"]}, {self._ids["block"]})

    def _mishap(self) -> str:
        return "broken" if self._lasting("force", self._press_n() > self.force_limit_n) else ""

    def _excuse(self) -> str:
        if not (self.gripped(0, "block") and self.gripped(1, "peg")):
            return "not_grasped"
        return "jammed" if max(self.depth_m(goal) for goal in range(2)) > 0.002 else "not_inserted"

    def _advancement(self) -> float:
        held = 0.2 * (self.gripped(0, "block") + self.gripped(1, "peg"))
        if held < 0.4:
            reach = np.linalg.norm(self.tool_position(1) - self.position("peg"))
            return held + 0.1 * float(np.exp(-reach / 0.1))
        x, y, z = self._tip() - (0.0, HOLES_Y[self.goal], 0.0)
        near = float(np.exp(-np.linalg.norm([max(0.0, x), y, z]) / 0.05))
        return 0.4 + 0.3 * near + 0.3 * min(1.0, self.depth_m(self.goal) / INSERTED_M)

    def waypoint(self) -> BimanualWaypoint:
        holds_block, holds_peg = self.gripped(0, "block"), self.gripped(1, "peg")
        left = present(self, 0, "block", MEETING, np.eye(3)) if holds_block else self._take(0, "block", 0.0)
        if not holds_peg:
            return BimanualWaypoint(left, self._take(1, "peg", np.pi), "reach")
        x, y, z = self._tip() - (0.0, HOLES_Y[self.goal], 0.0)
        aside, turned = np.hypot(y, z), np.abs(self.rotation("block") - self.rotation("peg")).max()
        ready = holds_block and np.linalg.norm(self.position("block") - MEETING) < 0.02
        inside = self.depth_m(self.goal) > 0.003
        insert = ready and (inside or (aside < 0.004 and turned < 0.08 and x < AHEAD_M + 0.015))
        ahead = -INSERTED_M - 0.008 if insert else AHEAD_M
        rotation = self.rotation("block") if ready else np.eye(3)
        origin = self.position("block") if ready else MEETING
        place = origin + rotation @ (ENTRY_M + ahead + TIP_M, HOLES_Y[self.goal], 0.0)
        right = present(self, 1, "peg", place, rotation, pace=0.3 if insert else 0.6)
        return BimanualWaypoint(left, right, "insert" if insert else "align" if ready else "lift")

    def _take(self, side: int, name: str, yaw: float) -> Waypoint:
        grasp = self.position(name) + (0.0, 0.0, GRASP_RISE_M)
        return come_up_to(self, side, grasp, looking(yaw + self.yaw(name)))
