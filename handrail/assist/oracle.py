"""The one monitor that may look at the truth: it tries the action in the simulator itself, and takes it back.

A control, never a method: it says how much a perfect watcher would be worth. Learned monitors are compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from handrail.core.chunk import ChunkQueue
from handrail.core.contracts import Policy
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Observation, Step, as_mapping


class Branching(Protocol):
    """An environment that can go back to where it was: physics, clocks, counters and random generator."""

    def step(self, action: Array, /) -> tuple[Any, Any, bool, bool, dict[str, Any]]: ...
    def snapshot(self) -> Any: ...
    def restore(self, snapshot: Any, /) -> None: ...


class LookAhead:
    """The true `C_H = sum_{i=t}^{t+H} gamma_risk^(i-t) C(s_i, a_i)` of FARL, by looking ahead in the simulator.

    Step t executes the action that is assessed, steps t+1 to t+H the policy's; what ends the episode ends the sum.
    Afterwards the environment is where it was, to the bit. In simulators without noise the sum is C_H itself, with
    noise one draw of it: the one that will come true if the policy goes on, for the generator is put back too.

    Its assessment has risk C_H, value max(0, 1 - C_H) (ours), and the part "lead_steps": steps until the first
    violation, 0 for one by this very action, -1 for none.

    Args:
        env: the bare task, as `handrail.tasks.make` returns it; wrappers and limits around it have no part in this.
        policy: goes on after the action. It must act without noise (its mean action) and remember nothing between
            steps, for the driver may be the same object.
        horizon: H, steps after the action; H + 1 simulated steps an assessment.
        gamma_risk: discount, in (0, 1].
        stop_at_first: look no further than the first violation. The risk is then a lower bound of C_H, positive where
            C_H is, and the look-ahead shorter.
        trust: steps for which a look-ahead that found nothing stands (ours). With more than 1 it goes as much further,
            so that each of them knows of H steps; `assess` must then be called once a step, and a driver who explores
            may stray from what was looked at. With 3, a look-ahead of H = 10 costs 4.3 simulated steps a step, not 11.

    Raises:
        InvalidValueError: horizon, gamma_risk or trust is outside its limit; when assessing, the environment tells no
            cost.
    """

    def __init__(
        self,
        env: Branching,
        policy: Policy,
        horizon: int,
        gamma_risk: float,
        *,
        stop_at_first: bool = False,
        trust: int = 1,
    ) -> None:
        _require_horizon(horizon, gamma_risk)
        if trust < 1:
            raise InvalidValueError(f"trust is {trust}, must be at least 1: it counts the step that is assessed")
        self.env, self.policy, self.horizon, self.gamma_risk = env, policy, horizon, gamma_risk
        self.stop_at_first, self.trust = stop_at_first, trust
        self.reset()

    def reset(self) -> None:
        """Forget what was looked at."""
        self._clear = 0  # steps to come for which the last look-ahead stands

    def assess(self, observation: Observation, action: Array) -> Assessment:
        """Look ahead from where the environment is now; `observation` is not needed."""
        if self._clear > 0:
            self._clear -= 1
            return self._assessment(np.zeros(1))
        here = self.env.snapshot()
        try:
            found = self._assessment(np.array(self._costs(action)))
        finally:
            self.env.restore(here)
        if found.risk == 0.0:
            self._clear = self.trust - 1
        return found

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        """In hindsight: a recording cannot be branched, so each step gets the costs that did follow it.

        Where the policy drove alone this is what `assess` had said; elsewhere it is the risk of whoever drove.
        """
        costs = np.array([step.cost for step in episode])
        return [self._assessment(costs[start : start + self.horizon + 1]) for start in range(len(costs))]

    def _costs(self, action: Array) -> list[float]:
        """Step the environment, and return the costs from `action` on, at most H + `trust` of them."""
        queue, costs = ChunkQueue(), list[float]()
        while True:
            observation, _, terminated, truncated, info = self.env.step(action)
            costs.append(_cost(info))
            found = self.stop_at_first and costs[-1] > 0.0
            if terminated or truncated or found or len(costs) >= self.horizon + self.trust:
                return costs
            if not len(queue):
                queue.refill(self.policy.act(as_mapping(observation)))
            following = queue.next()
            assert following is not None, "the policy proposed an empty chunk"
            action = following

    def _assessment(self, costs: Array) -> Assessment:
        """The assessment of a step that `costs` (up to H + 1,) follow, its own first."""
        violated = np.flatnonzero(costs)
        if self.stop_at_first and len(violated):
            costs = costs[: violated[0] + 1]
        risk = float(costs @ self.gamma_risk ** np.arange(len(costs)))
        lead = float(violated[0]) if len(violated) else -1.0
        return Assessment(risk, value=max(0.0, 1.0 - risk), parts={"lead_steps": lead})


def _require_horizon(horizon: int, gamma_risk: float) -> None:
    if horizon < 0:
        raise InvalidValueError(f"horizon is {horizon}, must be at least 0: it counts steps after the action")
    if not 0.0 < gamma_risk <= 1.0:
        raise InvalidValueError(f"gamma_risk is {gamma_risk}, must be in (0, 1]: it is a discount")


def _cost(info: dict[str, Any]) -> float:
    if "cost" not in info:
        raise InvalidValueError("info has no 'cost', a look-ahead needs it: use a task that tells its violations")
    return float(info["cost"])
