"""Triggers: every transition of the threshold against a table written down apart from it, and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from handrail.assist import Never, Threshold, Timer
from handrail.assist.triggers import Phase, State
from handrail.core.contracts import Trigger
from handrail.core.errors import InvalidValueError, NonFiniteError
from handrail.core.values import Assessment

WATCHING, HELPING, RESTING = Phase.WATCHING, Phase.HELPING, Phase.RESTING
LOW, MIDDLE, HIGH = 0.1, 0.4, 0.9  # below leave, between, above enter


def levels(trigger: Trigger, risks: Sequence[float]) -> str:
    """The levels of one episode as text, "1" for help."""
    trigger.reset()
    return "".join(str(int(trigger.update(Assessment(risk, 0.0)))) for risk in risks)


TRIGGER = Threshold(enter=0.5, leave=0.2, min_steps=2, max_steps=4, cool_down=3, budget=6)
TABLE = {
    # (phase, steps in it, spent): what follows at low, middle and high risk, as phase and steps
    (WATCHING, 0, 0): ((WATCHING, 1), (WATCHING, 1), (HELPING, 1)),
    (WATCHING, 5, 2): ((WATCHING, 6), (WATCHING, 6), (HELPING, 1)),
    (WATCHING, 5, 5): ((WATCHING, 6), (WATCHING, 6), (HELPING, 1)),  # one step of budget is left
    (WATCHING, 5, 6): ((WATCHING, 6), (WATCHING, 6), (WATCHING, 6)),  # none is
    (HELPING, 1, 1): ((HELPING, 2), (HELPING, 2), (HELPING, 2)),  # committed
    (HELPING, 2, 2): ((RESTING, 1), (HELPING, 3), (HELPING, 3)),  # hysteresis
    (HELPING, 3, 3): ((RESTING, 1), (HELPING, 4), (HELPING, 4)),
    (HELPING, 4, 4): ((RESTING, 1), (RESTING, 1), (RESTING, 1)),  # the longest burst
    (HELPING, 1, 6): ((RESTING, 1), (RESTING, 1), (RESTING, 1)),  # budget before commitment
    (HELPING, 2, 6): ((RESTING, 1), (RESTING, 1), (RESTING, 1)),
    (HELPING, 3, 5): ((RESTING, 1), (HELPING, 4), (HELPING, 4)),
    (RESTING, 1, 3): ((RESTING, 2), (RESTING, 2), (RESTING, 2)),
    (RESTING, 2, 3): ((RESTING, 3), (RESTING, 3), (RESTING, 3)),
    (RESTING, 3, 3): ((WATCHING, 1), (WATCHING, 1), (HELPING, 1)),  # rested
    (RESTING, 3, 6): ((WATCHING, 1), (WATCHING, 1), (WATCHING, 1)),
}


@pytest.mark.parametrize("state", TABLE)
@pytest.mark.parametrize("column", range(3))
def test_every_transition(state: tuple[Phase, int, int], column: int) -> None:
    phase, steps = TABLE[state][column]
    spent = state[2] + (phase is HELPING)
    assert TRIGGER.after(State(*state), (LOW, MIDDLE, HIGH)[column]) == State(phase, steps, spent)


SETTINGS = [
    {"min_steps": low, "max_steps": high, "cool_down": rest, "budget": budget}
    for low, high, rest, budget in product((1, 3), (None, 3), (0, 3), (None, 4))
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_every_episode_of_seven_steps_keeps_what_the_settings_promise(settings: dict[str, int | None]) -> None:
    trigger = Threshold(0.5, 0.2, **settings)  # type: ignore[arg-type]
    for risks in product((LOW, MIDDLE, HIGH), repeat=7):
        problem = broken_promise(trigger, risks, levels(trigger, risks))
        assert not problem, f"{problem}: {risks}"


def broken_promise(trigger: Threshold, risks: Sequence[float], given: str) -> str:
    """Which promise of the docstring these levels break, told from the finished episode alone; "" for none."""
    budget = len(risks) if trigger.budget is None else trigger.budget
    longest = len(risks) if trigger.max_steps is None else trigger.max_steps
    if given.count("1") > budget:
        return "over budget"
    end = -len(risks)  # where the last burst ended
    for step, level in enumerate(given):
        begun = given[:step].rfind("0") + 1  # where the burst before this step began, if one is going on
        length, spent = step - begun, given[:step].count("1")
        if level == "1" and length == 0 and (risks[step] <= trigger.enter or step - end < trigger.cool_down):
            return f"began for nothing, or too soon, at {step}"
        if level == "1" and length >= max(1, trigger.min_steps) and risks[step] <= trigger.leave:
            return f"went on for nothing at {step}"
        if level == "1" and length >= longest:
            return f"too long at {step}"
        free = length >= longest or spent >= budget  # to end whatever the risk
        if level == "0" and length and not free and (length < trigger.min_steps or risks[step] > trigger.leave):
            return f"ended too soon at {step}"
        if level == "0" and length:
            end = step
        elif (
            level == "0" and risks[step] > trigger.enter and spent < budget and step - end >= max(1, trigger.cool_down)
        ):
            return f"did not begin at {step}"
    return ""


@pytest.mark.parametrize(
    ("settings", "risks", "given"),
    [
        ({}, "..45..5..5", "0001001001"),  # the plain rule: help where risk > 0.4 (written 5)
        ({"leave": 0.1}, "..5432101.5", "00111100001"),  # hysteresis
        ({"min_steps": 3}, "5......5...", "11100001110"),
        ({"max_steps": 2}, "5555555555", "1101101101"),
        ({"max_steps": 2, "cool_down": 3}, "5555555555", "1100011000"),
        ({"budget": 3}, "55..5555", "11001000"),
        ({"min_steps": 3, "budget": 4}, "5....5555", "111001000"),
    ],
)
def test_by_hand(settings: dict[str, float], risks: str, given: str) -> None:
    trigger = Threshold(**{"enter": 0.4, "leave": 0.4} | settings)  # type: ignore[arg-type]
    assert levels(trigger, [0.0 if c == "." else int(c) / 10 for c in risks]) == given


def test_equal_thresholds_are_the_switch_of_farl() -> None:
    risks = np.random.default_rng(0).choice([0.0, 0.05, 0.1, 0.100001, 0.7, 1.3], 500)
    assert levels(Threshold(0.1, 0.1), risks.tolist()) == "".join(str(int(risk > 0.1)) for risk in risks)
    none_ahead = levels(Threshold(0.0, 0.0), [0.0, 1.0, 0.0])
    assert none_ahead == "010", "an oracle's risk of exactly 0 ends the burst"


def test_an_episode_begins_anew() -> None:
    trigger = Threshold(0.5, 0.5, max_steps=2, cool_down=9, budget=2)
    assert levels(trigger, [HIGH] * 5) == levels(trigger, [HIGH] * 5) == "11000"


def test_asking_for_the_next_state_changes_nothing() -> None:
    trigger = Threshold(0.5, 0.5)
    trigger.after(State(), HIGH)
    assert trigger.state == State() and trigger.state.level == 0.0


def test_a_risk_may_be_infinite_but_must_be_a_number() -> None:
    assert levels(Threshold(0.5, 0.5), [np.inf, -np.inf]) == "10"
    for phase in Phase:
        with pytest.raises(NonFiniteError, match="risk is nan, must be a number: check the monitor"):
            TRIGGER.after(State(phase, 1, 1), float("nan"))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"enter": float("nan")}, "enter is nan, must be a number: give a risk of the monitor's"),
        ({"leave": float("-inf")}, "leave is -inf, must be a number: give a risk of the monitor's"),
        ({"leave": 0.6}, "leave is 0.6, must be at most enter (0.5): lower it"),
        ({"min_steps": 0}, "min_steps is 0, must be at least 1: it counts steps"),
        ({"min_steps": 5, "max_steps": 4}, "max_steps is 4, must be at least 5: it counts steps"),
        ({"cool_down": -1}, "cool_down is -1, must be at least 0: it counts steps"),
        ({"budget": -1}, "budget is -1, must be at least 0: it counts steps"),
    ],
)
def test_settings_are_checked(settings: dict[str, float], text: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        Threshold(**{"enter": 0.5, "leave": 0.2} | settings)  # type: ignore[arg-type]
    assert str(error.value) == text


def test_timer_helps_at_its_rate_whatever_the_risk() -> None:
    timer = Timer(period=5, length=2)
    assert levels(timer, [LOW] * 13) == levels(timer, [HIGH] * 13) == "0001100011000"
    assert levels(Timer(1, 1), [LOW] * 3) == "111"
    for period, length, text in ((0, 1, "period is 0, must be at least 1"), (5, 6, "length is 6, must be in 1..5")):
        with pytest.raises(InvalidValueError, match=text):
            Timer(period, length)


def test_never() -> None:
    assert levels(Never(), [HIGH, np.inf, LOW]) == "000"


@pytest.mark.parametrize("trigger", [TRIGGER, Timer(2, 1), Never()])
def test_they_are_triggers(trigger: object) -> None:
    assert isinstance(trigger, Trigger)
