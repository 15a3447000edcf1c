"""Where guidance pulls an operator's hands: straight from where they are to the place they would go next (ours).

The pull starts from the leader, which is where the operator's hand is. The follower lags a moving hand by 1 to 2 cm:
written as "where the arm is, plus a displacement", a short pull would draw the hand back. It is shorter the less sure
the place is, by c = max(0, 1 - (doubt e / d)^2), d its distance and e the error that is expected of it: where the
place might as well be here, nothing is felt, and fine work is left to the operator.

Of several ways that the hands may go, their motion says which: q_m becomes q_m exp(kappa sum_h u_h . d_mh), normalised,
u the direction in which a hand has moved of late and d that of its place (von Mises and Fisher's distribution).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import atan2, sqrt
from typing import NamedTuple

import numpy as np

from handrail.core.contracts import single
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal
from handrail.learn.next_place import NextPlace, Places, Ways
from handrail.learn.next_place_data import with_third

from .success_score import SuccessScore

Forward = Callable[[Array], tuple[Array, Array]]
Jacobian = Callable[[Array], Array]
ARM_DIM = 7
DAMPING = 1e-4 * np.eye(6)  # of the inverse Jacobian
SLOW_M = 0.003  # motion of late below which its direction says less, in proportion


class Base(NamedTuple):
    """Where an arm stands."""

    origin: Array  # (3,) [m]
    axes: Array  # (3, 3) from its frame to the world's


class PlaceGuide:
    """A `Recovery` whose proposal is where the operator's joints should be: (1, 14) [rad; opening].

    Openings are the operator's own. It answers the command that the monitor assessed last.

    Args:
        score: the monitor that hears the operator's command.
        learner: trained.
        forward: joints (6,) of an arm -> tool position (3,) [m] and rotation (3, 3) in the arm's base frame.
        jacobian: joints (6,) -> (6, 6) of the same, linear velocity first.
        lead_m, lead_rad: longest pull and turn.
        doubt: expected errors within which a place counts as here.
        kappa: how much the direction of a motion says about where it leads.

    Raises:
        InvalidValueError: a length is not above 0, or doubt or kappa is negative.
    """

    def __init__(
        self,
        score: SuccessScore,
        learner: NextPlace,
        forward: Forward,
        jacobian: Jacobian,
        lead_m: float = 0.03,
        lead_rad: float = 0.25,
        doubt: float = 1.6,
        kappa: float = 3.0,
    ) -> None:
        if not (lead_m > 0.0 and lead_rad > 0.0 and doubt >= 0.0 and kappa >= 0.0):
            raise InvalidValueError(
                f"lead_m {lead_m} and lead_rad {lead_rad} must be > 0, doubt {doubt} and kappa {kappa} >= 0: "
                "0.03, 0.25, 1.6 and 3 are usual"
            )
        self.score, self.learner, self._forward, self._jacobian = score, learner, forward, jacobian
        self.lead_m, self.lead_rad, self.doubt, self.kappa = lead_m, lead_rad, doubt, kappa
        self.hands = len(learner.scene.hands)
        self._bases: list[Base] = []

    def reset(self) -> None:
        """Forget where the arms stand."""
        self._bases.clear()

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal | None:
        """The answer to the command that `score` assessed last; None where it heard none."""
        heard = self.score.heard
        if heard is None:
            return None
        return single(self.target(observation, heard.command, self.score.commands[0]), Authority.ASSISTANT)

    def target(self, observation: Observation, command: Array, before: Array) -> Array:
        """Joint positions (14,) for an operator who commands `command` (14,) now and commanded `before` a while ago."""
        if not self._bases:
            self._bases = [self._base(np.asarray(observation["state"]), hand) for hand in range(self.hands)]
        held, been = ([self._forward(one[_joints(hand)]) for hand in range(self.hands)] for one in (command, before))
        places = self._chosen(self.learner.ways(observation), self._in_world(held), self._in_world(been))
        found = np.array(command, np.float32)
        for number, (base, (at, turn)) in enumerate(zip(self._bases, held, strict=True)):
            away = base.axes.T @ (places.position[number] - base.origin) - at
            twist = rotation_vector(base.axes.T @ places.rotation[number] @ turn.T)
            pull = np.concatenate([
                self._share(away, places.error_m[number]) * _limited(away, self.lead_m),
                self._share(twist, places.error_rad[number]) * _limited(twist, self.lead_rad),
            ])  # fmt: skip
            joints = _joints(number)
            J = self._jacobian(command[joints])
            found[joints] += J.T @ np.linalg.solve(J @ J.T + DAMPING, pull)
        return found

    def _base(self, state: Array, hand: int) -> Base:
        """Where the arm of a hand stands, by where its tool is in the world and in its own frame."""
        tool = self.learner.scene.hands[hand]
        at, turn = self._forward(state[_joints(hand)])
        axes = with_third(state[tool + 3 : tool + 6], state[tool + 6 : tool + 9]) @ turn.T
        return Base(state[tool : tool + 3] - axes @ at, axes)

    def _in_world(self, tools: Sequence[tuple[Array, Array]]) -> Array:
        """Positions (H, 3) [m] of poses that are each in the frame of its arm."""
        return np.array([base.origin + base.axes @ at for base, (at, _) in zip(self._bases, tools, strict=True)])

    def _chosen(self, ways: Ways, hands: Array, before: Array) -> Places:
        """The ways that hands (H, 3) seem to go which were at `before` (H, 3) a while ago."""
        motion = hands - before
        u = motion / np.maximum(_lengths(motion), SLOW_M)
        away = ways.position - hands
        d = away / np.maximum(_lengths(away), 1e-9)
        q = ways.probability * np.exp(self.kappa * (d * u).sum((1, 2)))
        return ways.merged(q / q.sum())

    def _share(self, away: Array, error: float) -> float:
        """c in [0, 1] of a place that is `away` and known to within `error`."""
        distance = sqrt(away @ away)
        return 0.0 if distance <= 0.0 else max(0.0, 1.0 - (self.doubt * float(error) / distance) ** 2)


def _joints(hand: int) -> slice:
    """Of one arm, without its gripper."""
    return slice(ARM_DIM * hand, ARM_DIM * hand + ARM_DIM - 1)


def rotation_vector(rotation: Array) -> Array:
    """The rotation vector (3,) [rad] of a rotation (3, 3), its angle in [0, pi]."""
    (a, b, c), (d, e, f), (g, h, i) = rotation.tolist()
    turn = np.array([h - f, c - g, d - b])
    double_sine = sqrt(turn @ turn)
    angle = atan2(double_sine, a + e + i - 1.0)
    if double_sine > 1e-6:
        return turn * (angle / double_sine)
    if angle < 1.0:
        return np.zeros(3)
    axis = np.sqrt(np.maximum(np.diag(rotation) + 1.0, 0.0) / 2.0)  # half a turn: either sense will do
    return angle * axis


def _lengths(vectors: Array) -> Array:
    """(..., 3) -> (..., 1). Half the time of `np.linalg.norm`."""
    return np.sqrt(np.square(vectors).sum(-1, keepdims=True))


def _limited(vector: Array, limit: float) -> Array:
    return vector * min(1.0, limit / max(sqrt(vector @ vector), 1e-12))
