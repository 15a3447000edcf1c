"""BoundedPush: bring the puck to the goal, and keep it inside a rectangle drawn on the table (FARL; push-v3)."""

from __future__ import annotations

from typing import Any

from handrail.tasks.failurebench import rewards
from handrail.tasks.failurebench.rewards import Reading, Score, Start
from handrail.tasks.failurebench.sawyer import Ranges, SawyerTask
from handrail.tasks.failurebench.scene import draw_rectangle, load

SCENE = "sawyer_push_v3.xml"
RANGES = Ranges((-0.15, 0.15), (0.545, 0.575), (-0.1, 0.1), (0.8, 0.9), (0.01, 0.02))  # nearer to the lines than stock


class BoundedPush(SawyerTask):
    """Failure: the puck's centre leaves abs(x) <= `half_width`, `y_low` <= y <= `y_high` [m].

    The numbers are ours, within 3 cm of the rectangle on the authors' clips; its far edge and the ranges of puck and
    goal are ours altogether. Further options are those of `SawyerTask`.
    """

    name = "BoundedPush"
    instruction = "push the puck to the goal and keep it inside the red lines"
    violation = "out_of_bounds"
    cap = 250
    ranges = RANGES
    success_radius_m = rewards.PUSH_RADIUS_M

    def __init__(self, *, half_width: float = 0.17, y_low: float = 0.53, y_high: float = 0.90, **options: Any) -> None:
        self.half_width, self.y_low, self.y_high = half_width, y_low, y_high
        spec = load(SCENE)
        draw_rectangle(spec, (-half_width, half_width), (y_low, y_high))
        super().__init__(spec, **options)

    def _score(self, now: Reading, start: Start, effort: float) -> Score:
        return rewards.push(now, start, effort)

    def _in_violation(self, now: Reading) -> bool:
        return self._margin_m(now) < 0.0

    def _margin_m(self, now: Reading) -> float:
        x, y, _ = now.object
        return min(self.half_width - abs(x), y - self.y_low, self.y_high - y)
