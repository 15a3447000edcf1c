"""How a simulated hand moves: delayed sight, submovements of minimum jerk, and noise."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from handrail.core.values import Array
from handrail.operators.traits import Traits

if TYPE_CHECKING:  # the tasks load MuJoCo; a person at a real robot needs none
    from handrail.tasks.base import Waypoint

TURN_SPEED_RAD_S = 1.5
REACH_M = 0.1  # the reach that a person's speed is given for
REACH_EXPONENT = 0.4  # longer movements are faster ones (isochrony); ours, so that the reach test obeys Fitts' law
LEAD_M = 0.01  # how far a plan may run ahead of the tool before it starts again from the tool
LAPSE_S = (0.5, 1.0)


class Eye:
    """A visual loop: what was there `delay_s` ago; positions are interpolated, decisions are the older ones."""

    def __init__(self, delay_s: float, period_s: float) -> None:
        self._whole, self._part = divmod(delay_s / period_s, 1.0)
        self._seen: deque[Waypoint] = deque(maxlen=int(self._whole) + 2)

    def see(self, now: Waypoint) -> Waypoint:
        """Take in `now`, return what the person knows."""
        self._seen.append(now)
        older, newer = self._seen[0], self._seen[min(1, len(self._seen) - 1)]
        position = self._part * older.position + (1.0 - self._part) * newer.position
        return replace(older, position=position)


def minimum_jerk(state: Array, goal: Array, duration_s: float, at_s: float) -> Array:
    """Where a movement of minimum jerk is `at_s` after its start.

    The quintic from `state` (3, D) = position, velocity, acceleration to rest at `goal` (D,) (Flash and Hogan 1985;
    with moving start as in Hoff and Arbib 1993). Returns (3, D); past the end it rests at the goal.
    """
    if at_s >= duration_s:
        return np.stack([goal, np.zeros_like(goal), np.zeros_like(goal)])
    start, velocity, acceleration = state
    T, s = duration_s, at_s / duration_s
    v, a = velocity * T, acceleration * T * T  # per unit of normalised time
    c3 = 10 * (goal - start) - 6 * v - 1.5 * a
    c4 = -15 * (goal - start) + 8 * v + 1.5 * a
    c5 = 6 * (goal - start) - 3 * v - 0.5 * a
    x = start + s * (v + s * (a / 2 + s * (c3 + s * (c4 + s * c5))))
    dx = v + s * (a + s * (3 * c3 + s * (4 * c4 + s * 5 * c5)))
    ddx = a + s * (6 * c3 + s * (12 * c4 + s * 20 * c5))
    return np.stack([x, dx / T, ddx / T**2])


class Hand:
    """Submovements of minimum jerk, replanned at `replan_hz`, toward a target pose (4,) = x y z [m], yaw [rad]."""

    def __init__(self, traits: Traits, period_s: float) -> None:
        self._traits, self._period_s = traits, period_s
        self._replan_s = 1.0 / traits.replan_hz

    def begin(self, pose: Array) -> None:
        """Take hold at `pose` (4,), at rest."""
        self._state = np.stack([pose, np.zeros(4), np.zeros(4)])
        self._goal, self._duration_s = pose, self._traits.settle_s
        self._plan, self._since_s = self._state, np.inf

    def reference(self, pose: Array, target: Array) -> Array:
        """Return the pose (4,) intended one period from now; `pose` is where the tool is (felt, hence not delayed)."""
        if self._since_s >= self._replan_s - 1e-9:
            self._replan(pose, target)
        self._since_s += self._period_s
        self._state = minimum_jerk(self._plan, self._goal, self._duration_s, self._since_s)
        return self._state[0]

    def _replan(self, pose: Array, target: Array) -> None:
        lead = self._state[0] - pose
        lead *= min(1.0, LEAD_M / max(float(np.linalg.norm(lead[:3])), 1e-9))
        self._plan = np.stack([pose + lead, self._state[1], self._state[2]])
        self._goal = target
        distance = float(np.linalg.norm(target[:3] - pose[:3])) / REACH_M
        reach_s = distance**REACH_EXPONENT * REACH_M / self._traits.speed_m_s
        turn_s = abs(target[3] - pose[3]) / TURN_SPEED_RAD_S
        self._duration_s = self._traits.settle_s + float(max(reach_s, turn_s))
        overdue_s = self._since_s - self._replan_s  # keeps the mean rate where it does not divide the period
        self._since_s = float(np.clip(overdue_s, 0.0, self._period_s)) if np.isfinite(overdue_s) else 0.0


class Grip:
    """A gripper command with hysteresis: a change of mind counts once it was wanted twice in a row."""

    def __init__(self) -> None:
        self.command = 0.0
        self._wanted = 0.0

    def update(self, wanted: float) -> float:
        if wanted == self._wanted:
            self.command = wanted
        self._wanted = wanted
        return self.command


class Nerves:
    """Signal-dependent noise, tremor and lapses on an action (A,) whose last entry is the gripper.

    Args:
        action_scale: (A-1,) [m or rad per unit].
        rng: this episode's noise.
    """

    def __init__(self, traits: Traits, action_scale: Array, period_s: float, rng: np.random.Generator) -> None:
        self._traits, self._scale, self._period_s, self._rng = traits, action_scale, period_s, rng
        self._dim = len(action_scale)  # a lapse confuses directions; the gripper has a button of its own
        self._lapse_steps, self._axes = 0, (0, 0)

    def execute(self, action: Array) -> Array:
        """Return what the hand really does, in [-1, 1]."""
        self._maybe_lapse()
        moved = action.astype(np.float64)
        if self._lapse_steps > 0:
            self._lapse_steps -= 1
            moved = self._lapse(moved)
        noise = self._rng.standard_normal((2, len(moved) - 1))
        moved[:-1] *= 1.0 + self._traits.execution_noise * noise[0]
        # 8 to 12 Hz sampled at 10 Hz is noise: a sine of amplitude a has the deviation a / sqrt(2)
        moved[:3] += self._traits.tremor_m / np.sqrt(2.0) * noise[1, :3] / self._scale[:3]
        return np.clip(moved, -1.0, 1.0).astype(np.float32)

    def _maybe_lapse(self) -> None:
        begins, length, kind, axis = self._rng.random(4)
        if self._lapse_steps == 0 and begins < self._traits.lapse_rate_hz * self._period_s:
            seconds = LAPSE_S[0] + length * (LAPSE_S[1] - LAPSE_S[0])
            self._lapse_steps = round(seconds / self._period_s)
            first = int(axis * self._dim)
            self._axes = (first, (first + 1) % self._dim) if kind < 0.5 else (0, 0)

    def _lapse(self, action: Array) -> Array:
        one, other = self._axes
        if one == other:
            return np.zeros_like(action)  # freeze
        action[[one, other]] = action[[other, one]]
        return action
