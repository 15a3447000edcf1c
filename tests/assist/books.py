"""Books of the energy that guidance injects into simulated leaders, kept apart from the tank's own."""

from __future__ import annotations

import numpy as np

from handrail.assist.guidance import Guidance
from handrail.core import SECOND_NS
from handrail.operators.leaders import PERIOD_NS, LeaderConfig
from handrail.operators.replicas import SimulatedLeaders


class Books:
    """Stands between whoever steps the leaders and the leaders, and notes every period."""

    def __init__(self, leaders: SimulatedLeaders, guidance: Guidance) -> None:
        self.guidance, self._leaders, self._step = guidance, leaders, leaders.step
        self._damping = np.tile(LeaderConfig().damping, 2)
        self._reach_rad = guidance.config.speed_reserve * PERIOD_NS / SECOND_NS
        self.work: list[float] = []
        self.dissipated: list[float] = []
        self.excess: list[float] = []  # work of what a joint moved beyond the reserve
        self.tank: list[float] = []
        leaders.step = self._noted  # type: ignore[method-assign]

    def _noted(self) -> None:
        q, qd = self._leaders.read()
        torque = self.guidance.last.copy()
        self._step()
        moved = self._leaders.read()[0] - q
        self.work.append(float(torque @ moved))
        self.dissipated.append(max(0.0, float((self._damping * qd) @ moved)))
        self.excess.append(float(np.abs(torque) @ np.maximum(np.abs(moved) - self._reach_rad, 0.0)))
        self.tank.append(self.guidance.tank.level_j)

    @property
    def injected_j(self) -> np.ndarray:
        """(T,) since the beginning."""
        return np.cumsum(self.work)

    @property
    def allowed_j(self) -> np.ndarray:
        """(T,): what the tank held at the beginning, and what damping has taken out since."""
        return self.guidance.config.tank_j + np.cumsum(self.dissipated)

    def require_the_bound(self) -> None:
        """Work never exceeds the tank and what damping returned, at any period."""
        assert max(self.excess) == 0.0, "a joint outran the reserve: the bound is not exact"
        assert (self.injected_j <= self.allowed_j + 1e-9).all()
        assert min(self.tank) >= -1e-12
