"""TrayCarry: both arms carry a tray with a loose ball on it to one of two stands."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.values import Array
from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.moves import OPEN, at_home, come_up_to, present, retreat
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, both, looking

HALF_M = np.array([0.13, 0.08])  # of the tray
PLATE_M = 0.004  # half its thickness
HANDLE_M, HANDLE_HALF_M = 0.142, (0.014, 0.012, 0.026)  # from the middle; size
GRASP_M = 0.034  # height of the grasp over the tray's middle plane
BALL_M = 0.018
STANDS = np.array([[0.0, 0.335, 0.05], [0.0, 0.665, 0.05]])  # [m] the goals: middle of their tops
STAND_HALF_M = (0.09, 0.05)
START_RANGE, START_TURN = np.array([0.03, 0.015]), 0.12  # [m], [rad]
CARRY_M = 0.13  # height of the tray on its way
CLEAR_M = 0.06  # the fingers are out of the way
PACE = 0.45


class TrayCarry(BimanualTask):
    """Lift the tray by both handles, carry it to the intended stand and let go; the ball must stay on it.

    Success: the tray stands on the stand, its middle within `tolerance_m`, nothing holds it, and the ball is on it.
    The ball rolls over the rim (`rim_m` high) when the tray is tilted or jerked: "ball_off". The tray breaks when it
    falls ("dropped").
    """

    name = "TrayCarry"
    instruction = "carry the tray to the stand"
    objects = ("tray", "ball")
    fragile = ("tray",)
    round = ("ball",)
    extra_dim = 3  # velocity of the ball [m/s]

    def __init__(self, tolerance_m: float = 0.03, rim_m: float = 0.004, **options: Any) -> None:
        self.tolerance_m, self.rim_m = tolerance_m, rim_m
        super().__init__(**options)

    def _build(self, spec: mujoco.MjSpec) -> None:
        tray, ball = parts.free_body(spec, "tray"), parts.free_body(spec, "ball")
        steel, smooth = [0.72, 0.74, 0.78, 1], (0.6, 0.005, 0.0002)
        parts.solid(tray, parts.BOX, [*HALF_M, PLATE_M], steel, mass=0.20, friction=smooth)
        for sign in (-1, 1):
            parts.solid(
                tray, parts.BOX, HANDLE_HALF_M, [0.25, 0.27, 0.30, 1], mass=0.03,
                pos=[sign * HANDLE_M, 0, HANDLE_HALF_M[2] - PLATE_M],
            )  # fmt: skip
            height = PLATE_M + self.rim_m / 2
            long, short = [HALF_M[0], 0.003, self.rim_m / 2], [0.003, HALF_M[1], self.rim_m / 2]
            parts.solid(
                tray, parts.BOX, long, steel, mass=0.01, pos=[0, sign * (HALF_M[1] - 0.003), height], friction=smooth
            )
            parts.solid(
                tray, parts.BOX, short, steel, mass=0.01, pos=[sign * (HALF_M[0] - 0.003), 0, height], friction=smooth
            )
        parts.solid(ball, parts.BALL, [BALL_M], [0.80, 0.25, 0.22, 1], mass=0.03, condim=6, friction=smooth)
        for (x, y, top), colour in zip(STANDS, parts.GOAL_COLOURS, strict=False):
            half = top / 2
            parts.solid(spec.worldbody, parts.BOX, [*STAND_HALF_M, half], colour, pos=[x, y, half])

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        place = np.array([0.0, 0.5]) + rng.uniform(-1, 1, 2) * START_RANGE * scale
        self._put("tray", np.array([*place, PLATE_M]), float(rng.uniform(-1, 1)) * START_TURN * scale)
        ball = rng.uniform(-0.5, 0.5, 2) * HALF_M
        self._put("ball", np.array([*(place + ball), 2 * PLATE_M + BALL_M]))

    def _features(self) -> Array:
        return self.velocity("ball")

    def _ball(self) -> Array:
        """Middle of the ball (3,) [m] in the tray's frame."""
        return self.rotation("tray").T @ (self.position("ball") - self.position("tray"))

    def _on_stand(self, goal: int) -> bool:
        tray, stand = self.position("tray"), STANDS[goal]
        aside = np.linalg.norm(tray[:2] - stand[:2])
        return bool(aside < self.tolerance_m and abs(tray[2] - stand[2] - PLATE_M) < 0.004 and self.tilt("tray") < 0.1)

    def _met(self, goal: int) -> bool:
        return self._on_stand(goal) and not self.touched_by_arms("tray")

    def _mishap(self) -> str:
        x, y, z = self._ball()
        off = abs(x) > HALF_M[0] or abs(y) > HALF_M[1] or z < 0.0
        return "ball_off" if off and not self.gripped(0, "ball") and not self.gripped(1, "ball") else ""

    def _excuse(self) -> str:
        return "not_set_down" if self.position("tray")[2] > PLATE_M + 0.01 else "not_lifted"

    def _margin_m(self) -> float:
        return float(max(0.0, (HALF_M - np.abs(self._ball()[:2])).min()))

    def _advancement(self) -> float:
        if self._on_stand(self.goal):
            return 1.0 if self._met(self.goal) else 0.95
        away = np.linalg.norm(self.position("tray") - STANDS[self.goal])
        if self.gripped(0, "tray") and self.gripped(1, "tray"):
            return 0.3 + 0.6 * float(np.exp(-away / 0.1))
        grasps = [self._grasp(side)[0] for side in (0, 1)]
        reach = max(np.linalg.norm(self.tool_position(side) - grasps[side]) for side in (0, 1))
        return 0.3 * float(np.exp(-reach / 0.1))

    def _grasp(self, side: int) -> tuple[Array, Array]:
        """Where a tool grasps its handle: position (3,), quaternion (4,)."""
        offset = ((-1, 1)[side] * HANDLE_M, 0.0, GRASP_M)
        place = self.position("tray") + self.rotation("tray") @ offset
        return place, looking((0.0, np.pi)[side] + self.yaw("tray"))

    def waypoint(self) -> BimanualWaypoint:
        tray, stand = self.position("tray"), STANDS[self.goal]
        if self._on_stand(self.goal):
            return both(self._release, "release")
        if not (self.gripped(0, "tray") and self.gripped(1, "tray")):
            return both(lambda side: come_up_to(self, side, *self._grasp(side)), "reach")
        aside = np.linalg.norm(tray[:2] - stand[:2])
        if aside < 0.012:
            place, phase = stand + (0.0, 0.0, PLATE_M - 0.003), "set_down"
        elif tray[2] < CARRY_M - 0.02:
            place, phase = np.array([*tray[:2], CARRY_M]), "lift"
        else:
            place, phase = np.array([*stand[:2], CARRY_M]), "carry"
        return both(lambda side: present(self, side, "tray", place, np.eye(3), pace=PACE), phase)

    def _release(self, side: int) -> Waypoint:
        """Open, then up, then home."""
        grasp = Waypoint(*self._grasp(side), OPEN)
        if np.linalg.norm(self.tool_position(side) - grasp.position) > CLEAR_M:
            return at_home(side)
        return retreat(grasp, CLEAR_M + 0.03 if self.opening(side) > 0.6 else 0.0)
