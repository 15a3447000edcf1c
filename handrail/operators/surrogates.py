"""The field's usual stand-ins for a person: corruptions of an expert, take-over by value, and nobody at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Intent, Observation, StepView, TakeoverCause

LAGGY_REPEAT = (0.8, 0.85)
NOISY_RANDOM = (0.3, 0.6)
_LAGGY, _NOISY, _VALUE = 101, 102, 103  # keep the streams of one draw apart

Act = Callable[[Observation], Array]
"""observation -> action (A,); must not draw from anybody else's random generator."""
Q = Callable[[Observation, Array], float]
"""observation, action (A,) -> discounted return."""


class Actor(Protocol):
    """An expert that knows the truth by itself."""

    def act(self) -> Array: ...


class HandsOff:
    """Nobody: never touches anything."""

    def reset(self, draw: int) -> None:
        """Nothing to draw."""

    def intent(self, view: StepView) -> Intent | None:
        return None


class _Episodes:
    """Numbers the episodes of each draw, so that successive ones differ and a rerun repeats them."""

    def __init__(self, stream: int) -> None:
        self._stream, self.begun = stream, dict[int, int]()

    def begin(self, draw: int, episode: int | None) -> tuple[np.random.Generator, np.random.Generator]:
        """Return the generators of who they are and of this episode's noise."""
        if draw < 0:
            raise InvalidValueError(f"operator draw is {draw}, must be >= 0: draws 0 to 99 are for development")
        episode = self.begun.get(draw, 0) if episode is None else episode
        self.begun[draw] = episode + 1
        return np.random.default_rng((draw, self._stream)), np.random.default_rng((draw, self._stream, 1 + episode))


class Laggy:
    """Drives the whole episode and repeats the last action with the probability `repeat`.

    Args:
        expert: whom it corrupts.
        repeat: drawn once a person from 0.8 to 0.85 when not given.
    """

    def __init__(self, expert: Actor, repeat: float | None = None) -> None:
        self._expert, self._given = expert, _probability("repeat", repeat)
        self._episodes = _Episodes(_LAGGY)

    def reset(self, draw: int, episode: int | None = None) -> None:
        person, self._rng = self._episodes.begin(draw, episode)
        self.repeat = float(person.uniform(*LAGGY_REPEAT)) if self._given is None else self._given
        self._last: Array | None = None

    def intent(self, view: StepView) -> Intent | None:
        if self._last is None or self._rng.random() >= self.repeat:
            self._last = self._expert.act()
        return Intent(self._last, cause=TakeoverCause.CORRUPTED)


class Noisy:
    """Drives the whole episode and does something random with the probability `random`.

    Args:
        expert: whom it corrupts.
        random: drawn once a person from 0.3 to 0.6 when not given.
    """

    def __init__(self, expert: Actor, random: float | None = None) -> None:
        self._expert, self._given = expert, _probability("random", random)
        self._episodes = _Episodes(_NOISY)

    def reset(self, draw: int, episode: int | None = None) -> None:
        person, self._rng = self._episodes.begin(draw, episode)
        self.random = float(person.uniform(*NOISY_RANDOM)) if self._given is None else self._given

    def intent(self, view: StepView) -> Intent | None:
        action = self._expert.act()
        if self._rng.random() < self.random:
            action = self._rng.uniform(-1.0, 1.0, action.shape).astype(np.float32)
        return Intent(action, cause=TakeoverCause.CORRUPTED)


class ValueTakeover:
    """Takes over when the policy's action is worth less than the reference's (RLIF, Luo et al. 2024).

    With Q*(s, a_pi) < 0.97 Q*(s, a_ref) it takes over with probability 0.95 (DANGER), else with 0.05 (FALSE_ALARM);
    either way the reference acts for 4 steps. The threshold assumes Q* >= 0, as a sparse reward of 0 or 1 gives.

    Args:
        q: a critic trained elsewhere and frozen, or `foresight.ExpertValue`.
        reference: what this operator does once it holds the robot.
        proposed: what the policy is about to do; its mean action, so that asking draws no noise. A callable because an
            operator sees neither the policy nor its proposal.
    """

    def __init__(
        self,
        q: Q,
        reference: Act,
        proposed: Act,
        *,
        ratio: float = 0.97,
        p_worse: float = 0.95,
        p_otherwise: float = 0.05,
        steps: int = 4,
    ) -> None:
        if steps < 1:
            raise InvalidValueError(f"steps is {steps}, must be >= 1: RLIF holds for 4")
        self._q, self._reference, self._proposed = q, reference, proposed
        self._ratio, self._steps = ratio, steps
        self._p = (_probability("p_otherwise", p_otherwise), _probability("p_worse", p_worse))
        self._episodes = _Episodes(_VALUE)

    @property
    def episodes(self) -> dict[int, int]:
        """Draw -> episodes begun; part of a resumable run's state."""
        return self._episodes.begun

    @episodes.setter
    def episodes(self, begun: dict[int, int]) -> None:
        self._episodes.begun = begun

    def reset(self, draw: int, episode: int | None = None) -> None:
        _, self._rng = self._episodes.begin(draw, episode)
        self._left, self._cause = 0, TakeoverCause.NONE

    def intent(self, view: StepView) -> Intent | None:
        reference = self._reference(view.observation)
        if self._left == 0:
            self._consider(view.observation, reference)
        if self._left == 0:
            return None
        self._left -= 1
        return Intent(reference, cause=self._cause)

    def _consider(self, observation: Observation, reference: Array) -> None:
        proposed = self._proposed(observation)
        worse = self._q(observation, proposed) < self._ratio * self._q(observation, reference)
        probability = self._p[worse]
        if probability is not None and self._rng.random() < probability:
            self._left = self._steps
            self._cause = TakeoverCause.DANGER if worse else TakeoverCause.FALSE_ALARM


def _probability(name: str, value: float | None) -> float | None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise InvalidValueError(f"{name} is {value}, must be in [0, 1]: it is a probability")
    return value
