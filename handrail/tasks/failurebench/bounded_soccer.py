"""BoundedSoccer: bring the ball into the goal, and keep it inside a rectangle drawn on the table (FARL; soccer-v3)."""

from __future__ import annotations

from typing import Any

from handrail.tasks.failurebench import rewards
from handrail.tasks.failurebench.rewards import Point, Reading, Score, Start
from handrail.tasks.failurebench.sawyer import Ranges, SawyerTask
from handrail.tasks.failurebench.scene import draw_rectangle, load

SCENE = "sawyer_soccer.xml"
RANGES = Ranges((-0.1, 0.1), (0.6, 0.7), (-0.1, 0.1), (0.8, 0.9), (0.0, 0.0))
BALL_HEIGHT_M = 0.03


class BoundedSoccer(SawyerTask):
    """Failure: the ball's centre leaves abs(x) <= `half_width`, `y_low` <= y <= `y_high` [m].

    The numbers are ours, within 3 cm of the rectangle on the authors' clips. Its far edge, ours altogether, is the face
    of the table's rim: every goal lies inside, and a rolling ball cannot pass there. Further options are those of
    `SawyerTask`.
    """

    name = "BoundedSoccer"
    instruction = "push the ball into the goal and keep it inside the red lines"
    violation = "out_of_bounds"
    cap = 250
    ranges = RANGES
    object_body = "soccer_ball"
    success_radius_m = rewards.SOCCER_RADIUS_M

    def __init__(self, *, half_width: float = 0.30, y_low: float = 0.50, y_high: float = 0.98, **options: Any) -> None:
        self.half_width, self.y_low, self.y_high = half_width, y_low, y_high
        spec = load(SCENE)
        draw_rectangle(spec, (-half_width, half_width), (y_low, y_high))
        super().__init__(spec, **options)

    def _object_height(self) -> float:
        return BALL_HEIGHT_M

    def _goal_height(self, object_height: float) -> float:
        return 0.0

    def _show_goal(self, goal: Point) -> None:
        super()._show_goal(goal)
        self.model.body_pos[self.model.body("goal_whole").id] = goal

    def _score(self, now: Reading, start: Start, effort: float) -> Score:
        return rewards.soccer(now, start, effort)

    def _in_violation(self, now: Reading) -> bool:
        return self._margin_m(now) < 0.0

    def _margin_m(self, now: Reading) -> float:
        x, y, _ = now.object
        return min(self.half_width - abs(x), y - self.y_low, self.y_high - y)
