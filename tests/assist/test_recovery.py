"""Recoveries: one step at a time, as the assistant."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.assist import PolicyRecovery, Rejection, Scripted
from handrail.core.contracts import Recovery
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal
from handrail.tasks import make

ALARM = Assessment(0.9, 0.1)


class Retreats:
    """A policy that proposes chunks of three, away from where it is, and counts its resets."""

    resets = 0

    def reset(self) -> None:
        self.resets += 1

    def act(self, observation: Observation) -> Proposal:
        state = np.asarray(observation["state"], np.float32)
        return Proposal(np.stack([-state, -state / 2, -state / 4]), Authority.POLICY, made_at_s=1.5)


def test_a_recovery_policy_proposes_one_step_as_the_assistant() -> None:
    policy = Retreats()
    recovery = PolicyRecovery(policy)
    recovery.reset()
    assert policy.resets == 1
    for state in ([0.5, -1.0], [0.25, 0.0]):
        proposal = recovery.propose({"state": np.array(state, np.float32)}, ALARM)
        assert proposal.source is Authority.ASSISTANT and proposal.made_at_s == 1.5
        assert np.array_equal(proposal.actions, [[-state[0], -state[1]]])


def test_a_script_may_have_nothing_to_propose() -> None:
    def back_off(observation: Observation) -> Array | None:
        near = float(np.asarray(observation["state"])[0]) < 0.1
        return np.array([1.0, 0.0], np.float32) if near else None

    recovery = Scripted(back_off)
    near, far = ({"state": np.array([x])} for x in (0.05, 0.5))
    proposal = recovery.propose(near, ALARM)
    assert proposal is not None and proposal.source is Authority.ASSISTANT
    assert np.array_equal(proposal.actions, [[1.0, 0.0]]) and proposal.actions.dtype == np.float32
    assert recovery.propose(far, ALARM) is None


def test_rejection_stands_still_as_the_task_means_it() -> None:
    """On the Sawyer, still means no motion and the gripper's effort as it is."""
    env = make("BoundedPush")
    env.reset(seed=0)
    observation = {"state": env.step(np.array([0.0, 0.0, 0.0, 0.7], np.float32))[0]}
    proposal = Rejection(env.hold).propose(observation, ALARM)
    assert proposal is not None and proposal.source is Authority.ASSISTANT
    assert proposal.actions == pytest.approx(np.array([[0.0, 0.0, 0.0, 0.7]]))


@pytest.mark.parametrize(
    "recovery", [PolicyRecovery(Retreats()), Scripted(lambda seen: None), Rejection(lambda seen: np.zeros(2))]
)
def test_they_are_recoveries(recovery: object) -> None:
    assert isinstance(recovery, Recovery)
