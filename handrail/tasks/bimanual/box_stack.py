"""BoxStack: a box too wide for one hand is pressed between two, lifted, and stacked on one of two others."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.values import Array
from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.moves import at_home
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, both, looking

HALF_M = np.array([0.11, 0.055, 0.045])  # of the wide box
BASES = np.array([[0.0, 0.33, 0.07], [0.0, 0.67, 0.07]])  # [m] the goals: middle of the tops of the lower boxes
BASE_HALF_M = 0.055
START_RANGE, START_TURN = np.array([0.03, 0.02]), 0.15  # [m], [rad]
PITCH = np.deg2rad(60.0)
TIP_M = 0.0137 * np.cos(PITCH) + 0.01 * np.sin(PITCH)  # tool point to the foremost edge of the finger tips
GRIP = 0.35  # fingers apart: four contacts
SQUEEZE_M = 0.007  # how far inside the faces the hands aim
FIRM_N = 4.0  # each hand presses at least so hard before the lift
CARRY_M = 0.16  # height of the box on its way
PACE = 0.5
TOPPLED_RAD = np.deg2rad(45.0)


class BoxStack(BimanualTask):
    """Press the wide box between both hands, lift it and set it on the intended lower box.

    Success: it stands there, its middle within `tolerance_m`, and nothing holds it. It is lost when it slips and falls
    ("dropped"), turns over ("toppled") or is pressed with more than `force_limit_n` ("crushed").
    """

    name = "BoxStack"
    instruction = "stack the wide box"
    objects = ("box",)
    fragile = ("box",)

    def __init__(self, tolerance_m: float = 0.03, force_limit_n: float = 60.0, **options: Any) -> None:
        self.tolerance_m, self.force_limit_n = tolerance_m, force_limit_n
        super().__init__(**options)

    def _build(self, spec: mujoco.MjSpec) -> None:
        box = parts.free_body(spec, "box")
        parts.solid(box, parts.BOX, [*HALF_M], [0.80, 0.62, 0.40, 1], mass=0.35, friction=(0.9, 0.02, 0.001))
        parts.mark(box, parts.BOX, [HALF_M[0] + 0.0005, 0.01, HALF_M[2] + 0.0005], [0.65, 0.45, 0.25, 1])
        for (x, y, top), colour in zip(BASES, parts.GOAL_COLOURS, strict=False):
            parts.solid(spec.worldbody, parts.BOX, [BASE_HALF_M, BASE_HALF_M, top / 2], colour, pos=[x, y, top / 2])

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        place = np.array([0.0, 0.5]) + rng.uniform(-1, 1, 2) * START_RANGE * scale
        self._put("box", np.array([*place, HALF_M[2]]), float(rng.uniform(-1, 1)) * START_TURN * scale)

    def _on_base(self, goal: int) -> bool:
        box, base = self.position("box"), BASES[goal]
        aside = np.linalg.norm(box[:2] - base[:2])
        return bool(aside < self.tolerance_m and abs(box[2] - base[2] - HALF_M[2]) < 0.004 and self.tilt("box") < 0.1)

    def _met(self, goal: int) -> bool:
        return self._on_base(goal) and not self.touched_by_arms("box")

    def _press_n(self, side: int) -> float:
        return self.contacts.force_n(self.arms[side].bodies, {self._ids["box"]})

    def _mishap(self) -> str:
        if self._lasting("force", max(self._press_n(0), self._press_n(1)) > self.force_limit_n):
            return "crushed"
        return "toppled" if self.tilt("box") > TOPPLED_RAD else ""

    def _excuse(self) -> str:
        return "not_stacked" if self._in_air() else "not_lifted"

    def _in_air(self) -> bool:
        return bool(self.position("box")[2] > HALF_M[2] + 0.01)

    def _margin_m(self) -> float:
        if not self._in_air() or any(self._on_base(goal) for goal in range(2)):
            return float("inf")
        return float(0.01 * min(self._press_n(0), self._press_n(1)) / FIRM_N)  # ours: 1 cm for each firm press

    def _advancement(self) -> float:
        if self._on_base(self.goal):
            return 1.0 if self._met(self.goal) else 0.95
        if min(self._press_n(0), self._press_n(1)) > 0.0:
            away = np.linalg.norm(self.position("box") - BASES[self.goal] - (0.0, 0.0, HALF_M[2]))
            return 0.3 + 0.6 * float(np.exp(-away / 0.1))
        box = self.position("box")
        reach = max(np.linalg.norm(self.tool_position(side) - self._hand(side, box, 0.0).position) for side in (0, 1))
        return 0.3 * float(np.exp(-reach / 0.1))

    def _hand(self, side: int, place: Array, gap_m: float, yaw: float | None = None, pace: float = 1.0) -> Waypoint:
        """A hand at its face of the box, were that at `place` (3,): `gap_m` outside of it, or inside if negative."""
        turn = self.yaw("box", np.pi) if yaw is None else yaw
        outward = (-1, 1)[side] * np.array([np.cos(turn), np.sin(turn), 0.0])
        return Waypoint(
            place + (HALF_M[0] + TIP_M + gap_m) * outward + (0.0, 0.0, 0.01),
            looking((0.0, np.pi)[side] + turn, PITCH), GRIP, contact=gap_m <= 0.0, pace=pace,
        )  # fmt: skip

    def waypoint(self) -> BimanualWaypoint:
        box, base = self.position("box"), BASES[self.goal]
        if self._on_base(self.goal):
            free = not self.touched_by_arms("box")
            return both(lambda side: at_home(side) if free else self._hand(side, box, 0.05, pace=PACE), "release")
        firm = min(self._press_n(0), self._press_n(1))
        if firm > FIRM_N or (self._in_air() and firm > 0.0):
            return self._carry(box, base)
        beside = self._hand(0, box, 0.03), self._hand(1, box, 0.03)
        ready = all(self._beside(side, waypoint) for side, waypoint in enumerate(beside))
        if not ready:
            return BimanualWaypoint(*beside, "reach")
        return both(lambda side: self._hand(side, box, -SQUEEZE_M, pace=0.3), "press")

    def _beside(self, side: int, waypoint: Waypoint) -> bool:
        """The hand is at the height and turn of its face, not farther out than the waypoint beside it."""
        error = self.tool_position(side) - waypoint.position
        outward = (-1, 1)[side] * self.rotation("box")[:, 0]
        along = float(error @ outward)
        return along < 0.012 and float(np.linalg.norm(error - along * outward)) < 0.02

    def _carry(self, box: Array, base: Array) -> BimanualWaypoint:
        if np.linalg.norm(box[:2] - base[:2]) < 0.012:
            place, phase = base + (0.0, 0.0, HALF_M[2] - 0.002), "set_down"
        elif box[2] < CARRY_M - 0.02:
            place, phase = np.array([*box[:2], CARRY_M]), "lift"
        else:
            place, phase = np.array([*base[:2], CARRY_M]), "carry"
        yaw = self.yaw("box", np.pi) if phase == "lift" else 0.0
        return both(lambda side: self._hand(side, place, -SQUEEZE_M, yaw, PACE), phase)
