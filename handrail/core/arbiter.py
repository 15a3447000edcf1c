"""Arbitration: STOP > OPERATOR > ASSISTANT > POLICY, as a total function over small values.

The precedence is a table of rules tried in order. Each rule is one line of the safety argument; a test enumerates every
(authority state x event) pair and shows that the table without any one rule gives another answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .values import Array, Authority, Command, Event, Intent, Proposal


@dataclass(frozen=True, slots=True)
class Claims:
    """Everything that may claim the robot in one step."""

    driver: Proposal
    assistant: Proposal | None
    operator: Intent | None
    level: float
    stop: bool
    hold: Array  # (A,) what "stay where you are" means here

    @property
    def operator_drives(self) -> bool:
        return self.driver.source is Authority.OPERATOR

    @property
    def share(self) -> float:
        """The assistant's level, in [0, 1]; 0 when it proposes nothing or its level is not a number."""
        return min(self.level, 1.0) if self.assistant is not None and self.level > 0.0 else 0.0

    @property
    def help(self) -> Array:
        """What the assistant proposes, (A,); zeros when it proposes nothing."""
        return np.zeros_like(self.hold) if self.assistant is None else self.assistant.actions[0]

    def by_operator(self, action: Array, reason: str) -> Command:
        """The operator's command; guidance is added only where they drive, and never edits `action`."""
        level = self.share if self.operator_drives else 0.0
        return Command(action, Authority.OPERATOR, level, level * self.help if level else None, reason)


Rule = Callable[[Claims], Command | None]


def stop_wins(c: Claims) -> Command | None:
    """A stop, latched or pressed in this very step, holds the robot whatever anyone else proposes."""
    pressed = c.operator is not None and c.operator.event is Event.STOP
    return Command(c.hold, Authority.STOP, reason="stop") if c.stop or pressed else None


def operator_wins(c: Claims) -> Command | None:
    """A person who moves the device drives, whatever the policy or the assistant proposes."""
    if c.operator is None or c.operator.action is None:
        return None
    return c.by_operator(c.operator.action, c.operator.cause.name.lower())


def operator_guided(c: Claims) -> Command | None:
    """Where the operator is the driver, assistance is a force on their hand and never edits their command."""
    return c.by_operator(c.driver.actions[0], "operator drives") if c.operator_drives else None


def assistant_helps(c: Claims) -> Command | None:
    """The assistant takes its share: level 1 switches, between 0 and 1 blends."""
    if not c.share:
        return None
    action = (1.0 - c.share) * c.driver.actions[0] + c.share * c.help
    return Command(action, Authority.ASSISTANT, c.share, reason="assist")


def policy_drives(c: Claims) -> Command | None:
    """Nobody objects."""
    return Command(c.driver.actions[0], Authority.POLICY)


RULES: tuple[Rule, ...] = (stop_wins, operator_wins, operator_guided, assistant_helps, policy_drives)


def arbitrate(
    driver: Proposal,
    assistant: Proposal | None,
    operator: Intent | None,
    level: float,
    stop: bool,
    hold: Array | None = None,
    rules: tuple[Rule, ...] = RULES,
) -> Command:
    """Turn all proposals of one step into the one `Command`.

    Args:
        driver: who proposes first: the policy, or the operator in teleoperation; actions (H, A).
        assistant: the recovery's proposal, or None.
        operator: the operator's intent, or None for hands off.
        level: assistance in [0, 1]; values between blend driver and assistant.
        stop: a latched stop.
        hold: the action (A,) that keeps the robot where it is; zeros (delta actions) when not given.
        rules: the precedence table; replaced only by tests.
    """
    still = np.zeros_like(driver.actions[0]) if hold is None else hold
    claims = Claims(driver, assistant, operator, level, stop, still)
    for rule in rules:
        command = rule(claims)
        if command is not None:
            return command
    return Command(still, Authority.STOP, reason="no rule applied")


@dataclass(slots=True)
class StopLatch:
    """A stop, once set, stays until the episode is reset; it is never queued and never expires."""

    engaged: bool = False

    def update(self, operator: Intent | None) -> bool:
        self.engaged = self.engaged or (operator is not None and operator.event is Event.STOP)
        return self.engaged

    def reset(self) -> None:
        self.engaged = False


@dataclass(slots=True)
class Ramp:
    """Rate-limits a level, so that authority is handed over gradually; `steps` = 0 switches at once.

    A target outside [0, 1] counts as the nearest bound, and one that is not a number as 0.
    """

    steps: int = 0
    level: float = 0.0

    def update(self, target: float) -> float:
        target = min(1.0, max(0.0, float(target))) if target == target else 0.0
        step = 1.0 if self.steps == 0 else 1.0 / self.steps
        self.level += min(step, max(-step, target - self.level))  # np.clip of a number costs ten times as much
        return self.level

    def reset(self) -> None:
        self.level = 0.0
