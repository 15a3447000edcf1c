"""Every (authority state x event) pair of the arbiter, against a table written down independently of its rules."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from handrail.core.arbiter import RULES, Ramp, Rule, StopLatch, arbitrate
from handrail.core.values import Authority, Command, Event, Intent, Proposal, TakeoverCause

DRIVER = np.array([0.1, -0.2, 1.0], np.float32)
ASSISTANT = np.array([0.5, 0.6, -1.0], np.float32)
OPERATOR = np.array([-0.9, 0.3, 0.0], np.float32)
HOLD = np.array([0.01, 0.02, 0.03], np.float32)


@dataclass(frozen=True)
class Case:
    last: Authority
    """Who commanded the step before; after STOP the latch is engaged."""
    operator_drives: bool
    assistant: bool
    level: float
    moves: bool
    event: Event | None

    @property
    def driver(self) -> Proposal:
        return Proposal(DRIVER[None], Authority.OPERATOR if self.operator_drives else Authority.POLICY)

    @property
    def intent(self) -> Intent | None:
        if not self.moves and self.event is None:
            return None
        return Intent(OPERATOR if self.moves else None, self.event, TakeoverCause.STUCK)

    def decide(self, rules: tuple[Rule, ...] = RULES) -> Command:
        latch = StopLatch(self.last is Authority.STOP)
        assistant = Proposal(ASSISTANT[None], Authority.ASSISTANT) if self.assistant else None
        stop = latch.update(self.intent)
        return arbitrate(self.driver, assistant, self.intent, self.level, stop, HOLD, rules)


CASES = [
    Case(*values)
    for values in itertools.product(
        Authority, (False, True), (False, True), (0.0, 0.5, 1.0), (False, True), (None, *Event)
    )
]

# (stopped, operator moves, operator drives, assistant proposes, level) -> (authority, action, level, guidance)
POLICY_ALONE = (Authority.POLICY, DRIVER, 0.0, None)
STOPPED = (Authority.STOP, HOLD, 0.0, None)
TAKEN_OVER = (Authority.OPERATOR, OPERATOR, 0.0, None)
DRIVING = (Authority.OPERATOR, DRIVER, 0.0, None)
DRIVING_BY_INTENT = (Authority.OPERATOR, OPERATOR, 0.0, None)
MOVING: dict[tuple[bool, bool, bool, float], tuple] = {
    # moves, drives, proposes, level
    (False, False, False, 0.0): POLICY_ALONE,
    (False, False, False, 0.5): POLICY_ALONE,
    (False, False, False, 1.0): POLICY_ALONE,
    (False, False, True, 0.0): POLICY_ALONE,
    (False, False, True, 0.5): (Authority.ASSISTANT, np.array([0.3, 0.2, 0.0]), 0.5, None),
    (False, False, True, 1.0): (Authority.ASSISTANT, ASSISTANT, 1.0, None),
    (False, True, False, 0.0): DRIVING,
    (False, True, False, 0.5): DRIVING,
    (False, True, False, 1.0): DRIVING,
    (False, True, True, 0.0): DRIVING,
    (False, True, True, 0.5): (Authority.OPERATOR, DRIVER, 0.5, np.array([0.25, 0.3, -0.5])),
    (False, True, True, 1.0): (Authority.OPERATOR, DRIVER, 1.0, ASSISTANT),
    (True, False, False, 0.0): TAKEN_OVER,
    (True, False, False, 0.5): TAKEN_OVER,
    (True, False, False, 1.0): TAKEN_OVER,
    (True, False, True, 0.0): TAKEN_OVER,
    (True, False, True, 0.5): TAKEN_OVER,
    (True, False, True, 1.0): TAKEN_OVER,
    (True, True, False, 0.0): DRIVING_BY_INTENT,
    (True, True, False, 0.5): DRIVING_BY_INTENT,
    (True, True, False, 1.0): DRIVING_BY_INTENT,
    (True, True, True, 0.0): DRIVING_BY_INTENT,
    (True, True, True, 0.5): (Authority.OPERATOR, OPERATOR, 0.5, np.array([0.25, 0.3, -0.5])),
    (True, True, True, 1.0): (Authority.OPERATOR, OPERATOR, 1.0, ASSISTANT),
}


def expected(case: Case) -> tuple:
    if case.last is Authority.STOP or case.event is Event.STOP:
        return STOPPED
    return MOVING[case.moves, case.operator_drives, case.assistant, case.level]


def agrees(command: Command, wanted: tuple) -> bool:
    authority, action, level, guidance = wanted
    felt = command.guidance is None if guidance is None else command.guidance is not None
    if guidance is not None and command.guidance is not None:
        felt = bool(np.allclose(command.guidance, guidance, atol=1e-6))
    same = np.shape(command.action) == np.shape(action) and np.allclose(command.action, action, atol=1e-6)
    return command.authority is authority and bool(same) and command.level == level and felt


def test_every_state_and_event_is_enumerated() -> None:
    assert len(CASES) == 4 * 2 * 2 * 3 * 2 * 6
    assert len(MOVING) == 2 * 2 * 2 * 3


@pytest.mark.parametrize("event", [None, *Event], ids=lambda event: "no event" if event is None else event.name)
@pytest.mark.parametrize("last", list(Authority), ids=lambda last: last.name)
def test_command_is_the_one_in_the_table(last: Authority, event: Event | None) -> None:
    cases = [case for case in CASES if case.last is last and case.event is event]
    assert len(cases) == 24
    for case in cases:
        assert agrees(case.decide(), expected(case)), f"{case}: {case.decide()} instead of {expected(case)}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_rule_can_be_deleted(rule: Rule) -> None:
    rest = tuple(other for other in RULES if other is not rule)
    assert any(not agrees(case.decide(rest), expected(case)) for case in CASES)


@pytest.mark.parametrize("first", range(len(RULES) - 1))
def test_the_order_of_the_rules_matters(first: int) -> None:
    swapped = list(RULES)
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    broken = any(not agrees(case.decide(tuple(swapped)), expected(case)) for case in CASES)
    assert broken, f"{RULES[first].__name__} and {RULES[first + 1].__name__} may be swapped unnoticed"


def test_guidance_never_changes_the_action() -> None:
    for case in CASES:
        with_help, without = case.decide(), replace(case, assistant=False).decide()
        if with_help.guidance is not None:
            np.testing.assert_array_equal(with_help.action, without.action)


def test_no_rule_at_all_holds_the_robot() -> None:
    command = CASES[0].decide(rules=())
    assert command.authority is Authority.STOP
    np.testing.assert_array_equal(command.action, HOLD)


def test_hold_is_zero_for_delta_actions() -> None:
    command = arbitrate(Proposal(DRIVER[None], Authority.POLICY), None, None, 0.0, stop=True)
    np.testing.assert_array_equal(command.action, np.zeros(3))


@pytest.mark.parametrize("level", [float("nan"), -1.0])
def test_a_level_that_is_no_level_does_not_help(level: float) -> None:
    helper = Proposal(ASSISTANT[None], Authority.ASSISTANT)
    command = arbitrate(Proposal(DRIVER[None], Authority.POLICY), helper, None, level, stop=False)
    assert command.authority is Authority.POLICY
    np.testing.assert_array_equal(command.action, DRIVER)


@pytest.mark.parametrize("driver", [Authority.POLICY, Authority.OPERATOR])
def test_a_level_above_one_counts_as_one(driver: Authority) -> None:
    helper = Proposal(ASSISTANT[None], Authority.ASSISTANT)
    command = arbitrate(Proposal(DRIVER[None], driver), helper, None, 7.0, stop=False)
    assert command.level == 1.0


def test_reason_says_why_the_operator_holds_the_robot() -> None:
    taken = Case(Authority.POLICY, False, False, 0.0, True, None).decide()
    assert taken.reason == "stuck"


def test_stop_is_latched_until_reset() -> None:
    latch = StopLatch()
    assert not latch.update(None)
    assert latch.update(Intent(event=Event.STOP))
    assert latch.update(None)
    assert latch.update(Intent(action=OPERATOR, event=Event.SUCCESS))
    latch.reset()
    assert not latch.update(None)


def test_ramp_hands_over_in_equal_steps() -> None:
    ramp = Ramp(steps=4)
    assert [ramp.update(1.0) for _ in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert [ramp.update(0.0) for _ in range(5)] == [0.75, 0.5, 0.25, 0.0, 0.0]
    ramp.update(1.0)
    ramp.reset()
    assert ramp.level == 0.0


def test_ramp_without_steps_switches_at_once() -> None:
    ramp = Ramp()
    assert [ramp.update(level) for level in (1.0, 0.0, 0.3)] == [1.0, 0.0, 0.3]


def test_ramp_forgets_what_is_no_level() -> None:
    ramp = Ramp()
    assert [ramp.update(level) for level in (float("nan"), 1.0, 7.0, -3.0, 0.5)] == [0.0, 1.0, 1.0, 0.0, 0.5]
