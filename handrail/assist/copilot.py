"""A cloned copilot beside an operator: where it would bring the arms, and whether a critic thinks better of it.

Guided teleoperation's baselines. What `learn.bc` clones is a chunk of two displacements from the present joints, in
units of `scale`: of the next command, and of the command `ahead_s` later. The first is an action, the second a place
that guidance can pull a hand toward: the next command alone is less than a millimetre away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from handrail.core.contracts import Monitor, Policy, single
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Intent, Observation, Proposal, Step, StepView
from handrail.learn.bc import BC
from handrail.store.trajectories import Trajectories

JOINTS = 14  # of "state", in front


class Copilot:
    """The cloned policy: joint targets of the next step, and of a while later.

    Args:
        learner: of horizon 2 (see `clonable`).
        scale: (14,) [rad; opening] of its actions.
    """

    def __init__(self, learner: BC, scale: Array) -> None:
        self.learner, self.scale = learner, scale

    def targets(self, observation: Observation) -> Array:
        """(2, 14) joint targets: next, and ahead."""
        return joints_of(observation) + self.learner.act(observation).actions * self.scale

    # -- a Policy ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """It has no memory."""

    def act(self, observation: Observation) -> Proposal:
        """Its next command (1, 14)."""
        return single(self.targets(observation)[0], Authority.POLICY)

    # -- a Recovery ----------------------------------------------------------------------------------------------------

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal:
        """Where guidance pulls: its command a while ahead (1, 14)."""
        return single(self.targets(observation)[1], Authority.ASSISTANT)


def clonable(data: Trajectories, ahead: int) -> tuple[Array, Array]:
    """Chunks (N, 2, 14) in [-1, 1] to clone, and their scale (14,): the largest displacement, but for one in a hundred.

    Args:
        data: successful episodes.
        ahead: steps from the first displacement to the second; the end of the episode ends the look.

    Raises:
        InvalidValueError: `ahead` is below 1.
    """
    if ahead < 1:
        raise InvalidValueError(f"ahead is {ahead}, must be at least 1: it counts steps")
    rows = np.arange(len(data))
    end = np.concatenate([np.full(one.stop - one.start, one.stop - 1) for one in data.episodes()])
    later = np.minimum(rows + ahead, end)
    chunks = data.action[np.stack([rows, later], 1)] - data.observation["state"][:, None, :JOINTS]
    scale = np.quantile(np.abs(chunks[:, 1]), 0.99, axis=0) + 1e-6
    return np.clip(chunks / scale, -1.0, 1.0).astype(np.float32), scale.astype(np.float32)


class Drives(Protocol):
    """An operator in whose place another may stand."""

    def reset(self, draw: int) -> None: ...
    def intent(self, view: StepView) -> Intent | None: ...


class Blended:
    """Linear blending, the baseline: the robot is told `(1 - share) a_h + share a_copilot`. An `Operator`.

    Unlike everything else here it edits the command itself; the person feels it only where the coupling pulls their
    hand to where the robot went.
    """

    def __init__(self, operator: Drives, copilot: Policy, share: float) -> None:
        if not 0.0 <= share <= 1.0:
            raise InvalidValueError(f"share is {share}, must be in [0, 1]: 0 leaves the command alone")
        self.operator, self.copilot, self.share = operator, copilot, share

    def reset(self, draw: int) -> None:
        self.operator.reset(draw)
        self.copilot.reset()

    def intent(self, view: StepView) -> Intent | None:
        meant = self.operator.intent(view)
        if meant is None or meant.action is None:
            return meant
        proposed = self.copilot.act(view.observation).actions[0]
        mixed = (1.0 - self.share) * meant.action + self.share * proposed
        return Intent(mixed.astype(np.float32), meant.event, meant.cause)


class Advantage:
    """Watches for moments when a critic prefers the copilot's action to the operator's. A `Monitor`.

    The value gate of Interventional Diffusion Assistance (McMahan et al. 2024): step in where Q(s, copilot) > Q(s,
    pilot). The risk is 1 there and 0 elsewhere; the parts are those of the operator's action.

    Args:
        score: the monitor whose `parts["score"]` is the value.
        copilot: proposes the other action.
    """

    def __init__(self, score: Monitor, copilot: Policy) -> None:
        self.score, self.copilot = score, copilot

    def reset(self) -> None:
        self.score.reset()
        self.copilot.reset()

    def assess(self, observation: Observation, action: Array) -> Assessment:
        theirs = self.score.assess(observation, self.copilot.act(observation).actions[0])
        own = self.score.assess(observation, action)
        return Assessment(float(theirs.value > own.value), own.value, own.parts)

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return [self.assess(step.observation, step.action) for step in episode]


def joints_of(observation: Observation) -> Array:
    """The followers' joint positions (14,) [rad; opening]."""
    state = observation["state"]
    assert not isinstance(state, str)
    return state[:JOINTS]
