"""When a simulated person takes over and lets go (operators.md item 7); it looks at the truth and at nothing else."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from handrail.core.values import TakeoverCause
from handrail.operators.traits import Traits

if TYPE_CHECKING:  # the tasks load MuJoCo; a person at a real robot needs none
    from handrail.tasks.base import Truth

REACTION_MEDIAN_S = 0.6
REACTION_LOG_SIGMA = 0.3
MINIMUM_HOLD_S = 1.0
STALL = 0.02  # progress below this over `patience` is no progress
RESTORED = 0.2  # progress above that at take-over which counts as restored, with the phase that was in trouble done
SAFE_FACTOR = 1.5  # danger is over beyond this multiple of the margin
FALSE_ALARM_WINDOW_S = (0.5, 5.0)


@dataclass
class Tally:
    """What happened since the law was made: for tests and for the validity figures."""

    troubles: int = 0
    missed: int = 0
    takeovers: int = 0
    false_alarms: int = 0


class TakeoverLaw:
    """Truth in, cause out: `NONE` means hands off.

    Trouble is progress that rose by less than `STALL` within the person's patience (STUCK), or a failure nearer than
    their margin (DANGER). They see it after a lognormal reaction time, or not at all; a trouble that ends by itself in
    the meantime is let be. They hold for at least a second, and let go once progress was restored (danger: is over)
    and stayed so.

    Ours: a person who stepped in because the robot was stuck lets go between two phases, not a moment before the
    grasp; who had to step in once has half the patience for the rest of the episode; and who has to step in a second
    time, or still holds the robot when half of the time is up, finishes the episode.
    """

    def __init__(
        self,
        traits: Traits,
        period_s: float,
        patience_scale: float = 1.0,
        reaction_scale: float = 1.0,
        horizon: float = np.inf,
    ) -> None:
        self._traits, self._period_s, self._reaction_scale = traits, period_s, reaction_scale
        self._horizon = horizon  # steps of an episode, as far as the person knows
        self._patience_steps = max(1, round(traits.patience_s * patience_scale / period_s))
        self._hold_steps = round(MINIMUM_HOLD_S / period_s)
        self._stay_steps = max(1, round(traits.stay_s / period_s))
        self.tally = Tally()

    def begin(self, rng: np.random.Generator) -> None:
        """Start an episode with its own noise."""
        self._rng = rng
        self._step, self._times_stuck = 0, 0
        window = rng.uniform(*FALSE_ALARM_WINDOW_S)
        wrong = rng.random() < self._traits.false_alarm_rate
        self._false_alarm_step = round(window / self._period_s) if wrong else -1
        self._watch()

    def update(self, truth: Truth) -> TakeoverCause:
        """Take in one step's truth, return why the person holds the robot now."""
        self._step += 1
        self._progress.append(truth.progress)
        if self._cause is TakeoverCause.NONE:
            self._maybe_take_over(truth)
        else:
            self._maybe_hand_back(truth)
        return self._cause

    def _watch(self) -> None:
        """Hands off, and patience starts anew."""
        self._cause, self._trouble, self._countdown = TakeoverCause.NONE, TakeoverCause.NONE, 0
        self._progress: deque[float] = deque(maxlen=self._patience_steps + 1)

    def _trouble_now(self, truth: Truth) -> TakeoverCause:
        if truth.failure_margin_m < self._traits.danger_m:
            return TakeoverCause.DANGER
        patience = max(1, self._patience_steps // (2 if self._times_stuck else 1))
        waited = len(self._progress) > patience
        stalled = waited and truth.progress - self._progress[-1 - patience] < STALL
        return TakeoverCause.STUCK if stalled else TakeoverCause.NONE

    def _maybe_take_over(self, truth: Truth) -> None:
        trouble = self._trouble_now(truth)
        if trouble is TakeoverCause.NONE:
            self._trouble = trouble
        elif self._trouble is TakeoverCause.NONE or trouble is TakeoverCause.DANGER is not self._trouble:
            self._begin_trouble(trouble)  # danger is noticed anew, whatever was thought of the trouble before
        if self._trouble is not TakeoverCause.NONE and self._countdown >= 0:
            self._countdown -= 1
            if self._countdown < 0:
                self._take_over(self._trouble, truth)
        if (
            self._cause is TakeoverCause.NONE
            and self._step == self._false_alarm_step
            and self._trouble is TakeoverCause.NONE
        ):
            self._take_over(TakeoverCause.FALSE_ALARM, truth)

    def _begin_trouble(self, trouble: TakeoverCause) -> None:
        self._trouble = trouble
        self.tally.troubles += 1
        reaction_s = self._reaction_scale * self._rng.lognormal(np.log(REACTION_MEDIAN_S), REACTION_LOG_SIGMA)
        missed = self._rng.random() < self._traits.miss_rate
        self.tally.missed += missed
        self._countdown = -1 if missed else round(reaction_s / self._period_s)

    def _take_over(self, cause: TakeoverCause, truth: Truth) -> None:
        self._cause, self._held, self._good = cause, 0, 0
        self._progress_before, self._phase_before = truth.progress, truth.phase
        self._times_stuck += cause is TakeoverCause.STUCK
        self.tally.takeovers += 1
        self.tally.false_alarms += cause is TakeoverCause.FALSE_ALARM

    def _maybe_hand_back(self, truth: Truth) -> None:
        self._held += 1
        self._good = self._good + 1 if self._restored(truth) else 0
        if self._held >= self._hold_steps and self._good >= self._stay_steps:
            self._watch()

    def _restored(self, truth: Truth) -> bool:
        finishing = self._times_stuck > 1 or self._step > self._horizon / 2
        if self._cause is TakeoverCause.STUCK and (finishing or truth.phase == self._phase_before):
            return False
        gained = truth.progress - self._progress_before
        safe = truth.failure_margin_m > SAFE_FACTOR * self._traits.danger_m
        return safe and gained >= (RESTORED if self._cause is TakeoverCause.STUCK else 0.0)
