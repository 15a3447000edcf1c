"""PegInsertion: one arm holds a block with two holes in the air, the other pushes a peg into one of them."""

from __future__ import annotations

import mujoco

from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.held_insertion import HeldInsertion

RADIUS_M = 0.009  # peg
DEEP_M, WALL_M = 0.05, 0.005  # length of the holes, thickness of their walls


class PegInsertion(HeldInsertion):
    """Push the round peg >= 30 mm into the intended hole (of two, 40 mm apart); its round tip finds the way.

    Success, failures and options are those of `HeldInsertion`.
    """

    name = "PegInsertion"
    horizon = 500
    instruction = "push the peg into the hole"
    objects = ("peg", "block")
    fragile = ("peg", "block")
    tip_m = 0.084
    holes_y = (-0.02, 0.02)
    entry_m = 0.075
    inserted_m = 0.03
    slack_m = (RADIUS_M, RADIUS_M)
    turn_limit = 0.08

    @property
    def rest_m(self) -> tuple[float, float]:  # type: ignore[override]
        return 0.010, RADIUS_M + self.clearance_m + WALL_M

    def _build(self, spec: mujoco.MjSpec) -> None:
        peg, block = parts.free_body(spec, "peg"), parts.free_body(spec, "block")
        parts.solid(peg, parts.BOX, [0.03, 0.010, 0.010], [0.85, 0.70, 0.25, 1], mass=0.03)
        parts.solid(
            peg, parts.CAPSULE, [RADIUS_M], [0.80, 0.25, 0.22, 1], mass=0.02, friction=parts.SMOOTH,
            fromto=[-0.02, 0, 0, RADIUS_M - self.tip_m, 0, 0],
        )  # fmt: skip
        inner, middle = RADIUS_M + self.clearance_m, self.entry_m - DEEP_M / 2
        outer = self.holes_y[1] + inner + WALL_M
        grey, smooth = [0.45, 0.50, 0.55, 1], parts.SMOOTH
        parts.solid(block, parts.BOX, [0.025, 0.011, inner + WALL_M], grey, mass=0.05)
        for z in (-1, 1):
            place, size = [middle, 0, z * (inner + WALL_M / 2)], [DEEP_M / 2, outer, WALL_M / 2]
            parts.solid(block, parts.BOX, size, grey, mass=0.02, pos=place, friction=smooth)
        between = self.holes_y[1] - inner
        for y, half in ((0.0, between), (outer - WALL_M / 2, WALL_M / 2), (WALL_M / 2 - outer, WALL_M / 2)):
            size = [DEEP_M / 2, half, inner]
            parts.solid(block, parts.BOX, size, grey, mass=0.01, pos=[middle, y, 0], friction=smooth)
        for y, colour in zip(self.holes_y, parts.GOAL_COLOURS, strict=False):
            size = [DEEP_M / 2, inner, 0.0005]
            parts.mark(block, parts.BOX, size, colour, pos=[middle, y, inner + WALL_M])
