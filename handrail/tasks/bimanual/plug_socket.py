"""PlugSocket: one arm holds a power strip in the air, the other pushes a plug into one of its two sockets."""

from __future__ import annotations

import mujoco
import numpy as np

from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.held_insertion import HeldInsertion

PRONG_HALF_M = np.array([0.009, 0.002, 0.004])  # length, thickness, height
POINT_HALF_M = np.array([0.002, 0.001, 0.003])  # of the thinner end of a prong
APART_M = 0.008  # a prong from the middle of the plug
BODY_HALF_M = 0.02
DEEP_M, HALF_HEIGHT_M = 0.018, 0.013  # of the strip: depth of the slots, half its height


class PlugSocket(HeldInsertion):
    """Push both flat prongs of the plug >= 13 mm into the intended socket (of two, 60 mm apart).

    Unlike a round peg the plug has to be turned right, and only the thinner ends of its prongs forgive anything.
    Success, failures and options are those of `HeldInsertion`.
    """

    name = "PlugSocket"
    instruction = "plug it into the socket"
    objects = ("plug", "strip")
    fragile = ("plug", "strip")
    tip_m = BODY_HALF_M + 2 * PRONG_HALF_M[0] + 2 * POINT_HALF_M[0]
    holes_y = (-0.03, 0.03)
    entry_m = 0.06
    inserted_m = 0.013
    slack_m = (0.005, 0.005)
    turn_limit = 0.06
    rest_m = (0.011, HALF_HEIGHT_M)

    def _build(self, spec: mujoco.MjSpec) -> None:
        plug, strip = parts.free_body(spec, "plug"), parts.free_body(spec, "strip")
        parts.solid(plug, parts.BOX, [BODY_HALF_M, 0.013, 0.011], [0.85, 0.70, 0.25, 1], mass=0.04)
        for side in (-1, 1):
            for half, x in ((PRONG_HALF_M, -BODY_HALF_M), (POINT_HALF_M, -BODY_HALF_M - 2 * PRONG_HALF_M[0])):
                place, brass = [x - half[0], side * APART_M, 0], [0.80, 0.25, 0.22, 1]
                parts.solid(plug, parts.BOX, [*half], brass, mass=0.002, pos=place, friction=parts.SMOOTH)
        self._add_strip(strip)

    def _add_strip(self, strip: mujoco.MjsBody) -> None:
        """A handle, and in front of it walls that leave four slots free."""
        grey, smooth, middle = [0.45, 0.50, 0.55, 1], parts.SMOOTH, self.entry_m - DEEP_M / 2
        back = self.entry_m - DEEP_M
        parts.solid(
            strip, parts.BOX, [(back + 0.02) / 2, 0.012, HALF_HEIGHT_M], grey, mass=0.06, pos=[(back - 0.02) / 2, 0, 0]
        )
        wide, high = PRONG_HALF_M[1] + self.clearance_m, PRONG_HALF_M[2] + self.clearance_m
        slots = sorted(hole + side * APART_M for hole in self.holes_y for side in (-1, 1))
        edges = [-0.05, *(slot + side * wide for slot in slots for side in (-1, 1)), 0.05]
        for low, top in zip(edges[::2], edges[1::2], strict=True):
            size, place = [DEEP_M / 2, (top - low) / 2, high], [middle, (low + top) / 2, 0]
            parts.solid(strip, parts.BOX, size, grey, mass=0.01, pos=place, friction=smooth)
        half = (HALF_HEIGHT_M - high) / 2
        for side in (-1, 1):
            size, place = [DEEP_M / 2, 0.05, half], [middle, 0, side * (high + half)]
            parts.solid(strip, parts.BOX, size, grey, mass=0.02, pos=place, friction=smooth)
        for y, colour in zip(self.holes_y, parts.GOAL_COLOURS, strict=False):
            parts.mark(strip, parts.BOX, [DEEP_M / 2, 0.015, 0.0005], colour, pos=[middle, y, HALF_HEIGHT_M])
