"""The parametric person (operators.md items 1 to 4, 7, 8): seeded, and the same somebody for all their episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Intent, StepView, TakeoverCause
from handrail.operators.movement import Eye, Grip, Hand, Nerves
from handrail.operators.takeover import TakeoverLaw
from handrail.operators.traits import Traits, draw_traits, tier_index

if TYPE_CHECKING:  # the tasks load MuJoCo; a person at a real robot needs none
    from handrail.tasks.base import HilTask, Truth, Waypoint

EYE_RANGE_M = 0.1  # the bias shrinks with the distance to the goal below this
EYE_FLOOR = 0.05
JITTER_SHARE = 0.25  # of the tier's bias
JITTER_MEMORY = 0.9
SEARCH_AFTER_STEPS = 4  # without progress in contact
SEARCH_RADIUS_M = 0.002
SEARCH_STEPS = 20  # one spiral outward
SEARCH_TURN_RAD = 1.0  # per step


class Expert(Protocol):
    """Where the tool should go next, given the true state with the object displaced by a bias."""

    def waypoint(self, bias_m: Array, bias_rad: float) -> Waypoint: ...


class Sight:
    """A persistent bias of the object pose plus AR(1) jitter, both smaller the nearer the goal."""

    def __init__(self, traits: Traits, rng: np.random.Generator) -> None:
        self._bias = np.append(traits.bias_m, traits.bias_rad)  # (4,)
        self._sigma = JITTER_SHARE * np.array([*[traits.bias_sigma_m] * 3, traits.bias_sigma_rad])
        self._rng = rng
        self._jitter = self._sigma * rng.standard_normal(4)

    def bias(self, distance_m: float) -> tuple[Array, float]:
        """The error (3,) [m] and [rad] of this look, from `distance_m` away."""
        fresh = np.sqrt(1.0 - JITTER_MEMORY**2) * self._sigma * self._rng.standard_normal(4)
        self._jitter = JITTER_MEMORY * self._jitter + fresh
        error = (self._bias + self._jitter) * np.clip(distance_m / EYE_RANGE_M, EYE_FLOOR, 1.0)
        return error[:3], float(error[3])


class Search:
    """A compliant spiral about the target while contact brings no progress."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._phase = float(rng.uniform(0.0, 2.0 * np.pi))
        self._best, self._stalled = 0.0, 0

    def offset(self, contact: bool, progress: float) -> Array:
        """Displacement (3,) [m] to add to the target."""
        if not contact or progress > self._best + 1e-3:
            self._best, self._stalled = progress, 0
        self._stalled += 1
        turns = self._stalled - SEARCH_AFTER_STEPS
        if not contact or turns < 0:
            return np.zeros(3)
        radius = SEARCH_RADIUS_M * (turns % SEARCH_STEPS) / SEARCH_STEPS
        angle = self._phase + SEARCH_TURN_RAD * turns
        return radius * np.array([np.cos(angle), np.sin(angle), 0.0])


class Person:
    """A simulated person who takes over when they see trouble, or (`drives`) does the whole episode.

    In closed loop at the task's action rate they see a biased, delayed waypoint, move toward it in replanned
    submovements of minimum jerk, and tremble. They look at the task's truth, never at a method.

    Args:
        env: the task that this person sees.
        expert: where to go next.
        tier: "novice", "ordinary" or "expert".
        patience_scale, reaction_scale: sensitivity factors on patience and reaction time.
        drives: always at the controls, for demonstrations.
    """

    def __init__(
        self,
        env: HilTask,
        expert: Expert,
        tier: str = "ordinary",
        patience_scale: float = 1.0,
        reaction_scale: float = 1.0,
        drives: bool = False,
    ) -> None:
        for name, scale in (("patience_scale", patience_scale), ("reaction_scale", reaction_scale)):
            if not (np.isfinite(scale) and scale > 0.0):
                raise InvalidValueError(f"{name} is {scale}, must be > 0: 1 leaves the person as drawn")
        self.env, self.expert, self.tier, self.drives = env, expert, tier, drives
        self._tier_index = tier_index(tier)
        self._scales = (patience_scale, reaction_scale)
        self._period_s = 1.0 / env.fps
        self.draw = -1
        self.episodes: dict[int, int] = {}  # draw -> episodes begun; part of a resumable run's state

    def reset(self, draw: int, episode: int | None = None) -> None:
        """Become the person `draw` and begin an episode.

        Args:
            draw: who they are; the traits depend on it and on the tier only.
            episode: which of their episodes this is (fixes its noise); by default one more than the last.
        """
        if draw != self.draw:
            self.draw, self.traits = draw, draw_traits(draw, self.tier)
            self.law = TakeoverLaw(self.traits, self._period_s, *self._scales, getattr(self.env, "horizon", np.inf))
        episode = self.episodes.get(draw, 0) if episode is None else episode
        self.episodes[draw] = episode + 1
        seeds = np.random.SeedSequence((draw, self._tier_index, 1 + episode)).spawn(4)
        sight, search, nerves, law = (np.random.default_rng(seed) for seed in seeds)
        self._eye, self._hand = Eye(self.traits.delay_s, self._period_s), Hand(self.traits, self._period_s)
        self._sight, self._search, self._grip = Sight(self.traits, sight), Search(search), Grip()
        self._nerves = Nerves(self.traits, self.env.action_scale, self._period_s, nerves)
        self._hands_on = False
        self.law.begin(law)

    def intent(self, view: StepView) -> Intent | None:
        """What the person does in this step; None is hands off."""
        truth = self.env.privileged()
        seen = self._eye.see(self.expert.waypoint(*self._sight.bias(truth.goal_distance_m)))
        cause = TakeoverCause.DEMONSTRATION if self.drives else self.law.update(truth)
        if cause is TakeoverCause.NONE:
            self._hands_on = False
            return None
        return Intent(self._move(truth, seen), cause=cause)

    def _move(self, truth: Truth, seen: Waypoint) -> Array:
        pose = np.append(truth.tool_position, truth.tool_yaw)
        if not self._hands_on:
            self._hand.begin(pose)
            self._hands_on = True
        target = np.append(seen.position + self._search.offset(seen.contact, truth.progress), seen.yaw)
        aim = self._hand.reference(pose, target)
        return self._nerves.execute(self.env.action_toward(aim[:3], float(aim[3]), self._grip.update(seen.grip)))
