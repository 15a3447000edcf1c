"""A person's hand on a leader arm: compliant around an intent, and what they do when guidance pushes against it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import exp, log, sqrt

import numpy as np

from handrail.core.errors import InvalidValueError, unknown_name
from handrail.core.values import Array
from handrail.operators.traits import tier_index

MASS_KG, DAMPING_NS_M, STIFFNESS_N_M = 0.55, 6.5, 135.0  # a measured arm (operators.md item 5)
STIFFNESS_RANGE = (0.5, 4.0)  # relaxed to stiff, times the above
TURN_STIFFNESS_NM, TURN_DAMPING_NMS = 3.0, 0.15  # of the wrist, per rad (ours)
FINGER_STIFFNESS_NM, FINGER_DAMPING_NMS = 2.0, 0.12  # on the trigger, per rad (ours)

REACTION_SHARES = {"yielder": 0.5, "resister": 0.3, "ignorer": 0.2}
PATIENCE_S = (0.4, 0.8)
FEEL_N = 0.5  # weaker pushes are not noticed (ours)
AT_TARGET_M = 0.005  # nearer to the target than this, any push is one away from it (ours)
YIELD_M_S, YIELD_MAX_M = 0.06, 0.12  # how fast and how far an intent gives way (ours)
RETURN_S = 1.0  # in which a reaction fades once the push is over (ours)
LEAN, RELENT = 0.4, 0.8  # per plan: share of the error that is added to a lean; what is kept of it when free (ours)
LEAN_MAX_M, LEAN_MAX_RAD = 0.05, 0.4  # ours
RESIST = 2.5  # times stiffer, within STIFFNESS_RANGE (ours)


class Reaction(Enum):
    """What a person does about guidance that pushes against their intent for longer than their patience."""

    YIELDER = "yielder"  # moves the intent toward where it pushes
    RESISTER = "resister"  # stiffens
    IGNORER = "ignorer"  # goes on as before


@dataclass(frozen=True, slots=True)
class HandTraits:
    """How one person holds a leader arm; belongs to them like their `traits.Traits`.

    Attributes:
        stiffness: factor on the measured arm, in `STIFFNESS_RANGE`.
        reaction: to guidance that pushes against the intent.
        patience_s: before they react.
    """

    stiffness: float
    reaction: Reaction
    patience_s: float

    def __post_init__(self) -> None:
        low, high = STIFFNESS_RANGE
        if not low <= self.stiffness <= high:
            raise InvalidValueError(
                f"hand stiffness is {self.stiffness}, must be in [{low}, {high}]: 1 is a measured arm"
            )


def draw_hand(draw: int, tier: str, reaction: str | None = None) -> HandTraits:
    """The hand of operator draw `draw` in this tier: always the same one.

    Args:
        reaction: "yielder", "resister" or "ignorer" makes them one, to report a type by itself; None as drawn.

    Raises:
        UnknownNameError: no such tier or reaction.
    """
    if reaction is not None and reaction not in REACTION_SHARES:
        raise unknown_name("reaction", reaction, REACTION_SHARES)
    rng = np.random.default_rng((draw, tier_index(tier), 1, 2))  # a stream apart from that of their traits
    stiffness = exp(rng.uniform(log(STIFFNESS_RANGE[0]), log(STIFFNESS_RANGE[1])))
    kind = str(rng.choice(list(REACTION_SHARES), p=list(REACTION_SHARES.values())))
    return HandTraits(stiffness, Reaction(reaction or kind), float(rng.uniform(*PATIENCE_S)))


@dataclass(slots=True)
class Reach:
    """What one hand intends for the tool at this instant; all vectors (3,) in the world frame."""

    position: Array  # [m]
    velocity: Array  # [m/s]
    acceleration: Array  # [m/s^2]
    turn: Array  # [rad] rotation vector from the tool's orientation to the intended one
    spin: Array  # [rad/s]


class CompliantHand:
    """`F = M a_int + K (x_int - x) + B (v_int - v)`, and the same for turning; M itself is in the leader's model.

    K and B of the sheet, K times the person's stiffness; B times its root, so that the damping ratio is theirs at every
    stiffness (ours). A person knows the weight of their own arm: M moves along with the intent (ours).
    """

    def __init__(self, traits: HandTraits) -> None:
        self.traits = traits
        self.brace(1.0)

    def brace(self, factor: float) -> None:
        """Be `factor` times as stiff as drawn, within what an arm can do."""
        stiffness = min(self.traits.stiffness * factor, STIFFNESS_RANGE[1])
        self._linear = (STIFFNESS_N_M * stiffness, DAMPING_NS_M * sqrt(stiffness))
        self._turning = (TURN_STIFFNESS_NM * stiffness, TURN_DAMPING_NMS * sqrt(stiffness))

    def wrench(self, position: Array, twist: Array, reach: Reach) -> Array:
        """Force (3,) [N] and torque (3,) [N m] on the tool at `position` (3,) with `twist` (6,) [m/s, rad/s]."""
        (k, b), (k_turn, b_turn) = self._linear, self._turning
        wrench = np.empty(6)
        wrench[:3] = MASS_KG * reach.acceleration + k * (reach.position - position) + b * (reach.velocity - twist[:3])
        wrench[3:] = k_turn * reach.turn + b_turn * (reach.spin - twist[3:])
        return wrench


def finger_torque(angle: float, rate: float, opening: float) -> float:
    """Torque [N m] of a finger on the trigger."""
    return FINGER_STIFFNESS_NM * (opening - angle) - FINGER_DAMPING_NMS * rate


class Response:
    """Notices guidance that pushes against the intent, and after the person's patience reacts as they do.

    Attributes:
        yielded: displacement (3,) [m] of the intent, of a yielder.
        stiffness: factor on the hand's stiffness, of a resister.
        reacting: they are fed up.
    """

    def __init__(self, traits: HandTraits) -> None:
        self.traits = traits
        self.yielded, self.stiffness, self.reacting = np.zeros(3), 1.0, False
        self._pushed, self._push, self._leaned = False, np.zeros(3), (np.zeros(3), np.zeros(3))
        self._pushed_s = 0.0

    def update(self, push: Array, way: Array, period_s: float) -> None:
        """Feel the force `push` (3,) [N] of guidance while `way` (3,) [m] is left to the target."""
        self._pushed, self._push = float(np.linalg.norm(push)) >= FEEL_N, push
        against = self._pushed and self._is_against(push, way)
        self._pushed_s = self._pushed_s + period_s if against else max(0.0, self._pushed_s - period_s)
        self._pushed_s = min(self._pushed_s, self.traits.patience_s + RETURN_S)
        self.reacting = self._pushed_s >= self.traits.patience_s - 1e-9 or (self.reacting and self._pushed_s > 0.0)
        kind = self.traits.reaction
        if kind is Reaction.YIELDER:
            self._yield(push, period_s, against and self.reacting)
        elif kind is Reaction.RESISTER:
            goal = RESIST if self.reacting else 1.0
            self.stiffness += (goal - self.stiffness) * (1.0 - exp(-period_s / (0.2 * RETURN_S)))

    def lean(self, error: Array, turn: Array) -> tuple[Array, Array]:
        """How far beyond the target the next plan aims, (3,) [m] and (3,) [rad]; `error` and `turn` are left to it.

        Whoever is pushed away near where they want to be pushes back until they are there; a yielder wants to be where
        they have given way to. Without guidance nobody leans, and nobody does against what takes them there.
        """
        leaned = (LEAN * error + self._leaned[0], LEAN * turn + self._leaned[1])
        away = self._pushed and float(self._push @ error) < 0.0
        if not away or float(np.linalg.norm(error)) > LEAN_MAX_M:  # nothing there, or still on the way
            leaned = (RELENT * self._leaned[0], RELENT * self._leaned[1])
        self._leaned = (shortened(leaned[0], LEAN_MAX_M), shortened(leaned[1], LEAN_MAX_RAD))
        return self._leaned

    def _is_against(self, push: Array, way: Array) -> bool:
        left = float(np.linalg.norm(way))
        return left < AT_TARGET_M or float(-push @ way) / left > FEEL_N

    def _yield(self, push: Array, period_s: float, giving: bool) -> None:
        if giving:
            moved = self.yielded + YIELD_M_S * period_s * push / float(np.linalg.norm(push))
            self.yielded = shortened(moved, YIELD_MAX_M)
        elif not self.reacting:
            self.yielded = self.yielded * exp(-period_s / RETURN_S)


def shortened(vector: Array, limit: float) -> Array:
    """`vector` with at most this length."""
    return vector * min(1.0, limit / max(float(np.linalg.norm(vector)), 1e-12))
