"""Where guidance pulls an operator's hands: straight from where they are to the place they would go next (ours).

The pull starts from the leader, which is where the operator's hand is. The follower lags a moving hand by 1 to 2 cm:
written as "where the arm is, plus a displacement", a short pull would draw the hand back. It is shortened twice:

    c = max(0, 1 - doubt^2 max(0, e^2 - tolerance^2) / d^2),   f = 1 - v / pace, within [0, 1]

d is the distance of the place and e the error that is expected of it: where the place might as well be here, nothing is
felt. Successful people differ by about the tolerance where nothing is in doubt: so near, the pull is a soft stop. v is
how far the hand has moved toward the place of late: who is on the way by themselves is left alone.

Of several ways that the hands may go, their motion says which: q_m becomes q_m exp(kappa sum_h u_h . d_mh), normalised,
u the direction in which a hand has moved of late and d that of its place (von Mises and Fisher's distribution).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import atan2, sqrt

import numpy as np

from handrail.core.contracts import single
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal
from handrail.learn.arm_frames import Base, Forward
from handrail.learn.next_place import NextPlace, Places, Ways

from .success_score import SuccessScore

Jacobian = Callable[[Array], Array]
DAMPING = 1e-4 * np.eye(6)  # of the inverse Jacobian
SLOW_M = 0.003  # motion of late below which its direction says less, in proportion


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
        tolerance_m: error of a position that is none, since successful people differ by as much.
        pace_m: motion toward its place, over the time that `score.commands` remember, of a hand that needs no pull.
        kappa: how much the direction of a motion says about where it leads.

    Raises:
        InvalidValueError: a length is not above 0, or doubt, tolerance or kappa is negative.
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
        tolerance_m: float = 0.006,
        pace_m: float = 0.1,
        kappa: float = 3.0,
    ) -> None:
        if min(lead_m, lead_rad, pace_m) <= 0.0 or min(doubt, tolerance_m, kappa) < 0.0:
            raise InvalidValueError(
                f"lead_m {lead_m}, lead_rad {lead_rad} and pace_m {pace_m} must be > 0, doubt {doubt}, tolerance_m "
                f"{tolerance_m} and kappa {kappa} >= 0: 0.03, 0.25, 0.1, 1.6, 0.006 and 3 are usual"
            )
        self.score, self.learner, self._forward, self._jacobian = score, learner, forward, jacobian
        self.lead_m, self.lead_rad, self.doubt, self.kappa = lead_m, lead_rad, doubt, kappa
        self.tolerance_m, self.pace_m = tolerance_m, pace_m
        self._joints = [learner.scene.joints(hand) for hand in range(len(learner.scene.hands))]
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
            state, scene = np.asarray(observation["state"]), self.learner.scene
            self._bases = [scene.standing(state, hand, self._forward) for hand in range(len(scene.hands))]
        held, been = ([self._forward(one[joints]) for joints in self._joints] for one in (command, before))
        hands = self._in_world(held)
        motion = hands - self._in_world(been)
        places = self._chosen(self.learner.ways(observation), hands, motion)
        found = np.array(command, np.float32)
        for hand, (joints, base, (_, turn)) in enumerate(zip(self._joints, self._bases, held, strict=True)):
            way = places.position[hand] - hands[hand]
            twist = rotation_vector(base.axes.T @ places.rotation[hand] @ turn.T)
            needed = self._needed(way, motion[hand])
            move = needed * self._share(way, places.error_m[hand], self.tolerance_m) * _limited(way, self.lead_m)
            spin = needed * self._share(twist, places.error_rad[hand]) * _limited(twist, self.lead_rad)
            pull = np.concatenate([base.axes.T @ move, spin])
            J = self._jacobian(command[joints])
            found[joints] += J.T @ np.linalg.solve(J @ J.T + DAMPING, pull)
        return found

    def _in_world(self, tools: Sequence[tuple[Array, Array]]) -> Array:
        """Positions (H, 3) [m] of poses that are each in the frame of its arm."""
        return np.array([base.position(at) for base, (at, _) in zip(self._bases, tools, strict=True)])

    def _chosen(self, ways: Ways, hands: Array, motion: Array) -> Places:
        """The ways that hands (H, 3) seem to go which have moved by `motion` (H, 3) of late."""
        u = motion / np.maximum(_lengths(motion), SLOW_M)
        away = ways.position - hands
        d = away / np.maximum(_lengths(away), 1e-9)
        q = ways.probability * np.exp(self.kappa * (d * u).sum((1, 2)))
        return ways.merged(q / q.sum())

    def _needed(self, way: Array, motion: Array) -> float:
        """f in [0, 1] of a hand that has moved by `motion` (3,) of late, `way` (3,) from its place."""
        toward = float(way @ motion) / max(sqrt(way @ way), 1e-9)
        return min(max(1.0 - toward / self.pace_m, 0.0), 1.0)

    def _share(self, way: Array, error: float, tolerance: float = 0.0) -> float:
        """c in [0, 1] of a place that is `way` (3,) away and known to within `error`."""
        doubted = self.doubt**2 * max(0.0, float(error) ** 2 - tolerance**2)
        return max(0.0, 1.0 - doubted / max(float(way @ way), 1e-18))


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
