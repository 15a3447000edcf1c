"""The values: order of precedence, what counts as an intervention, and that nothing can be edited afterwards."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from handrail.core import Authority, Command, Encoder, Intent, Operator, Policy, Proposal, Step, TakeoverCause, single


def step(authority: Authority, cause: TakeoverCause, *, terminated: bool = False, truncated: bool = False) -> Step:
    action = np.zeros(4, np.float32)
    observation = {"state": np.zeros(18, np.float32)}
    return Step(
        observation=observation,
        next_observation=observation,
        action=action,
        policy_action=action,
        operator_action=None,
        assistant_action=None,
        authority=authority,
        takeover_cause=cause,
        assist_level=0.0,
        risk=0.0,
        value=0.0,
        reward=0.0,
        cost=0.0,
        terminated=terminated,
        truncated=truncated,
        success=False,
        timestamp=0.0,
        stamp_s=0.0,
    )


def test_a_larger_authority_wins() -> None:
    assert sorted(Authority) == [Authority.POLICY, Authority.ASSISTANT, Authority.OPERATOR, Authority.STOP]


@pytest.mark.parametrize(
    ("authority", "cause", "counted"),
    [
        (Authority.OPERATOR, TakeoverCause.STUCK, True),
        (Authority.OPERATOR, TakeoverCause.MANUAL, True),
        (Authority.OPERATOR, TakeoverCause.DEMONSTRATION, False),
        (Authority.ASSISTANT, TakeoverCause.NONE, False),
        (Authority.POLICY, TakeoverCause.NONE, False),
        (Authority.STOP, TakeoverCause.NONE, False),
    ],
)
def test_intervention_is_operator_while_the_policy_drives(
    authority: Authority, cause: TakeoverCause, counted: bool
) -> None:
    assert step(authority, cause).intervention is counted


@pytest.mark.parametrize(("terminated", "truncated"), [(False, False), (True, False), (False, True), (True, True)])
def test_done_is_terminated_or_truncated(terminated: bool, truncated: bool) -> None:
    made = step(Authority.POLICY, TakeoverCause.NONE, terminated=terminated, truncated=truncated)
    assert made.done is (terminated or truncated)


POLICY = Authority.POLICY


@pytest.mark.parametrize("value", [Intent(), Proposal(np.zeros((1, 4)), POLICY), Command(np.zeros(4), POLICY)])
def test_values_cannot_be_edited(value: object) -> None:
    name = dataclasses.fields(value)[0].name  # pyright: ignore[reportArgumentType]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


def test_single_makes_a_chunk_of_one() -> None:
    proposal = single(np.array([1.0, -1.0]), Authority.ASSISTANT, 2.5)
    assert proposal.actions.shape == (1, 2)
    assert proposal.actions.dtype == np.float32
    assert (proposal.source, proposal.made_at_s) == (Authority.ASSISTANT, 2.5)


def test_matching_the_shape_of_a_contract_is_enough() -> None:
    class Still:
        def reset(self) -> None:
            return None

        def act(self, observation: object) -> Proposal:
            return single(np.zeros(2), Authority.POLICY)

    assert isinstance(Still(), Policy)
    assert not isinstance(Still(), Operator)
    assert not isinstance(Still(), Encoder)
