"""What inserting a held thing into another held thing has in common: a peg into a block, a plug into a power strip."""

from __future__ import annotations

from typing import Any

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.moves import come_up_to, present
from handrail.tasks.bimanual.values import BimanualWaypoint, Waypoint, looking

STARTS = np.array([[0.17, 0.5], [-0.20, 0.5]])  # [m] what goes in, what it goes into
START_RANGE, START_TURN = np.array([0.03, 0.08]), 0.35  # [m], [rad]
MEETING = np.array([-0.10, 0.5, 0.16])  # [m] where the left arm holds its thing
AHEAD_M, OVER_M = 0.025, 0.008  # the tip waits so far in front of the hole, and aims so far beyond what is needed
GRASP_RISE_M = 0.006  # fingers stay off the table


class HeldInsertion(BimanualTask):
    """The right arm pushes `objects[0]`, whose tip points to its -x, into a hole in the +x face of `objects[1]`.

    Both lie on the table at first. Success: the tip is `inserted_m` deep in the intended hole. The thing breaks when it
    is pressed harder than `force_limit_n` ("broken"); both break when they fall ("dropped").

    Args:
        clearance_m: on every side, 0.001 to 0.003 [m].
        force_limit_n: sum of the normal forces between the two that breaks the first [N].
    """

    tip_m: float  # middle of the handle to the tip
    holes_y: tuple[float, float]  # [m] the goals, in the frame of the second
    entry_m: float  # middle of the handle of the second to the face with the holes
    inserted_m: float
    slack_m: tuple[float, float]  # sideways (y, z) within which the tip is in a hole
    turn_limit: float  # largest difference of the two rotations' entries at which the push begins
    rest_m: tuple[float, float]  # heights at which they lie on the table

    def __init__(self, clearance_m: float = 0.002, force_limit_n: float = 8.0, **options: Any) -> None:
        if not 0.001 <= clearance_m <= 0.003:
            raise InvalidValueError(f"clearance_m is {clearance_m}, must be 0.001 to 0.003 [m]")
        self.clearance_m, self.force_limit_n = clearance_m, force_limit_n
        super().__init__(**options)

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        for name, start, height in zip(self.objects, STARTS, self.rest_m, strict=True):
            place = start + rng.uniform(-1, 1, 2) * START_RANGE * scale
            self._put(name, np.array([*place, height]), float(rng.uniform(-1, 1)) * START_TURN * scale)

    def _tip(self) -> Array:
        """The tip (3,) [m] from the face with the holes, in its frame: x grows outward."""
        going, taking = self.objects
        tip = self.position(going) - self.tip_m * self.rotation(going)[:, 0]
        return self.rotation(taking).T @ (tip - self.position(taking)) - (self.entry_m, 0.0, 0.0)

    def depth_m(self, goal: int) -> float:
        """How deep the tip is in a hole [m]; 0 outside."""
        x, y, z = self._tip()
        inside = abs(y - self.holes_y[goal]) < self.slack_m[0] and abs(z) < self.slack_m[1]
        return max(0.0, -float(x)) if inside else 0.0

    def _met(self, goal: int) -> bool:
        return self.depth_m(goal) >= self.inserted_m

    def _press_n(self) -> float:
        going, taking = self.objects
        return self.contacts.force_n({self._ids[going]}, {self._ids[taking]})

    def _mishap(self) -> str:
        return "broken" if self._lasting("force", self._press_n() > self.force_limit_n) else ""

    def _held(self) -> tuple[bool, bool]:
        """Whether the right arm holds the first and the left arm the second."""
        return self.gripped(1, self.objects[0]), self.gripped(0, self.objects[1])

    def _excuse(self) -> str:
        if not all(self._held()):
            return "not_grasped"
        return "jammed" if max(self.depth_m(goal) for goal in range(2)) > 0.002 else "not_inserted"

    def _margin_m(self) -> float:
        return (
            max(0.0, self.force_limit_n - self._press_n()) / 1000.0
        )  # ours: 1 N a millimetre, about the arms' stiffness

    def _advancement(self) -> float:
        held = 0.2 * sum(self._held())
        if held < 0.4:
            reach = np.linalg.norm(self.tool_position(1) - self.position(self.objects[0]))
            return held + 0.1 * float(np.exp(-reach / 0.1))
        x, y, z = self._tip() - (0.0, self.holes_y[self.goal], 0.0)
        near = float(np.exp(-np.linalg.norm([max(0.0, x), y, z]) / 0.05))
        return 0.4 + 0.3 * near + 0.3 * min(1.0, self.depth_m(self.goal) / self.inserted_m)

    def waypoint(self) -> BimanualWaypoint:
        going, taking = self.objects
        holds_going, holds_taking = self._held()
        left = present(self, 0, taking, MEETING, np.eye(3)) if holds_taking else self._take(0, taking, 0.0)
        if not holds_going:
            return BimanualWaypoint(left, self._take(1, going, np.pi), "reach")
        x, y, z = self._tip() - (0.0, self.holes_y[self.goal], 0.0)
        aside, turned = np.hypot(y, z), np.abs(self.rotation(taking) - self.rotation(going)).max()
        ready = holds_taking and np.linalg.norm(self.position(taking) - MEETING) < 0.02
        aligned = aside < 0.5 * self.clearance_m + 0.002 and turned < self.turn_limit and x < AHEAD_M + 0.015
        insert = ready and (aligned or self.depth_m(self.goal) > 0.003)
        ahead = -self.inserted_m - OVER_M if insert else AHEAD_M
        rotation = self.rotation(taking) if ready else np.eye(3)
        origin = self.position(taking) if ready else MEETING
        place = origin + rotation @ (self.entry_m + ahead + self.tip_m, self.holes_y[self.goal], 0.0)
        right = present(self, 1, going, place, rotation, pace=0.3 if insert else 0.6)
        return BimanualWaypoint(left, right, "insert" if insert else "align" if ready else "lift")

    def _take(self, side: int, name: str, yaw: float) -> Waypoint:
        grasp = self.position(name) + (0.0, 0.0, GRASP_RISE_M)
        return come_up_to(self, side, grasp, looking(yaw + self.yaw(name)))
