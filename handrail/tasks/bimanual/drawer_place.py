"""DrawerPlace: one arm pulls a drawer that closes by itself and holds it, the other puts a glass in a compartment."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.values import Array
from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.moves import SQUEEZE, at_home, carry, come_up_to
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, looking

CABINET, CABINET_RANGE, CABINET_TURN = np.array([0.09, 0.5]), np.array([0.015, 0.04]), 0.12  # [m], [m], [rad]
CABINET_HALF_M = (0.075, 0.085, 0.032)
TRAVEL_M, OPEN_M = 0.12, 0.09  # of the drawer; how far it is pulled before the glass comes
SPRING_N_M = 18.0
DRAWER_HALF_M = (0.065, 0.070, 0.020)
FLOOR_M = 0.010  # top of the drawer's floor over the table
COMPARTMENTS = np.array([[-0.015, -0.034], [-0.015, 0.034]])  # [m] the goals: middles in the drawer's frame
HANDLE_M = -0.115  # in the drawer's frame
GLASS_RADIUS_M, GLASS_HALF_M = 0.016, 0.022
GLASS_START, GLASS_RANGE = np.array([0.255, 0.42]), np.array([0.02, 0.06])
GENTLE, LET_GO = 0.33, 0.8  # openings: a press of about 5 N; free of the glass, inside the compartment
CLEAR_M = 0.08  # the fingers are out of the compartment
HIGH_M = 0.15  # height of the glass on its way
HOLD_PITCH, PLACE_YAW = np.deg2rad(55.0), np.pi / 2


class DrawerPlace(BimanualTask):
    """Hold the sprung drawer open with the left arm, put the glass into the intended compartment with the right.

    Success: the glass stands in the compartment, and nothing holds it. It breaks when anything presses it with more
    than `force_limit_n` ("broken") or when it falls ("dropped"). A full squeeze of the gripper is 12 N: the fingers
    must be closed with care.
    """

    name = "DrawerPlace"
    instruction = "put the glass into the drawer"
    objects = ("glass", "drawer")
    fragile = ("glass",)

    def __init__(self, force_limit_n: float = 9.0, **options: Any) -> None:
        self.force_limit_n = force_limit_n
        super().__init__(**options)

    def _build(self, spec: mujoco.MjSpec) -> None:
        glass = parts.free_body(spec, "glass")
        size = [GLASS_RADIUS_M, GLASS_HALF_M]
        parts.solid(glass, parts.CYLINDER, size, [0.55, 0.80, 0.90, 0.8], mass=0.05, friction=(0.9, 0.02, 0.001))
        cabinet = spec.worldbody.add_body(name="cabinet", mocap=True, pos=[*CABINET, 0.0])
        wood, wall = [0.55, 0.40, 0.28, 1], 0.005
        x, y, z = CABINET_HALF_M
        parts.solid(cabinet, parts.BOX, [x, y, wall], wood, pos=[0, 0, 2 * z - wall])
        parts.solid(cabinet, parts.BOX, [wall, y, z - wall], wood, pos=[x - wall, 0, z - wall])
        for sign in (-1, 1):
            parts.solid(cabinet, parts.BOX, [x, wall, z - wall], wood, pos=[0, sign * (y - wall), z - wall])
        drawer = cabinet.add_body(name="drawer", pos=[-0.008, 0.0, 0.004])
        drawer.add_joint(
            name="drawer", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[-1, 0, 0], range=[0.0, TRAVEL_M], limited=True,
            stiffness=SPRING_N_M, damping=4.0, armature=0.05,
        )  # fmt: skip
        _add_drawer(drawer)

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        place = CABINET + rng.uniform(-1, 1, 2) * CABINET_RANGE * scale
        yaw = float(rng.uniform(-1, 1)) * CABINET_TURN * scale
        mocap = self.model.body("cabinet").mocapid[0]
        self.data.mocap_pos[mocap] = (*place, 0.0)
        self.data.mocap_quat[mocap] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        glass = GLASS_START + rng.uniform(-1, 1, 2) * GLASS_RANGE * scale
        self._put("glass", np.array([*glass, GLASS_HALF_M]))

    def _in_drawer(self, offset: Array) -> Array:
        """World position (3,) of a point (2,) of the drawer's plan, at the height of a glass that stands there."""
        place = self.position("drawer") + self.rotation("drawer") @ (*offset, 0.0)
        return np.array([*place[:2], FLOOR_M + GLASS_HALF_M])

    def _inside(self, goal: int) -> bool:
        glass = self.rotation("drawer").T @ (self.position("glass") - self.position("drawer"))
        fits = abs(glass[1] - COMPARTMENTS[goal][1]) < 0.03 and abs(glass[0]) < DRAWER_HALF_M[0]
        return bool(fits and self.position("glass")[2] < FLOOR_M + GLASS_HALF_M + 0.005)

    def _met(self, goal: int) -> bool:
        return self._inside(goal) and not self.touched_by_arms("glass") and self.tilt("glass") < 0.3

    def _opened_m(self) -> float:
        return float(self.data.joint("drawer").qpos[0])

    def _press_n(self) -> float:
        glass = self._ids["glass"]
        return max((self.contacts.force_n({glass}, {other}) for other in self.contacts.touched(glass)), default=0.0)

    def _mishap(self) -> str:
        return "broken" if self._lasting("force", self._press_n() > self.force_limit_n) else ""

    def _excuse(self) -> str:
        return "not_placed" if self.gripped(1, "glass") else "not_grasped"

    def _margin_m(self) -> float:
        return max(0.0, self.force_limit_n - self._press_n()) / 1000.0  # the fingers' stiffness [N/m]

    def _advancement(self) -> float:
        if self._inside(self.goal):
            return 1.0 if self._met(self.goal) else 0.95
        opened = 0.25 * min(1.0, self._opened_m() / OPEN_M)
        glass = self.position("glass")
        if self.gripped(1, "glass"):
            away = np.linalg.norm(glass - self._in_drawer(COMPARTMENTS[self.goal]))
            return opened + 0.3 + 0.35 * float(np.exp(-away / 0.1))
        return opened + 0.25 * float(np.exp(-np.linalg.norm(self.tool_position(1) - glass) / 0.1))

    def waypoint(self) -> BimanualWaypoint:
        right, phase = self._right()
        return BimanualWaypoint(self._left(), right, phase)

    def _left(self) -> Waypoint:
        turn = self.rotation("drawer")
        quaternion = looking(self.yaw("drawer"), HOLD_PITCH)
        handle = self.position("drawer") + turn @ (HANDLE_M, 0.0, 0.038)
        if not self.gripped(0, "drawer"):
            return come_up_to(self, 0, handle, quaternion)
        pulled = self.position("drawer") - (TRAVEL_M - 0.008 - self._opened_m()) * turn[:, 0]
        return carry(self, 0, "drawer", pulled, quaternion, SQUEEZE, pace=0.5)

    def _right(self) -> tuple[Waypoint, str]:
        glass, down = self.position("glass"), looking(PLACE_YAW + self.yaw("drawer"))
        if self._inside(self.goal):
            if np.linalg.norm(self.tool_position(1) - glass) > CLEAR_M:
                return at_home(1), "done"
            opened = self.opening(1) > LET_GO - 0.1
            return Waypoint(glass + (0.0, 0.0, 0.12 if opened else 0.006), down, LET_GO, pace=0.4), "release"
        if not self.gripped(1, "glass"):
            return come_up_to(self, 1, glass + (0.0, 0.0, 0.006), down, LET_GO, GENTLE), "reach"
        place = self._in_drawer(COMPARTMENTS[self.goal])
        if self._opened_m() < OPEN_M:  # wait above the place where the compartment will be
            place = place - (TRAVEL_M - self._opened_m()) * self.rotation("drawer")[:, 0]
        aside = float(np.linalg.norm(glass[:2] - place[:2]))
        if self._opened_m() > OPEN_M and aside < 0.008:
            return carry(self, 1, "glass", place + (0.0, 0.0, 0.001), down, GENTLE, pace=0.4), "lower"
        over = np.array([*(place[:2] if glass[2] > 0.09 else glass[:2]), HIGH_M])
        return carry(self, 1, "glass", over, down, GENTLE, pace=0.7), "carry"


def _add_drawer(drawer: mujoco.MjsBody) -> None:
    """Floor, four walls, a wall between the compartments, and a handle in front (toward -x)."""
    wood, thin = [0.80, 0.66, 0.48, 1], 0.003
    x, y, z = DRAWER_HALF_M
    parts.solid(drawer, parts.BOX, [x, y, thin], wood, mass=0.10, pos=[0, 0, thin])
    for sign in (-1, 1):
        parts.solid(drawer, parts.BOX, [thin, y, z], wood, mass=0.03, pos=[sign * (x - thin), 0, z])
        parts.solid(drawer, parts.BOX, [x, thin, z], wood, mass=0.03, pos=[0, sign * (y - thin), z])
    parts.solid(drawer, parts.BOX, [x, thin, 0.012], wood, mass=0.02, pos=[0, 0, 0.012])
    dark = [0.25, 0.27, 0.30, 1]
    parts.solid(drawer, parts.BOX, [0.025, 0.006, 0.006], dark, mass=0.01, pos=[-x - 0.022, 0, 0.012])
    parts.solid(drawer, parts.BOX, [0.008, 0.012, 0.025], dark, mass=0.02, pos=[HANDLE_M, 0, 0.03])
    for offset, colour in zip(COMPARTMENTS, parts.GOAL_COLOURS, strict=False):
        parts.mark(drawer, parts.BOX, [x - 0.01, 0.026, 0.0004], colour, pos=[0, offset[1], 2 * thin])
