"""Where guidance pulls an operator's hands: straight from where they are to the place they would go next (ours).

The pull starts from the leader, which is where the operator's hand is. The follower lags a moving hand by 1 to 2 cm:
written as "where the arm is, plus a displacement", a short pull would draw the hand back. It is shortened twice:

    c = max(0, 1 - doubt^2 max(0, e^2 - tolerance^2) / d^2),   f = 1 - v / min(pace, approach d), within [0, 1]

d is the distance of the place and e the error that is expected of it: where the place might as well be here, nothing is
felt. Successful people differ by about the tolerance where nothing is in doubt: so near, the pull is a soft stop. v is
how far the hand has moved toward the place of late: who is on the way by themselves is left alone, and who is nearly
there is not driven into it.

Of several ways that the hands may go, their motion says which: q_m becomes q_m exp(kappa sum_h u_h . d_mh), normalised,
u the direction in which a hand has moved of late and d that of its place (von Mises and Fisher's distribution).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atan2, sqrt

import numpy as np

from handrail.core.contracts import single
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal
from handrail.learn.arm_frames import Forward
from handrail.learn.next_place import NextPlace, Places, Ways

from .success_score import SuccessScore

Jacobian = Callable[[Array], Array]
DAMPING = 1e-4 * np.eye(6)  # of the inverse Jacobian
SLOW_M = 0.003  # motion of late below which its direction says less, in proportion


@dataclass(frozen=True)
class PlaceGuideConfig:
    """All values are ours.

    Attributes:
        lead_m, lead_rad: longest pull and turn.
        doubt: expected errors within which a place counts as here.
        tolerance_m: error of a position that is none, since successful people differ by as much.
        pace_m: motion toward its place in the 0.2 s that `SuccessScore.commands` hold, of a hand that needs no pull.
        approach: the same as a share of what is left of the way.
        kappa: how much the direction of a motion says about where it leads.
    """

    lead_m: float = 0.03
    lead_rad: float = 0.25
    doubt: float = 1.6
    tolerance_m: float = 0.006
    pace_m: float = 0.1
    approach: float = 2.25
    kappa: float = 3.0

    def __post_init__(self) -> None:
        for name in ("lead_m", "lead_rad", "pace_m", "approach"):
            if getattr(self, name) <= 0.0:
                raise InvalidValueError(f"place guide {name} is {getattr(self, name)}, must be > 0: raise it")
        for name in ("doubt", "tolerance_m", "kappa"):
            if getattr(self, name) < 0.0:
                raise InvalidValueError(f"place guide {name} is {getattr(self, name)}, must be >= 0: 0 does without")


class PlaceGuide:
    """A `Recovery` whose proposal is where the operator's joints should be: (1, 14) [rad; opening].

    Openings are the operator's own. It answers the command that the monitor assessed last.

    Args:
        score: the monitor that hears the operator's command.
        learner: trained.
        forward: joints (6,) of an arm -> tool position (3,) [m] and rotation (3, 3) in the arm's base frame.
        jacobian: joints (6,) -> (6, 6) of the same, linear velocity first.
    """

    def __init__(
        self,
        score: SuccessScore,
        learner: NextPlace,
        forward: Forward,
        jacobian: Jacobian,
        config: PlaceGuideConfig | None = None,
    ) -> None:
        self.score, self.learner, self._forward, self._jacobian = score, learner, forward, jacobian
        self.config = config or PlaceGuideConfig()
        self._joints = [learner.scene.joints(hand) for hand in range(len(learner.scene.hands))]
        self._arms: tuple[Array, Array] | None = None

    def reset(self) -> None:
        """Forget where the arms stand."""
        self._arms = None

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal | None:
        """The answer to the command that `score` assessed last; None where it heard none."""
        heard = self.score.heard
        if heard is None:
            return None
        return single(self.target(observation, heard.command, self.score.commands[0]), Authority.ASSISTANT)

    def target(self, observation: Observation, command: Array, before: Array) -> Array:
        """Joint positions (14,) for an operator who commands `command` (14,) now and commanded `before` a while ago."""
        if self._arms is None:
            self._arms = self._standing(np.asarray(observation["state"]))
        origins, axes = self._arms
        at, turn, motion = self._hands(command, before)
        hands, motion = origins + _turned(axes, at), _turned(axes, motion)
        places = self._chosen(self.learner.ways(observation), hands, motion)
        back = axes.swapaxes(1, 2)  # from the world's frame to the arms'
        way = places.position - hands
        spin = back @ places.rotation @ turn.swapaxes(1, 2)
        errors = places.error_m.tolist(), places.error_rad.tolist()
        pulls = np.array([self._pull(*hand) for hand in zip(way, spin, motion, *errors, strict=True)])
        pulls[:, :3] = _turned(back, pulls[:, :3])
        J = np.array([self._jacobian(command[joints]) for joints in self._joints])
        found = np.array(command, np.float32)
        for joints, change in zip(self._joints, _damped_inverse(J, pulls), strict=True):
            found[joints] += change
        return found

    def _standing(self, state: Array) -> tuple[Array, Array]:
        """Where the arms stand: origins (H, 3) [m] and axes (H, 3, 3) from their frames to the world's."""
        bases = [self.learner.scene.standing(state, hand, self._forward) for hand in range(len(self._joints))]
        origins, axes = (np.array(part) for part in zip(*bases, strict=True))
        return origins, axes

    def _hands(self, command: Array, before: Array) -> tuple[Array, Array, Array]:
        """In each arm's frame: positions (H, 3) [m], rotations (H, 3, 3), and motion (H, 3) [m] since `before`."""
        now = [self._forward(command[joints]) for joints in self._joints]
        at, turn = (np.array(part) for part in zip(*now, strict=True))
        return at, turn, at - [self._forward(before[joints])[0] for joints in self._joints]

    def _pull(self, way: Array, spin: Array, motion: Array, error_m: float, error_rad: float) -> list[float]:
        """What one hand is pulled by, (6,): [m] along `way` (3,), then [rad] along the turn `spin` (3, 3)."""
        c, distance = self.config, max(sqrt(way @ way), 1e-9)
        enough = min(c.pace_m, c.approach * distance)
        needed = min(max(1.0 - float(way @ motion) / (distance * enough), 0.0), 1.0)
        turn = rotation_vector(spin)
        angle = max(sqrt(turn @ turn), 1e-9)
        move = needed * self._share(distance, error_m, c.tolerance_m) * min(1.0, c.lead_m / distance)
        twist = needed * self._share(angle, error_rad) * min(1.0, c.lead_rad / angle)
        return [*(move * way), *(twist * turn)]

    def _chosen(self, ways: Ways, hands: Array, motion: Array) -> Places:
        """The ways that hands (H, 3) seem to go which have moved by `motion` (H, 3) of late."""
        u = motion / np.maximum(np.sqrt(np.square(motion).sum(-1, keepdims=True)), SLOW_M)
        away = ways.position - hands
        along = (away * u).sum(-1) / np.sqrt(np.maximum(np.square(away).sum(-1), 1e-18))  # (M, H)
        q = ways.probability * np.exp(self.config.kappa * along.sum(1))
        return ways.merged(q / q.sum())

    def _share(self, distance: float, error: float, tolerance: float = 0.0) -> float:
        """c in [0, 1] of a place so far away that is known to within `error`."""
        return max(0.0, 1.0 - self.config.doubt**2 * max(0.0, error**2 - tolerance**2) / distance**2)


def _turned(axes: Array, vectors: Array) -> Array:
    """(H, 3, 3) and (H, 3) -> (H, 3)."""
    return (axes @ vectors[..., None])[..., 0]


def _damped_inverse(J: Array, pulls: Array) -> Array:
    """Changes of joints (H, 6) that move hands by `pulls` (H, 6), small where an arm is singular."""
    transposed = J.swapaxes(1, 2)
    return _turned(transposed, np.linalg.solve(J @ transposed + DAMPING, pulls[..., None])[..., 0])


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
