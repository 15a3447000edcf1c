"""The cloned copilot: what it clones, where it would go, blending, and the value gate, by numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from handrail.assist.copilot import JOINTS, Advantage, Blended, Copilot, clonable
from handrail.core.contracts import single
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Intent, Observation, Proposal, Step, StepView
from handrail.learn.bc import BC, BCConfig
from handrail.store.trajectories import Trajectories

RNG = np.random.default_rng(0)


def trajectories(lengths: Sequence[int]) -> Trajectories:
    """Joints at rest at 0, commands that count up by 0.01 a step in each episode."""
    count = sum(lengths)
    ramp = np.concatenate([0.01 * np.arange(1, length + 1) for length in lengths]).astype(np.float32)
    action = np.repeat(ramp[:, None], JOINTS, 1)
    state = {"state": np.zeros((count, 46), np.float32), "environment_state": np.zeros((count, 9), np.float32)}
    last = np.zeros(count, bool)
    last[np.cumsum(lengths) - 1] = True
    zeros = np.zeros(count, np.float32)
    return Trajectories(state, state, action, action, zeros, zeros, last, last, np.zeros(count, np.int64))


def test_what_is_cloned_is_the_next_command_and_a_later_one() -> None:
    chunks, scale = clonable(trajectories([20, 10]), ahead=4)
    assert chunks.shape == (30, 2, JOINTS)
    raw = chunks * scale
    np.testing.assert_allclose(raw[:16, 1] - raw[:16, 0], 0.04, atol=1e-6)
    np.testing.assert_allclose(raw[19], 0.2, atol=2e-3)  # the end of the episode ends the look
    np.testing.assert_allclose(raw[20, 1], 0.05, atol=1e-6)
    assert np.abs(chunks).max() <= 1.0
    with pytest.raises(InvalidValueError, match="ahead is 0, must be at least 1"):
        clonable(trajectories([5]), ahead=0)


def test_a_copilot_overfits_one_episode() -> None:
    data = trajectories([16])
    data.observation["state"][:, 20] = np.linspace(-1, 1, 16)  # tells where in the episode it is
    chunks, scale = clonable(data, ahead=3)
    learner = BC(BCConfig(horizon=2, hidden=(64, 64)), {"state": 46, "environment_state": 9}, JOINTS, 0)
    batch = replace(data.batch(), action=chunks)
    learner.fit_normaliser(batch)
    for _ in range(400):
        learner.update(batch)
    copilot = Copilot(learner, scale)
    observation = {key: value[5] for key, value in data.observation.items()}
    np.testing.assert_allclose(copilot.targets(observation), data.action[[5, 8]], atol=0.01)
    assert copilot.act(observation).source is Authority.POLICY
    proposal = copilot.propose(observation, Assessment(0.0, 0.0))
    assert proposal.source is Authority.ASSISTANT
    np.testing.assert_array_equal(proposal.actions[0], copilot.targets(observation)[1])


class Fixed:
    """An operator, a policy and a monitor whose value is the action's first entry."""

    def __init__(self, action: float | None) -> None:
        self.action = None if action is None else np.full(JOINTS, action, np.float32)
        self.draws: list[int] = []

    def reset(self, draw: int = -1) -> None:
        self.draws.append(draw)

    def intent(self, view: StepView) -> Intent | None:
        return None if self.action is None else Intent(self.action)

    def act(self, observation: Observation) -> Proposal:
        assert self.action is not None
        return single(self.action, Authority.POLICY)

    def assess(self, observation: Observation, action: Array) -> Assessment:
        return Assessment(0.5, float(action[0]), {"score": float(action[0])})

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return []


VIEW = StepView({"state": np.zeros(46, np.float32)}, None, 0.0)


def test_blending_edits_the_command_by_its_share() -> None:
    person, copilot = Fixed(1.0), Fixed(3.0)
    blended = Blended(person, copilot, share=0.25)
    blended.reset(7)
    assert person.draws == [7] and copilot.draws == [-1]
    meant = blended.intent(VIEW)
    assert meant is not None
    np.testing.assert_array_equal(meant.action, np.full(JOINTS, 1.5, np.float32))
    assert Blended(Fixed(None), copilot, 0.25).intent(VIEW) is None  # hands off
    with pytest.raises(InvalidValueError, match=r"share is 1.5, must be in \[0, 1\]"):
        Blended(person, copilot, 1.5)


def test_the_value_gate_opens_where_the_copilot_is_better() -> None:
    gate = Advantage(Fixed(0.0), Fixed(0.6))
    for own, opens in ((0.5, 1.0), (0.6, 0.0), (0.7, 0.0)):
        found = gate.assess(VIEW.observation, np.full(JOINTS, own, np.float32))
        assert found.risk == opens
        assert found.value == pytest.approx(own)
        assert found.parts["score"] == pytest.approx(own)
