"""Metrics and segments, by numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handrail.core.values import Authority, Step, TakeoverCause
from handrail.store import EpisodeMeta, metrics
from handrail.store.segments import Segment, runs, segments

POLICY, ASSISTANT, OPERATOR = Authority.POLICY, Authority.ASSISTANT, Authority.OPERATOR
NONE, STUCK, DANGER, SHOWN = TakeoverCause.NONE, TakeoverCause.STUCK, TakeoverCause.DANGER, TakeoverCause.DEMONSTRATION


@pytest.fixture
def drive(make_steps):
    """Build an episode out of (authority, cause) pairs."""

    def build(*pairs: tuple[Authority, TakeoverCause]) -> list[Step]:
        steps = make_steps(len(pairs))
        return [replace(s, authority=a, takeover_cause=c) for s, (a, c) in zip(steps, pairs, strict=True)]

    return build


def test_rates(drive) -> None:
    steps = drive((POLICY, NONE), (OPERATOR, STUCK), (OPERATOR, STUCK), (ASSISTANT, NONE), (POLICY, NONE))
    assert metrics.intervention_rate(steps) == 0.4 and metrics.assistant_rate(steps) == 0.2
    assert metrics.operator_steps(steps) == 2 and metrics.assistant_steps(steps) == 1
    assert metrics.operator_seconds(steps, 10) == 0.2
    assert metrics.intervention_rate([]) == 0.0


def test_takeovers_are_rising_edges_with_their_cause(drive) -> None:
    steps = drive(
        (OPERATOR, STUCK), (OPERATOR, DANGER), (POLICY, NONE), (OPERATOR, STUCK), (POLICY, NONE), (OPERATOR, DANGER)
    )
    assert metrics.takeovers(steps) == {"STUCK": 2, "DANGER": 1}
    assert metrics.operator_steps_by_cause(steps) == {"STUCK": 2, "DANGER": 2}


def test_a_takeover_does_not_reach_into_the_next_episode(drive) -> None:
    held = drive((POLICY, NONE), (OPERATOR, STUCK))
    again = drive((OPERATOR, STUCK), (OPERATOR, STUCK))
    assert metrics.takeovers([*held, *again]) == {"STUCK": 2}


def test_demonstrations_are_no_interventions_but_cost_time(drive) -> None:
    steps = drive(*[(OPERATOR, SHOWN)] * 4)
    assert metrics.intervention_rate(steps) == 0.0 and metrics.takeovers(steps) == {}
    assert metrics.operator_seconds(steps, 10) == 0.4 and metrics.operator_steps_by_cause(steps) == {"DEMONSTRATION": 4}


def test_outcomes(make_steps) -> None:
    won = make_steps(6)
    lost = [replace(step, success=False, reward=0.0) for step in won]
    assert metrics.success_rate([won, lost, lost, won]) == 0.5 and metrics.success_rate([]) == 0.0
    assert metrics.episode_return(won) == 1.0 and metrics.failures(won) == 1
    metas = [EpisodeMeta("t", success=True), EpisodeMeta("t", failure_kind="stuck"), EpisodeMeta("t")]
    assert metrics.failure_modes(metas) == {"stuck": 1, "unknown": 1}


def test_summary(make_steps) -> None:
    assert metrics.episode_summary(make_steps(8), 10, "stuck") == {
        "success": True,
        "return": 1.0,
        "length": 8,
        "operator_steps": 2,
        "assistant_steps": 1,
        "takeovers": {"STUCK": 1},
        "operator_steps_by_cause": {"STUCK": 2},
        "operator_seconds": 0.2,
        "failures": metrics.failures(make_steps(8)),
        "failure_kind": "",
    }


def test_segments(make_steps) -> None:
    assert segments(make_steps(8)) == [
        Segment(POLICY, 0, 2, NONE),
        Segment(OPERATOR, 2, 4, STUCK),
        Segment(POLICY, 4, 5, NONE),
        Segment(ASSISTANT, 5, 6, NONE),
        Segment(POLICY, 6, 8, NONE),
    ]
    assert segments([]) == [] and len(runs(np.full(5, 2))[0]) == 5
