"""The small frozen values that the whole package is arithmetic on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

Array = np.ndarray
Observation = Mapping[str, Array | str]
""""state" (S,), "environment_state" (E,), "images.<camera>" (H, W, 3) uint8, "task" str; unbatched."""


def as_mapping(observation: Any) -> Observation:
    """An `Observation`: a mapping as it is, a bare array as its "state"."""
    return observation if isinstance(observation, dict) else {"state": np.asarray(observation)}


class Authority(IntEnum):
    """Who commands the robot. The order is the order of precedence: a larger value wins."""

    POLICY = 0
    ASSISTANT = 1
    OPERATOR = 2
    STOP = 3


class Event(IntEnum):
    """What an operator says besides moving the robot."""

    SUCCESS = 1
    FAILURE = 2
    RERECORD = 3
    TERMINATE = 4
    STOP = 5


class TakeoverCause(IntEnum):
    """Why the operator holds the robot."""

    NONE = 0
    MANUAL = 1  # a person at a device: the reason is theirs
    STUCK = 2  # no progress for longer than their patience
    DANGER = 3  # a failure was near
    FALSE_ALARM = 4  # nothing was wrong
    REQUESTED = 5  # the assistant asked
    DEMONSTRATION = 6  # the whole episode is theirs
    CORRUPTED = 7  # a surrogate operator that corrupts an expert, not a person


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one source would do: a chunk of actions (H, A), H = 1 for plain policies."""

    actions: Array  # (H, A)
    source: Authority
    made_at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Intent:
    """What the operator does now: an action (A,), an event, or both. No `Intent` at all means hands off."""

    action: Array | None = None  # (A,)
    event: Event | None = None
    cause: TakeoverCause = TakeoverCause.MANUAL


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a monitor thinks of an observation and the action about to be executed."""

    risk: float
    value: float  # in [0, 1]
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """What the robot is told. `guidance` is felt by the operator's hand and never changes `action`."""

    action: Array  # (A,)
    authority: Authority
    level: float = 0.0  # assistance, in [0, 1]
    guidance: Array | None = None  # (D,)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepView:
    """What an operator sees of a step. There is no environment handle in it."""

    observation: Observation
    last_command: Command | None
    time_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """One executed step, as the loop produced it: the single source of every buffer, file, metric and plot."""

    observation: Observation
    next_observation: Observation
    action: Array  # (A,) executed, after limits
    policy_action: Array  # (A,) what the driver proposed
    operator_action: Array | None  # (A,) raw device command
    assistant_action: Array | None  # (A,)
    authority: Authority
    takeover_cause: TakeoverCause
    assist_level: float
    risk: float
    value: float
    reward: float
    cost: float
    terminated: bool
    truncated: bool
    success: bool
    timestamp: float  # nominal [s] since the episode began
    stamp_s: float  # measured [s] since the episode began
    clipped: bool = False  # the limits changed the command

    @property
    def done(self) -> bool:
        return self.terminated or self.truncated

    @property
    def intervention(self) -> bool:
        """A step whose authority is OPERATOR while the policy is the driver."""
        return self.authority is Authority.OPERATOR and self.takeover_cause is not TakeoverCause.DEMONSTRATION
