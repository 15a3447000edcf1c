"""The model-free monitor: a learned critic of risk, whoever trained it, behind the one contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from handrail.core.values import Array, Assessment, Observation, Step
from handrail.store.trajectories import Trajectories

Risk = Callable[[Observation, Array], float]
"""observation, action (A,) -> discounted probability of a violation from here on."""
Risks = Callable[[Mapping[str, Array], Array], Array]
"""The same for observations (B, ...) by key and actions (B, A): (B,)."""


class SafetyQMonitor:
    """Takes the risk of an action from a critic, as Recovery RL (Thananjeyan et al. 2021) does.

    Q_risk is in [0, 1] by itself, where C_H sums over H + 1 steps and may exceed 1: thresholds do not carry over. It
    must be the risk of whoever really acts, task and recovery policy together. The value is 1 - risk (ours), bounded to
    [0, 1]. It has no memory: assessing a second action at the same step changes nothing.

    Args:
        risk: of one observation and action; `learn.safety_q.SafetyQ.risk`, or any function.
        risks: of a batch, where there is a faster way than one by one; `learn.safety_q.SafetyQ.risks`.
    """

    def __init__(self, risk: Risk, risks: Risks | None = None) -> None:
        self._risk, self._risks = risk, risks

    def reset(self) -> None:
        """It has no memory."""

    def assess(self, observation: Observation, action: Array) -> Assessment:
        """One observation and action (A,), which need not be the policy's."""
        return _assessment(self._risk(observation, action))

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        """The executed action of every step."""
        if self._risks is None or not episode:
            return [self.assess(step.observation, step.action) for step in episode]
        columns = Trajectories.of([episode])
        return [_assessment(risk) for risk in self._risks(columns.observation, columns.action)]


def _assessment(risk: float) -> Assessment:
    return Assessment(float(risk), value=min(1.0, max(0.0, 1.0 - float(risk))))
