"""Guides: within the bound, up the score, the same in NumPy as in torch, and no correction where none is due."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from handrail.assist.gate import ConstantLevel
from handrail.assist.guide_actor import Guide, GuideActor, ScoreAscent
from handrail.assist.success_score import SuccessScore
from handrail.core import Recovery
from handrail.core.contracts import single
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority
from handrail.learn.cql import CQL, CQLConfig
from handrail.run.supervisor import Supervisor

A, STATE = 4, 6
CONFIG = CQLConfig(hidden=(16, 16), bound=0.3, eta=0.01)
CALM = Assessment(0.0, 1.0)
GUIDES = [GuideActor, ScoreAscent]


def score(config: CQLConfig = CONFIG, seed: int = 0) -> SuccessScore:
    learner = CQL(config, {"state": STATE}, A, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in learner.nets.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        learner.nets.unit.copy_(torch.tensor([0.05, 0.1, 0.2, 0.5]))
    return SuccessScore(learner)


def commands(count: int, far: float = 0.7) -> tuple[Array, Array]:
    """States (B, STATE) and joint targets (B, A), up to `far` units from the joints."""
    rng = np.random.default_rng(0)
    state = rng.standard_normal((count, STATE), np.float32)
    unit = np.array([0.05, 0.1, 0.2, 0.5], np.float32)
    return state, state[:, :A] + far * unit * rng.uniform(-1, 1, (count, A)).astype(np.float32)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_actor_in_numpy_is_that_of_torch(activation: str):
    watch = score(replace(CONFIG, activation=activation))
    guide, (state, action) = GuideActor(watch), commands(30, far=1.5)  # some are clipped
    expected = watch.learner.corrected({"state": state}, action)
    found = [guide.target({"state": s}, a) for s, a in zip(state, action, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", GUIDES)
def test_targets_stay_within_the_bound_times_the_gain(kind: type[Guide]):
    watch, (state, action) = score(), commands(100)
    unit = watch.learner.nets.unit.numpy()
    for gain in (1.0, 4.0):
        guide = kind(watch, gain)
        far = [np.abs(guide.target({"state": s}, a) - a) / unit for s, a in zip(state, action, strict=True)]
        assert np.max(far) <= gain * CONFIG.bound + 1e-3
    near = [kind(watch).target({"state": s}, a) - a for s, a in zip(state, action, strict=True)]
    wide = [kind(watch, 4.0).target({"state": s}, a) - a for s, a in zip(state, action, strict=True)]
    np.testing.assert_allclose(wide, 4.0 * np.array(near), atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_slope_is_that_of_autograd(activation: str):
    watch = score(replace(CONFIG, activation=activation))
    guide, nets, (state, action) = ScoreAscent(watch), watch.learner.nets, commands(20)
    for s, a in zip(state, action, strict=True):
        heard = watch.hear({"state": s}, a)
        x = torch.from_numpy(heard.action)[None].requires_grad_()
        q, _ = nets.judge(torch.from_numpy(heard.features)[None], x)
        S = (torch.sigmoid(q.amin(0)) - nets.score_low) / (nets.score_high - nets.score_low)
        expected = torch.autograd.grad(S.sum(), x)[0][0]
        np.testing.assert_allclose(guide.slope(heard.features, heard.action), expected, atol=1e-5)


def test_ascent_raises_the_score():
    watch, (state, action) = score(), commands(200)
    guide = ScoreAscent(watch)
    q = [watch.learner.values({"state": state}, a)[0] for a in (action, np.array(
        [guide.target({"state": s}, a) for s, a in zip(state, action, strict=True)], np.float32
    ))]  # fmt: skip
    assert (q[1] >= q[0] - 1e-4).mean() > 0.95
    assert (q[1] - q[0]).mean() > 0.01


def test_eta_holds_the_ascent_back():
    watch, (state, action) = score(), commands(50)
    stiff = score(replace(CONFIG, eta=0.5))
    far = [
        np.mean([np.abs(ScoreAscent(w).target({"state": s}, a) - a) for s, a in zip(state, action, strict=True)])
        for w in (watch, stiff)
    ]
    assert far[1] < 0.95 * far[0]


@pytest.mark.parametrize("kind", GUIDES)
def test_a_guide_without_a_correction_is_the_command_itself(kind: type[Guide]):
    watch, (state, action) = score(), commands(20, far=2.0)
    with torch.no_grad():
        for net in (watch.learner.nets.actor, *watch.learner.nets.critics):
            for parameter in net.parameters():
                parameter.zero_()
    for s, a in zip(state, action, strict=True):
        np.testing.assert_allclose(kind(watch, 5.0).target({"state": s}, a), a, atol=1e-6)


@pytest.mark.parametrize("kind", GUIDES)
def test_a_guide_answers_the_command_that_was_assessed_last(kind: type[Guide]):
    watch, (state, action) = score(), commands(2)
    guide = kind(watch)
    assert isinstance(guide, Recovery)
    assert guide.propose({"state": state[0]}, CALM) is None
    for s, a in zip(state, action, strict=True):
        assessment = watch.assess({"state": s}, a)
        proposal = guide.propose({"state": s}, assessment)
        assert proposal is not None
        assert proposal.source is Authority.ASSISTANT
        assert proposal.actions.shape == (1, A)
        np.testing.assert_array_equal(proposal.actions[0], guide.target({"state": s}, a))


def test_a_supervisor_guides_and_leaves_the_command_alone():
    watch, (state, action) = score(), commands(1)
    guide = GuideActor(watch)
    supervisor = Supervisor(watch, ConstantLevel(0.25), guide)
    supervisor.reset()
    driver = single(action[0], Authority.OPERATOR)
    command = supervisor.decide({"state": state[0]}, driver, None, hold=state[0][:A]).command
    np.testing.assert_array_equal(command.action, action[0])
    assert command.guidance is not None
    np.testing.assert_allclose(command.guidance / 0.25, guide.target({"state": state[0]}, action[0]), atol=1e-5)


def test_error_messages():
    with pytest.raises(InvalidValueError, match="guide gain is 0, must be > 0: 1 is the actor's own correction"):
        GuideActor(score(), 0)
    with pytest.raises(InvalidValueError, match="steps is 0, must be at least 1: 3 are enough for a small bound"):
        ScoreAscent(score(), steps=0)
    with pytest.raises(InvalidValueError, match="Guide corrects nothing: use GuideActor or ScoreAscent"):
        Guide(score()).target({"state": np.zeros(STATE, np.float32)}, np.zeros(A, np.float32))
