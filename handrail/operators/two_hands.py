"""The parametric person at two leader arms: what each hand intends, from biased delayed sight to noisy submovements.

The person of `person.Person` (operators.md items 1 to 4) with two hands that move continuously: they look at `LOOK_HZ`,
plan at the rate of their traits, and their hands are compliant (`hand.py`). How fast, how noisy and how biased they are
are the same traits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from handrail.core.values import Array
from handrail.operators.hand import CompliantHand, HandTraits, Reach, Response, draw_hand, finger_torque, shortened
from handrail.operators.movement import (
    LAPSE_S,
    REACH_EXPONENT,
    REACH_M,
    TURN_SPEED_RAD_S,
    Eye,
    Grip,
)
from handrail.operators.person import Search, Sight
from handrail.operators.replicas import SimulatedLeaders
from handrail.operators.traits import Traits, draw_traits, tier_index
from handrail.tasks.bimanual.values import Waypoint, quaternion_of, rotation_of, turn_between, turned

if TYPE_CHECKING:
    from handrail.tasks.bimanual.values import BimanualTruth, BimanualWaypoint

LOOK_HZ = 10.0  # looks a second: what jitter and searching of `person` are measured in
INTEND_S = 0.01  # how often a hand asks where it means to be; in between it goes straight on
LEAD_M, LEAD_RAD = 0.05, 0.4  # how far a plan may run ahead of the hand: what a person pushes with is bounded (ours)
TREMOR_HZ = (8.0, 12.0)
TRIGGER_PER_S = 4.0  # how fast a finger moves the trigger (ours)
QUINTIC = np.array(  # coefficients of s ... s^5 from velocity, acceleration and goal, per unit of duration
    [[1.0, 0.0, 0.0], [0.0, 0.5, 0.0], [-6.0, -1.5, 10.0], [8.0, 1.5, -15.0], [-3.0, -0.5, 6.0]]
)
PRESS = 0.3  # how far beyond its stop a trigger is meant when fully pressed or released (ours)


class TwoHandedTask(Protocol):
    """What the person relies on of a bimanual task."""

    fps: int

    def privileged(self) -> BimanualTruth: ...
    def waypoint(self) -> BimanualWaypoint: ...


class Submovement:
    """One movement of minimum jerk in position and orientation; the next begins where the hand means to be by then.

    The polynomial of `movement.minimum_jerk`, its coefficients kept because a hand asks for it 100 times a second.
    """

    def __init__(self, position: Array, quaternion: Array, rates: Array | None = None) -> None:
        self.position, self.quaternion = position.copy(), quaternion.copy()  # where it begins
        self._rates = np.zeros((2, 6)) if rates is None else rates  # how it moves there: velocity, acceleration
        self.aim(np.zeros(3), np.zeros(3), 1.0)

    def aim(self, move: Array, turn: Array, duration_s: float) -> None:
        """Go on by `move` (3,) [m] and `turn` (3,) [rad] from where this plan begins, in `duration_s`."""
        self._goal, self._duration_s = np.concatenate([move, turn]), duration_s
        velocity, acceleration = self._rates[0] * duration_s, self._rates[1] * duration_s**2
        self._coefficients = QUINTIC @ np.stack([velocity, acceleration, self._goal])

    def at(self, since_s: float) -> Array:
        """(3, 6): displacement and rotation vector from where this plan begins; their rates; and those of these."""
        T = self._duration_s
        if since_s >= T:
            return np.stack([self._goal, np.zeros(6), np.zeros(6)])
        s = since_s / T
        s2 = s * s
        powers = np.array(
            [
                [s, s2, s2 * s, s2 * s2, s2 * s2 * s],
                [1 / T, 2 * s / T, 3 * s2 / T, 4 * s2 * s / T, 5 * s2 * s2 / T],
                [0.0, 2 / T**2, 6 * s / T**2, 12 * s2 / T**2, 20 * s2 * s / T**2],
            ]
        )
        return powers @ self._coefficients

    def replan(self, since_s: float, position: Array, quaternion: Array, target: Array) -> Submovement:
        """A plan that goes on as this one moves now, at most a lead away from the hand at `position`, `quaternion`.

        A hand that was helped along toward `target` (3,) is not pulled back: the plan begins there (ours).
        """
        state = self.at(since_s)
        ahead = forward_only(self.position + state[0, :3] - position, target - position)
        lead = turn_between(quaternion, turned(self.quaternion, state[0, 3:]))
        start, turn = position + shortened(ahead, LEAD_M), shortened(lead, LEAD_RAD)
        return Submovement(start, turned(quaternion, turn), state[1:])


class Attention:
    """Occasional lapses: for half a second to a second nothing moves, or two directions are confused."""

    def __init__(self, rate_hz: float, rng: np.random.Generator) -> None:
        self._rate_hz, self._rng = rate_hz, rng
        self._left_s, self._axes = 0.0, (0, 0)

    def pass_time(self, period_s: float) -> None:
        begins, length, kind, axis = self._rng.random(4)
        self._left_s -= period_s
        if self._left_s <= 0.0 and begins < self._rate_hz * period_s:
            self._left_s = LAPSE_S[0] + length * (LAPSE_S[1] - LAPSE_S[0])
            first = int(axis * 3)
            self._axes = (first, (first + 1) % 3) if kind < 0.5 else (0, 0)

    def distort(self, move: Array) -> Array | None:
        """The movement (3,) that is really made; None for none."""
        if self._left_s <= 0.0:
            return move
        one, other = self._axes
        if one == other:
            return None
        move = move.copy()
        move[[one, other]] = move[[other, one]]
        return move


class OneHand:
    """One hand of a person: sees its own waypoint, plans, trembles, presses the trigger, and feels guidance."""

    def __init__(
        self, side: int, traits: Traits, hand: HandTraits, leaders: SimulatedLeaders, rngs: list[np.random.Generator]
    ) -> None:
        sight, search, nerves, lapses = rngs
        self.side, self.traits, self._leaders, self._rng = side, traits, leaders, nerves
        self.hand, self.response = CompliantHand(hand), Response(hand)
        self._eye: Any = Eye(traits.delay_s, 1.0 / LOOK_HZ)  # it delays whatever has a position
        self._sight, self._search = Sight(traits, sight), Search(search)
        self._attention = Attention(traits.lapse_rate_hz, lapses)
        self._grip = Grip()
        self._omega = 2.0 * np.pi * nerves.uniform(*TREMOR_HZ)
        self._phase = nerves.uniform(0.0, 2.0 * np.pi, 3)
        self.target: Waypoint | None = None

    def begin(self, opening: float) -> None:
        """Take hold where the leader is."""
        position, rotation = self._leaders.tool(self.side)
        self._plan, self._planned_s = Submovement(position, quaternion_of(rotation)), 0.0
        self._opening = self._grip.command = opening
        self._intend(0.0)

    def look(self, waypoint: Waypoint, distance_m: float, progress: float) -> None:
        """Take in where the script wants the tool; what the person knows of it becomes the target."""
        error_m, error_rad = self._sight.bias(distance_m)
        seen = replace(
            waypoint,
            position=waypoint.position + error_m,
            quaternion=turned(waypoint.quaternion, np.array([0.0, 0.0, error_rad])),
        )
        known: Waypoint = self._eye.see(seen)
        across = np.roll(self._search.offset(known.contact, progress), 1)  # in the plane that the approach is normal to
        self.target = replace(known, position=known.position + rotation_of(known.quaternion) @ across)
        self._grip.update(round(known.grip, 1))
        self._attention.pass_time(1.0 / LOOK_HZ)

    def plan(self, now_s: float) -> None:
        """Begin the next submovement toward the target."""
        assert self.target is not None, "a hand plans before it has looked"
        position, rotation = self._leaders.tool(self.side)
        target = self.target.position + self.response.yielded
        plan = self._plan.replan(now_s - self._planned_s, position, quaternion_of(rotation), target)
        left = turn_between(quaternion_of(rotation), self.target.quaternion)
        beyond_m, beyond_rad = self.response.lean(target - position, left)
        move = self._attention.distort(target + beyond_m - plan.position)
        turn = turn_between(plan.quaternion, self.target.quaternion) + beyond_rad
        if move is None:
            plan.aim(np.zeros(3), np.zeros(3), self.traits.settle_s)
        else:
            plan.aim(self._missed(move), self._missed(turn), self._duration_s(move, turn, self.target.pace))
        self._plan, self._planned_s = plan, now_s
        self._intend(now_s)

    def feel(self, push: Array, period_s: float) -> None:
        """Guidance pushes the tool with `push` (3,) [N]."""
        if self.target is not None:
            self.response.update(push, self.target.position - self._leaders.tool(self.side)[0], period_s)
            self.hand.brace(self.response.stiffness)

    def torque(self, now_s: float, period_s: float, qd: Array) -> Array:
        """Joint torques (14,) [N m] of this hand and its finger at velocities `qd` (14,)."""
        since_s = now_s - self._intended_s
        if since_s >= INTEND_S - 1e-9:
            self._intend(now_s)
            since_s = 0.0
        position, rotation = self._leaders.tool(self.side)
        jacobian = self._leaders.jacobian(self.side)
        meant, meant_quaternion = self._meant, self._meant_quaternion
        reach = Reach(
            position=meant[0, :3] + since_s * meant[1, :3],
            velocity=meant[1, :3],
            acceleration=meant[2, :3],
            turn=turn_between(quaternion_of(rotation), meant_quaternion),
            spin=meant[1, 3:],
        )
        torque = self.hand.wrench(position, jacobian @ qd, reach) @ jacobian
        trigger = 7 * self.side + 6
        opening = self._press(period_s)
        torque[trigger] = finger_torque(float(self._leaders.data.qpos[trigger]), float(qd[trigger]), opening)
        return torque

    def _intend(self, now_s: float) -> None:
        """Where this hand means to be now, tremor included: (3, 6) as of a `Submovement`, in the world frame."""
        state, w = self._plan.at(now_s - self._planned_s), self._omega
        angle = w * now_s + self._phase
        sine = self.traits.tremor_m * np.sin(angle)
        self._meant_quaternion = turned(self._plan.quaternion, state[0, 3:])
        state[0, :3] += self._plan.position + sine
        state[1, :3] += self.traits.tremor_m * w * np.cos(angle)
        state[2, :3] -= w * w * sine
        self._meant, self._intended_s = state, now_s

    def _press(self, period_s: float) -> float:
        meant = self._grip.command
        meant += PRESS * ((meant > 0.99) - (meant < 0.01))
        step = TRIGGER_PER_S * period_s
        self._opening += min(max(meant - self._opening, -step), step)
        return self._opening

    def _missed(self, move: Array) -> Array:
        """Signal-dependent noise: an error whose size is a share of the movement's."""
        share = self.traits.execution_noise / np.sqrt(3.0) * float(np.linalg.norm(move))
        return move + share * self._rng.standard_normal(3)

    def _duration_s(self, move: Array, turn: Array, pace: float) -> float:
        reach_s = (float(np.linalg.norm(move)) / REACH_M) ** REACH_EXPONENT * REACH_M / self.traits.speed_m_s
        turn_s = float(np.linalg.norm(turn)) / TURN_SPEED_RAD_S
        return self.traits.settle_s + max(reach_s, turn_s) / pace


class TwoHands:
    """A simulated person who holds both simulated leaders; its methods are loops of their own rates.

    Args:
        env: the task that this person sees, with the script of what to do.
        leaders: what they hold.
        tier: "novice", "ordinary" or "expert".
        reaction: makes everybody a "yielder", "resister" or "ignorer"; None as drawn.
    """

    def __init__(
        self, env: TwoHandedTask, leaders: SimulatedLeaders, tier: str = "ordinary", reaction: str | None = None
    ) -> None:
        self.env, self.leaders, self.tier, self._reaction = env, leaders, tier, reaction
        self._tier_index = tier_index(tier)
        self.draw = -1
        self.episodes: dict[int, int] = {}  # draw -> episodes begun; part of a resumable run's state

    def reset(self, draw: int, episode: int | None = None) -> None:
        """Become the person `draw`; `episode` fixes this episode's noise, by default one more than the last."""
        self.draw, self.traits = draw, draw_traits(draw, self.tier)
        self.hand_traits = draw_hand(draw, self.tier, self._reaction)
        episode = self.episodes.get(draw, 0) if episode is None else episode
        self.episodes[draw] = episode + 1
        seeds = np.random.SeedSequence((draw, self._tier_index, 1 + episode)).spawn(8)
        rngs = [np.random.default_rng(seed) for seed in seeds]
        self.hands = tuple(
            OneHand(side, traits, self.hand_traits, self.leaders, rngs[4 * side : 4 * side + 4])
            for side, traits in enumerate((self.traits, self._seen_by_the_other_eye()))
        )

    def begin(self) -> None:
        """Take hold of the leaders where they are."""
        q, _ = self.leaders.read()
        for hand in self.hands:
            hand.begin(float(q[7 * hand.side + 6]))

    def look(self) -> None:
        truth, waypoint = self.env.privileged(), self.env.waypoint()
        for hand, wanted in zip(self.hands, (waypoint.left, waypoint.right), strict=True):
            hand.look(wanted, float(truth.goal_distances_m[hand.side]), truth.progress)

    def plan(self, now_s: float) -> None:
        for hand in self.hands:
            hand.plan(now_s)

    def feel(self, torque: Array, period_s: float) -> None:
        """Feel guidance torques (14,) [N m] on the leaders."""
        for hand in self.hands:
            hand.feel(force_at_hand(self.leaders.jacobian(hand.side), torque, hand.side), period_s)

    def hold(self, now_s: float, period_s: float) -> None:
        """Lay both hands' torques on the leaders for the next period."""
        _, qd = self.leaders.read()
        one, other = self.hands
        self.leaders.hand_torque = one.torque(now_s, period_s, qd) + other.torque(now_s, period_s, qd)

    def _seen_by_the_other_eye(self) -> Traits:
        """The right hand's objects are seen displaced in their own way: a shared bias would cancel where hands meet."""
        rng = np.random.default_rng((self.draw, self._tier_index, 1, 1))
        bias_m = self.traits.bias_sigma_m * rng.standard_normal(3)
        return replace(self.traits, bias_m=bias_m, bias_rad=self.traits.bias_sigma_rad * float(rng.standard_normal()))


def force_at_hand(jacobian: Array, torque: Array, side: int) -> Array:
    """Force (3,) [N] at the tool that the torques (14,) of one arm amount to, by damped least squares."""
    joints = slice(7 * side, 7 * side + 6)
    J = jacobian[:, joints]
    return np.linalg.solve(J @ J.T + 1e-4 * np.eye(6), J @ torque[joints])[:3]


def forward_only(lead: Array, way: Array) -> Array:
    """`lead` without what of it points back along `way`."""
    return lead - min(0.0, float(lead @ way)) / max(float(way @ way), 1e-12) * way
