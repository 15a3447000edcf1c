"""What is measured of guided teleoperation: pure functions of outcomes and of assessments.

Numbers of a method speak of held-out ordinary persons unless their name says otherwise. Definitions are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handrail.assist.place_guide import rotation_vector
from handrail.assist.score_calibration import score_quality
from handrail.core.contracts import Trigger
from handrail.core.values import Array, Assessment, Step
from handrail.learn.cql import CQL
from handrail.operators.hand import REACTION_SHARES, draw_hand
from handrail.operators.leaders import ARM_DIM
from handrail.store.trajectories import Trajectories
from handrail.systems.guided_offline import levels_of
from handrail.systems.guided_station import TIERS, Outcome
from handrail.tasks.bimanual.kinematics import forward

FELT = 0.1  # a level above this is help that a person notices
FAR = 1.0  # of out-of-distribution actions: they are uniform over the whole box [-1, 1] of an action's units


def told(outcomes: Sequence[Outcome], alone: Sequence[Outcome]) -> dict[str, Any]:
    """The numbers of one method.

    Args:
        outcomes: of the visits that the method was evaluated on.
        alone: of the same visits without assistance, in the same order.
    """
    meant = [(one, before) for one, before in zip(outcomes, alone, strict=True) if not one.visit.switched]
    ordinary = [(one, before) for one, before in meant if one.visit.tier == "ordinary"]
    found: dict[str, Any] = {
        f"success_{tier}": mean([one.success for one, _ in meant if one.visit.tier == tier]) for tier in TIERS
    }
    own = [one for one, _ in ordinary]
    kind_of = {one.visit.draw: draw_hand(one.visit.draw, "ordinary").reaction.value for one in own}
    found |= {
        f"success_{kind}": mean([one.success for one in own if kind_of[one.visit.draw] == kind])
        for kind in REACTION_SHARES
    }
    both = [(one.time_s, before.time_s) for one, before in ordinary if one.success and before.success]
    expert = [one for one, _ in meant if one.visit.tier == "expert"]
    return found | {
        "success": mean([one.success for one in own]),
        "episodes_success": [int(one.success) for one in own],
        "episodes_time_s": [one.time_s for one in own],
        "irreversible_failure": mean([one.irreversible for one in own]),
        "completion_time": mean([one.time_s for one in own if one.success]),
        "time_ratio": ratio(both),
        "effort": mean([one.effort_j for one in own]),
        "transparency": mean([one.torque_share for one in expert]),
        "level": mean([one.level for one in own]),
        "wrong_goal": mean([one.failure == "wrong_goal" for one, _ in meant]),
        "failure_modes": dict(Counter(one.failure for one in own if not one.success)),
        "authority": mean(kept_goal(outcomes, alone)),
        "episodes_authority": kept_goal(outcomes, alone),
    }


def kept_goal(outcomes: Sequence[Outcome], alone: Sequence[Outcome]) -> list[int]:
    """Of those who get the other goal alone, 1 for each who still gets it, else 0."""
    pairs = zip(outcomes, alone, strict=True)
    return [int(one.success) for one, before in pairs if before.visit.switched and before.success]


def ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Mean time with assistance over mean time without, where both succeeded."""
    if not pairs:
        return None
    ours, before = np.mean(pairs, axis=0)
    return float(ours / before)


def mean(values: Sequence[float] | Array) -> float | None:
    """None for nothing: a number that a run does not have is null."""
    return float(np.mean(values)) if len(values) else None


@dataclass(frozen=True)
class Heldout:
    """Held-out persons alone, as a monitor sees them: episodes, and what it thought at every step."""

    episodes: Sequence[Sequence[Step]]
    assessed: Sequence[Sequence[Assessment]]

    @property
    def success(self) -> list[bool]:
        return [steps[-1].success for steps in self.episodes]

    def part(self, name: str) -> list[Array]:
        return [np.array([one.parts[name] for one in assessed]) for assessed in self.assessed]


def score_numbers(seen: Heldout, trigger: Trigger, horizon: int, rate_hz: float) -> dict[str, float | None]:
    """How good the score is, and how often those who need no help would have been helped (false assist).

    Args:
        trigger: of the method: sets the level by what `seen` says.
        horizon: steps that the failure head looks ahead.
    """
    costs = [np.array([step.cost for step in steps]) for steps in seen.episodes]
    quality = score_quality(
        seen.part("score"), seen.part("failure"), seen.success, costs, horizon=horizon, rate_hz=rate_hz
    )
    levels = [levels_of(assessed, trigger) for assessed in seen.assessed]
    good = [level for level, fine in zip(levels, seen.success, strict=True) if fine]
    return {
        "auroc": number(quality.auroc),
        "lead_s": number(quality.lead_s),
        "called": number(quality.called),
        "false_alarms": number(quality.false_alarms),
        "ece": number(quality.ece),
        "failure_auroc": number(quality.failure_auroc),
        "false_assist": mean(np.concatenate(good) > FELT) if good else None,
    }


def checks(learner: CQL, seen: Heldout, corrected: Array, seed: int) -> dict[str, float | None]:
    """The named checks on held-out episodes.

    Args:
        corrected: (N, 14) joint targets: where the guide would have had each executed command.

    Returns:
        `ood_gap`: mean min Q of executed commands less that of uniform ones; `ood_lower`: how often it is higher;
        `captured`: share of min Q within [q_lo, q_hi]; `raised`: mean gain of the score through the guide;
        `raises`: how often it gains; `furthest`: the largest correction, in units of an action; `furthest_m`,
        `furthest_rad`: by how much it would move and turn a hand, were the arm to follow.
    """
    data = Trajectories.of([list(steps) for steps in seen.episodes])
    nets = learner.nets
    unit, low, high = nets.unit.numpy(), float(nets.score_low), float(nets.score_high)
    rng = np.random.default_rng([seed, 0x00D])
    present = data.observation["state"][:, : len(unit)]
    uniform = present + unit * rng.uniform(-FAR, FAR, data.action.shape).astype(np.float32)
    helped = data.action + learner.config.compliance * (corrected - data.action)  # what a compliant hand makes of it
    q, q_far, q_corrected = (learner.values(data.observation, a)[0] for a in (data.action, uniform, helped))
    return {
        "ood_gap": float(np.mean(q - q_far)),
        "ood_lower": float(np.mean(q > q_far)),
        "captured": float(np.mean((q >= low) & (q <= high))),
        "raised": float(np.mean(q_corrected - q) / (high - low)),
        "raises": float(np.mean(q_corrected >= q)),
        "furthest": float(np.max(np.abs(corrected - data.action) / unit)),
        **dict(zip(("furthest_m", "furthest_rad"), displaced(data.action, corrected), strict=True)),
    }


def displaced(before: Array, after: Array) -> tuple[float, float]:
    """By how much a hand is moved [m] and turned [rad] at most between joint targets (N, 14)."""
    moved, turned = 0.0, 0.0
    for first in range(0, before.shape[1], ARM_DIM):
        joints = slice(first, first + ARM_DIM - 1)
        for one, other in zip(before[:, joints], after[:, joints], strict=True):
            (at, axes), (there, others) = forward(one), forward(other)
            away = there - at
            moved = max(moved, float(away @ away) ** 0.5)
            spin = rotation_vector(others @ axes.T)
            turned = max(turned, float(spin @ spin) ** 0.5)
    return moved, turned


def number(value: float) -> float | None:
    """nan, where there was nothing to measure, is null in a result."""
    return None if np.isnan(value) else float(value)
