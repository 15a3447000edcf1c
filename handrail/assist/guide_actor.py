"""Where guidance pulls an operator's joints: the learned actor's correction of their command, or the score's gradient.

Both answer the command that the score assessed last, in small steps around it: a target found anew, by inverse
kinematics say, may lie in another branch of the wrist. The equations are ours; the form of the actor (raise the score,
stay close to the operator's action) is that of arXiv 2602.01092.
"""

from __future__ import annotations

import numpy as np

from handrail.core.contracts import single
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal
from handrail.nets import Mlp, numpy_forward, numpy_gradient

from .success_score import Heard, SuccessScore, sigmoid


class Guide:
    """A `Recovery` whose proposal is where the operator's joints should be: (1, A) [rad; opening].

    The target is the command + gain * (corrected action - operator's action). With a gain above 1 the correction is a
    direction rather than a place: it is rendered as a spring, which would be weak over the few hundredths of a radian
    by which a command leads its joint.

    Args:
        score: the monitor that hears the operator's command.
        gain: of the correction.

    Raises:
        InvalidValueError: the gain is not above 0.
    """

    def __init__(self, score: SuccessScore, gain: float = 1.0) -> None:
        if not gain > 0.0:
            raise InvalidValueError(f"guide gain is {gain}, must be > 0: 1 is the actor's own correction")
        self.score, self.gain = score, gain

    def reset(self) -> None:
        """It has no memory of its own."""

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal | None:
        """The answer to the command that `score` assessed last; None where it heard none."""
        heard = self.score.heard
        return None if heard is None else single(self._joints(heard), Authority.ASSISTANT)

    def target(self, observation: Observation, command: Array) -> Array:
        """Joint positions (A,) for an operator who commands `command` (A,)."""
        return self._joints(self.score.hear(observation, command))

    def corrected(self, heard: Heard) -> Array:
        """The action (A,) in units, within [-1, 1] and the learner's bound of the operator's."""
        raise InvalidValueError(f"{type(self).__name__} corrects nothing: use GuideActor or ScoreAscent")

    def _joints(self, heard: Heard) -> Array:
        action = heard.action + self.gain * (self.corrected(heard) - heard.action)
        return self.score.joints(heard, action)


class GuideActor(Guide):
    """pi(s, a_h), the actor of `learn.cql.CQL`, in NumPy; it shares the learner's memory."""

    def __init__(self, score: SuccessScore, gain: float = 1.0) -> None:
        super().__init__(score, gain)
        self._mu = numpy_forward(score.learner.nets.actor)
        self._bound = score.learner.config.bound

    def corrected(self, heard: Heard) -> Array:
        mu = self._mu(np.concatenate([heard.features, heard.action]))
        return np.clip(heard.action + self._bound * np.tanh(mu), -1.0, 1.0, dtype=np.float32)


class ScoreAscent(Guide):
    """The ablation `no-actor`: a few steps up the score's own gradient, within the actor's bound.

    a <- a + rate * d/da [S(s, a) - eta |a - a_h|^2], kept within the bound of a_h: the actor's objective without an
    actor. S is not clipped in it, so that there is a slope outside the percentiles.

    Args:
        score, gain: as for every guide.
        steps: of the ascent.
        rate: of a step; None for the bound over `steps`.
    """

    def __init__(self, score: SuccessScore, gain: float = 1.0, steps: int = 3, rate: float | None = None) -> None:
        super().__init__(score, gain)
        nets, config = score.learner.nets, score.learner.config
        if steps < 1:
            raise InvalidValueError(f"steps is {steps}, must be at least 1: 3 are enough for a small bound")
        self.steps, self.rate = steps, config.bound / steps if rate is None else rate
        self._bound, self._eta = config.bound, config.eta
        self._critics = [numpy_gradient(critic) for critic in nets.critics if isinstance(critic, Mlp)]
        self._low, self._high = nets.score_low.numpy(), nets.score_high.numpy()

    def corrected(self, heard: Heard) -> Array:
        a = a_h = heard.action
        low, high = np.maximum(a_h - self._bound, -1.0), np.minimum(a_h + self._bound, 1.0)
        for _ in range(self.steps):
            slope = self.slope(heard.features, a) - 2.0 * self._eta * (a - a_h)
            a = np.minimum(np.maximum(a + np.float32(self.rate) * slope, low), high)
        return a

    def slope(self, features: Array, action: Array) -> Array:
        """dS/da of features (D,) and an action (A,) in units: (A,). S = (min Q - q_lo) / (q_hi - q_lo), not clipped."""
        row = np.concatenate([features, action])
        outputs, gradient = min((critic(row) for critic in self._critics), key=lambda found: float(found[0][0]))
        q = sigmoid(float(outputs[0]))
        return gradient[len(features) :] * np.float32(q * (1.0 - q) / (float(self._high) - float(self._low)))
