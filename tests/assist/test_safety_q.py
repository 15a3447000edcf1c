"""The monitor around a critic of risk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from handrail.assist import SafetyQMonitor
from handrail.core.contracts import Monitor
from handrail.core.values import Array, Assessment, Authority, Observation, Step, TakeoverCause

ACTIONS = np.array([[0.0], [0.5], [1.0], [-2.0]], np.float32)


def risk(observation: Observation, action: Array) -> float:
    return float(np.asarray(observation["state"])[0] + action[0])


def episode() -> list[Step]:
    """Four steps in which something else was executed than proposed."""
    seen, zero = {"state": np.array([0.25])}, np.zeros(1, np.float32)
    step = Step(
        observation=seen, next_observation=seen, action=zero, policy_action=zero - 9, operator_action=None,
        assistant_action=None, authority=Authority.POLICY, takeover_cause=TakeoverCause.NONE, assist_level=0.0,
        risk=0.0, value=0.0, reward=0.0, cost=0.0, terminated=False, truncated=False, success=False, timestamp=0.0,
        stamp_s=0.0,
    )  # fmt: skip
    return [replace(step, action=action) for action in ACTIONS]


EXPECTED = [Assessment(0.25, 0.75), Assessment(0.75, 0.25), Assessment(1.25, 0.0), Assessment(-1.75, 1.0)]


def test_value_is_what_risk_leaves_in_bounds() -> None:
    monitor = SafetyQMonitor(risk)
    assert isinstance(monitor, Monitor)
    assert [monitor.assess({"state": np.array([0.25])}, action) for action in ACTIONS] == EXPECTED


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    assert SafetyQMonitor(risk).assess_many(episode()) == EXPECTED
    batches: list[int] = []

    def many(observations: Mapping[str, Array], actions: Array) -> Array:
        batches.append(len(actions))
        return observations["state"][:, 0] + actions[:, 0]

    monitor = SafetyQMonitor(risk, many)
    found = monitor.assess_many(episode())
    assert found == EXPECTED and batches == [4] and all(type(a.risk) is float for a in found)
    assert monitor.assess_many([]) == []
