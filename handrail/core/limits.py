"""Limits: every command passes them, whoever sent it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .errors import InvalidValueError, require_finite
from .values import Array, Authority, Command, Observation

Bound = Callable[[Observation, Array], Array]
"""Projects an action (A,) into what this observation allows: a workspace box, a force ceiling."""


@dataclass(frozen=True)
class Limits:
    """Box, rate, workspace, force and finiteness.

    Attributes:
        low, high: box of the action, (A,).
        rate: largest change of each action dimension per step, (A,); None for no rate limit.
        workspace: keeps the tool inside its workspace; None where the environment needs none.
        force: reduces an action that would push harder than allowed; None where the environment needs none.
    """

    low: Array
    high: Array
    rate: Array | None = None
    workspace: Bound | None = None
    force: Bound | None = None

    def __post_init__(self) -> None:
        if np.shape(self.low) != np.shape(self.high) or not np.all(np.asarray(self.low) <= np.asarray(self.high)):
            raise InvalidValueError(f"limits low {self.low} exceed high {self.high}: give low <= high of one shape")
        if self.rate is not None and not np.all(np.asarray(self.rate) >= 0):
            raise InvalidValueError(f"limits rate {self.rate} is negative: give the largest change per step, >= 0")

    def apply(self, command: Command, observation: Observation, last: Array | None) -> tuple[Command, bool]:
        """Return the command that may be executed, and whether it had to be changed.

        Raises:
            NonFiniteError: the action, or what a bound made of it, holds NaN or infinity.
            InvalidValueError: the action has another shape than the limits.
        """
        asked = require_finite(f"action of {command.authority.name}", command.action).astype(np.float32)
        if asked.shape != np.shape(self.low):
            raise InvalidValueError(
                f"action of {command.authority.name} has shape {asked.shape}, the limits have {np.shape(self.low)}: "
                "give one number per action dimension"
            )
        action = asked
        if self.rate is not None and last is not None and command.authority is not Authority.STOP:
            action = np.clip(action, last - self.rate, last + self.rate)
        for bound in (self.workspace, self.force):
            if bound is not None:
                action = require_finite("action after a workspace or force bound", bound(observation, action))
        action = np.minimum(np.maximum(action, self.low), self.high).astype(
            np.float32
        )  # np.clip is slow on few numbers
        clipped = bool((np.abs(action - asked) > 1e-6).any())
        return Command(action, command.authority, command.level, command.guidance, command.reason), clipped
