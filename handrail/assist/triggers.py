"""Triggers: a stream of assessments -> assistance level. When to help, for how long, and how soon again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from handrail.core.errors import InvalidValueError, NonFiniteError
from handrail.core.values import Assessment


class Phase(Enum):
    """What a `Threshold` is doing."""

    WATCHING = "watching"
    HELPING = "helping"
    RESTING = "resting"


class State(NamedTuple):
    """Where a `Threshold` stands after a step.

    Attributes:
        steps: how many steps the phase has lasted, this one included.
        spent: assisted steps of the episode so far, this one included.
    """

    phase: Phase = Phase.WATCHING
    steps: int = 0
    spent: int = 0

    @property
    def level(self) -> float:
        return 1.0 if self.phase is Phase.HELPING else 0.0


@dataclass
class Threshold:
    """Helps, at level 1, while the risk is high: FARL's switch `C_H <= eps_safe -> a_task, else a_rec`.

    With `enter == leave == eps_safe` and nothing else it is that rule, step for step. Hysteresis, committed bursts,
    cool-down and budget are ours: they keep the assistant from chattering.

    Attributes:
        enter: a burst of help begins where risk > enter; in the units of the monitor's risk.
        leave: it ends where risk <= leave; at most `enter`.
        min_steps: a burst lasts at least so long, whatever the risk; only the budget cuts it shorter.
        max_steps: and at most so long; None for no limit.
        cool_down: steps without help after every burst, at least; the step that ends it is the first, so 0 means 1.
        budget: assisted steps in an episode, at most; None for no limit.
        state: where it stands.

    Raises:
        InvalidValueError: one of the settings is outside its limit.
    """

    enter: float
    leave: float
    min_steps: int = 1
    max_steps: int | None = None
    cool_down: int = 0
    budget: int | None = None
    state: State = field(default=State(), init=False)

    def __post_init__(self) -> None:
        for name, value in (("enter", self.enter), ("leave", self.leave)):
            if not math.isfinite(value):
                raise InvalidValueError(f"{name} is {value}, must be a number: give a risk of the monitor's")
        if self.leave > self.enter:
            raise InvalidValueError(f"leave is {self.leave}, must be at most enter ({self.enter}): lower it")
        _require_least("min_steps", self.min_steps, 1)
        _require_least("cool_down", self.cool_down, 0)
        if self.budget is not None:
            _require_least("budget", self.budget, 0)
        if self.max_steps is not None:
            _require_least("max_steps", self.max_steps, self.min_steps)

    def reset(self) -> None:
        self.state = State()

    def update(self, assessment: Assessment) -> float:
        """Return the level of this step, 0 or 1.

        Raises:
            NonFiniteError: the risk is not a number. Neither "help" nor "do not" would be safe.
        """
        self.state = self.after(self.state, assessment.risk)
        return self.state.level

    def after(self, state: State, risk: float) -> State:
        """The state that follows `state` when a step has this `risk`; changes nothing here."""
        if risk != risk:
            raise NonFiniteError("risk is nan, must be a number: check the monitor")
        if state.phase is Phase.HELPING:
            return self._going_on(state) if self._still_needed(state, risk) else State(Phase.RESTING, 1, state.spent)
        if state.phase is Phase.RESTING and state.steps < self.cool_down:
            return State(Phase.RESTING, state.steps + 1, state.spent)
        if risk > self.enter and self._affordable(state):
            return State(Phase.HELPING, 1, state.spent + 1)
        return State(Phase.WATCHING, state.steps + 1 if state.phase is Phase.WATCHING else 1, state.spent)

    def _going_on(self, state: State) -> State:
        return State(Phase.HELPING, state.steps + 1, state.spent + 1)

    def _still_needed(self, state: State, risk: float) -> bool:
        if not self._affordable(state) or (self.max_steps is not None and state.steps >= self.max_steps):
            return False
        return state.steps < self.min_steps or risk > self.leave

    def _affordable(self, state: State) -> bool:
        return self.budget is None or state.spent < self.budget


@dataclass
class Timer:
    """A control that never looks at the risk: helps in the last `length` steps of every `period`.

    Its assistant rate is `length / period` in every whole period, the first included. `YokedTrigger` is
    the stricter control: as many bursts as a method gave, as long as its own, at random times.

    Raises:
        InvalidValueError: `length` is not in 1..period.
    """

    period: int
    length: int
    _step: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        _require_least("period", self.period, 1)
        if not 1 <= self.length <= self.period:
            raise InvalidValueError(f"length is {self.length}, must be in 1..{self.period}: it is a part of the period")

    def reset(self) -> None:
        self._step = 0

    def update(self, assessment: Assessment) -> float:
        step, self._step = self._step, self._step + 1
        return float(step % self.period >= self.period - self.length)


class Never:
    """A control that never helps: the monitor is still asked, and its risk is on record."""

    def reset(self) -> None:
        """It has no memory."""

    def update(self, assessment: Assessment) -> float:
        return 0.0


def _require_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InvalidValueError(f"{name} is {value}, must be at least {least}: it counts steps")
