"""TowelFold: both arms take two corners of a towel and fold it in half, away from the viewer or toward them."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.clock import SECOND_NS
from handrail.core.values import Array
from handrail.tasks.bimanual import parts
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.moves import OPEN, SQUEEZE, at_home, come_up_to
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, both, looking
from handrail.tasks.bimanual.viperx import SIDES
from handrail.tasks.physics import Tick

COUNT, SIDE_M, RADIUS_M = 7, 0.21, 0.003  # vertices along a side: an odd number, or it does not fold in the middle
MIDDLE, MIDDLE_RANGE, TURN = np.array([0.0, 0.5]), np.array([0.03, 0.03]), 0.15  # [m], [m], [rad]
EDGES = ((0, COUNT * (COUNT - 1)), (COUNT - 1, COUNT * COUNT - 1))  # vertices of the near and far corners: left, right
CREASE = tuple(COUNT * i + COUNT // 2 for i in (0, 2, 4, 6))
SEEN = (*EDGES[0], *EDGES[1], *CREASE)
GRAB_M = 0.02  # a hand that closes so near to a corner has it (ours)
CLOSED, LET_GO = 0.3, 0.4  # commanded openings
RISE_M, CARRY_M = 0.014, 0.09  # tool over a corner that lies; height of the corners on their way
TABLE_COLLISION = 8
XML = f"""
<mujoco><worldbody><body name="towel" pos="{MIDDLE[0]} {MIDDLE[1]} {RADIUS_M}">
  <flexcomp name="towel" type="grid" count="{COUNT} {COUNT} 1" spacing="{{0}} {{0}} {{0}}" dim="2" mass="0.05"
            radius="{RADIUS_M}" rgba="0.45 0.60 0.80 1">
    <elasticity young="3e4" poisson="0" thickness="1e-3" damping="2e-3" elastic2d="both"/>
    <contact selfcollide="none" internal="false" contype="0" conaffinity="0"/>
  </flexcomp>
</body></worldbody></mujoco>
""".format(SIDE_M / (COUNT - 1))


class TowelFold(BimanualTask):
    """Fold the near edge over the far one (goal 0) or the far edge over the near one (goal 1), and let go.

    Success: both moved corners lie within `tolerance_m` of their partners, the fold on the right side, and nothing
    holds the towel. It is lost when the hands pull held corners apart by more than `stretch_limit` ("torn"), or when it
    slides from the table ("off_table"). A flex of 7 x 7 vertices; ours: each vertex meets the table only, not the arms,
    and a hand that closes within 2 cm of a corner holds it until it opens.
    """

    name = "TowelFold"
    horizon = 600
    instruction = "fold the towel in half"
    objects = tuple(f"towel_{i}" for i in SEEN)
    round = objects

    def __init__(self, tolerance_m: float = 0.035, stretch_limit: float = 0.2, **options: Any) -> None:
        self.tolerance_m, self.stretch_limit = tolerance_m, stretch_limit
        super().__init__(**options)
        model = self.model
        self._vertices = np.array([self._ids[f"towel_{i}"] for i in range(COUNT * COUNT)])
        joints = model.body_jntadr[self._vertices]
        self._vertex_places = model.jnt_qposadr[joints][:, None] + np.arange(3)  # (49, 3)
        corners = (*EDGES[0], *EDGES[1])
        self._holds = {(s, c): model.equality(f"hold_{s}_{c}").id for s in range(2) for c in corners}
        self._ticks = (Tick(SECOND_NS // self.fps, self._hold_corners),)

    def _build(self, spec: mujoco.MjSpec) -> None:
        spec.attach(mujoco.MjSpec.from_string(XML), frame=spec.worldbody.add_frame(), prefix="")
        spec.geom("table_top").conaffinity |= TABLE_COLLISION
        for i in range(COUNT * COUNT):
            sphere = parts.solid(spec.body(f"towel_{i}"), parts.BALL, [RADIUS_M], [0, 0, 0, 0], condim=3)
            sphere.contype, sphere.conaffinity, sphere.friction[0] = TABLE_COLLISION, 0, 0.8
        for side, name in enumerate(SIDES):
            for corner in (*EDGES[0], *EDGES[1]):
                hold = spec.add_equality(
                    name=f"hold_{side}_{corner}", type=mujoco.mjtEq.mjEQ_CONNECT, objtype=mujoco.mjtObj.mjOBJ_SITE,
                    name1=f"{name}_tool", name2=f"corner_{corner}", active=False,
                )  # fmt: skip
                hold.solref = [0.01, 1.0]
        for corner in (*EDGES[0], *EDGES[1]):
            spec.body(f"towel_{corner}").add_site(name=f"corner_{corner}", rgba=[0, 0, 0, 0])

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        shift = rng.uniform(-1, 1, 2) * MIDDLE_RANGE * scale
        yaw = float(rng.uniform(-1, 1)) * TURN * scale
        at_rest = self.model.body_pos[self._vertices]  # (49, 3) from the towel's middle
        c, s = np.cos(yaw), np.sin(yaw)
        turned = at_rest @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        self.data.qpos[self._vertex_places] = turned + (*shift, 0.0) - at_rest

    # -- the towel -----------------------------------------------------------------------------------------------------

    def _vertex(self, index: int) -> Array:
        return self.data.xpos[self._vertices[index]].copy()

    def _held_by(self, side: int) -> int:
        """The corner that a hand holds, -1 if none."""
        return next((c for (s, c), hold in self._holds.items() if s == side and self.data.eq_active[hold]), -1)

    def _hold_corners(self) -> None:
        """A hand that closes takes the corner that is near; one that opens lets go."""
        memory = self._progress.memory
        for side in range(2):
            opening, held = self.commanded[7 * side + 6], self._held_by(side)
            if opening > LET_GO:
                memory[f"ready{side}"] = 1
                if held >= 0:
                    self.data.eq_active[self._holds[side, held]] = 0
            elif opening < CLOSED and self.opening(side) < CLOSED and memory.get(f"ready{side}", 0):
                memory[f"ready{side}"] = 0
                self._take_corner(side)

    def _take_corner(self, side: int) -> None:
        tool, taken = self.tool_position(side), self._held_by(1 - side)
        free = [c for c in (*EDGES[0], *EDGES[1]) if c != taken]
        nearest = min(free, key=lambda c: float(np.linalg.norm(self._vertex(c) - tool)))
        if np.linalg.norm(self._vertex(nearest) - tool) < GRAB_M:
            self.data.eq_active[self._holds[side, nearest]] = 1

    def _folded(self, goal: int) -> bool:
        """Both corners of the moved edge lie on their partners, and the crease is on the other side."""
        moved, partners = ([self._vertex(i) for i in EDGES[edge]] for edge in (goal, 1 - goal))
        near = all(np.linalg.norm((a - b)[:2]) < self.tolerance_m for a, b in zip(moved, partners, strict=True))
        low = max(a[2] for a in moved) < 0.022
        crease = np.mean([self._vertex(i) for i in CREASE], axis=0)
        ahead = (np.mean(moved, axis=0) - crease)[1] * (1.0 if goal == 0 else -1.0)
        return bool(near and low and ahead > 0.2 * SIDE_M)

    def _met(self, goal: int) -> bool:
        return self._folded(goal) and self._held_by(0) == self._held_by(1) == -1

    def _slack_m(self) -> float:
        """How much farther apart the held corners may come before the towel tears; inf unless both hands hold one."""
        held = [self._held_by(side) for side in range(2)]
        if min(held) < 0:
            return float("inf")
        left, right = (self._vertex(i) for i in held)
        rest = np.linalg.norm(np.subtract(*self.model.body_pos[self._vertices[held]]))
        return float((1.0 + self.stretch_limit) * rest - np.linalg.norm(left - right))

    def _mishap(self) -> str:
        return "torn" if self._slack_m() < 0.0 else ""

    def _margin_m(self) -> float:
        return max(0.0, self._slack_m())

    def _excuse(self) -> str:
        return "not_grasped" if self._held_by(0) == self._held_by(1) == -1 else "not_folded"

    def _advancement(self) -> float:
        if self._folded(self.goal):
            return 1.0 if self._met(self.goal) else 0.95
        moved, partners = EDGES[self.goal], EDGES[1 - self.goal]
        held = [self._held_by(side) == moved[side] for side in range(2)]
        if not all(held):
            reach = max(np.linalg.norm(self.tool_position(s) - self._vertex(moved[s])) for s in range(2))
            return 0.1 * sum(held) + 0.2 * float(np.exp(-reach / 0.1))
        away = max(np.linalg.norm(self._vertex(a) - self._vertex(b)) for a, b in zip(moved, partners, strict=True))
        return 0.4 + 0.5 * float(np.clip(1.0 - away / SIDE_M, 0.0, 1.0))

    # -- the intent ----------------------------------------------------------------------------------------------------

    def waypoint(self) -> BimanualWaypoint:
        moved = EDGES[self.goal]
        if self._folded(self.goal):
            return both(self._let_go, "let_go")
        if all(self._held_by(side) == moved[side] for side in range(2)):
            return both(self._bring, "fold")
        return both(self._take, "reach")

    def _down(self, side: int) -> Array:
        return looking((0.0, np.pi)[side])

    def _take(self, side: int) -> Waypoint:
        corner = EDGES[self.goal][side]
        place = self._vertex(corner) + (0.0, 0.0, RISE_M)
        if self._held_by(side) == corner:
            return Waypoint(place, self._down(side), SQUEEZE)
        missed = self.commanded[7 * side + 6] < CLOSED and self.opening(side) < 0.1
        if missed or self._held_by(side) >= 0:
            return Waypoint(place + (0.0, 0.0, RISE_M), self._down(side), OPEN)
        return come_up_to(self, side, place, self._down(side))

    def _bring(self, side: int) -> Waypoint:
        """Up, across, and down on the partner."""
        corner = self._vertex(EDGES[self.goal][side])
        partner = self._vertex(EDGES[1 - self.goal][side])
        away = float(np.linalg.norm((corner - partner)[:2]))
        if away < 0.5 * self.tolerance_m:
            return Waypoint(partner + (0.0, 0.0, RISE_M), self._down(side), SQUEEZE, pace=0.5)
        height = CARRY_M if away > 0.03 else 0.05
        if corner[2] < 0.4 * CARRY_M and away > 0.7 * SIDE_M:
            return Waypoint(0.8 * corner + 0.2 * partner + (0.0, 0.0, CARRY_M), self._down(side), SQUEEZE, pace=0.5)
        return Waypoint(np.array([*partner[:2], height]), self._down(side), SQUEEZE, pace=0.5)

    def _let_go(self, side: int) -> Waypoint:
        place = self._vertex(EDGES[self.goal][side])
        if self._held_by(side) < 0 and self.tool_position(side)[2] > 0.08:
            return at_home(side)
        up = 0.12 if self._held_by(side) < 0 else RISE_M
        return Waypoint(place + (0.0, 0.0, up), self._down(side), OPEN, pace=0.5)
