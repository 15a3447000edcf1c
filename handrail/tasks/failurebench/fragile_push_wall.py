"""FragilePushWall: bring the puck to the goal around a wall that it must not touch (FARL; push-wall-v3)."""

from __future__ import annotations

from typing import Any, Literal

from handrail.core.errors import InvalidValueError
from handrail.tasks.failurebench import rewards
from handrail.tasks.failurebench.rewards import Reading, Score, Start
from handrail.tasks.failurebench.sawyer import TRUTH_REACH_M, Ranges, SawyerTask
from handrail.tasks.failurebench.scene import gap_m, load

SCENE = "sawyer_push_wall_v3.xml"
RANGES = Ranges((-0.05, 0.05), (0.6, 0.65), (-0.05, 0.05), (0.85, 0.9), (0.01, 0.02))
WALL_HALF_M = (0.12, 0.01, 0.06)
MIDPOINT_X_M = -0.05  # stock's, where the wall stands at +0.1
WALL_TINT = (1.0, 0.55, 0.45, 1.0)  # over stock's bricks, which look like the table
TOUCH_M = 0.001
PUCK_REACH_M = 0.03  # no point of the puck is farther from its centre (0.02 by 0.02: 0.0283)


class FragilePushWall(SawyerTask):
    """Failure: the puck touches the wall, which is a distance of at most `TOUCH_M` between the two geoms.

    The wall stands at x = `side` * `wall_x`: side -1, as on the authors' clips, is stock's scene and reward mirrored in
    x, so that the puck goes round the +x end; side +1 is stock. Further options are those of `SawyerTask`.
    """

    name = "FragilePushWall"
    instruction = "push the puck around the wall to the goal without touching the wall"
    violation = "wall_contact"
    cap = 250
    ranges = RANGES
    success_radius_m = rewards.WALL_RADIUS_M

    def __init__(
        self, *, side: Literal[-1, 1] = -1, wall_x: float = 0.05, wall_y: float = 0.75, **options: Any
    ) -> None:
        if side not in (-1, 1):
            raise InvalidValueError(f"side is {side}, it must be -1 or 1: -1 stands the wall on the -x side")
        self.side, self.wall_x, self.wall_y = side, side * wall_x, wall_y
        spec = load(SCENE)
        spec.body("wall").pos = (self.wall_x, wall_y, WALL_HALF_M[2])
        spec.body("wall").geoms[0].rgba = WALL_TINT
        super().__init__(spec, **options)

    def _hold_views(self) -> None:
        super()._hold_views()
        self._wall_geom = int(self.model.body("wall").geomadr[0])

    def _score(self, now: Reading, start: Start, effort: float) -> Score:
        return rewards.push_wall(now, start, effort, self.side * MIDPOINT_X_M)

    def _in_violation(self, now: Reading) -> bool:
        x, y, z = now.object
        reach = PUCK_REACH_M + TOUCH_M
        if (
            abs(x - self.wall_x) > WALL_HALF_M[0] + reach
            or abs(y - self.wall_y) > WALL_HALF_M[1] + reach
            or z > 2.0 * WALL_HALF_M[2] + reach
        ):
            return False
        return self._margin_m(now) <= 0.0

    def _margin_m(self, now: Reading) -> float:
        return gap_m(self.model, self.data, self._object_geom, self._wall_geom, TRUTH_REACH_M) - TOUCH_M
