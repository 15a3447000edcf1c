"""The success score: percentiles, the risk that the gate reads, and NumPy that says what torch says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from handrail.assist.gate import Gate, combined_risk
from handrail.assist.success_score import SuccessScore, sigmoid
from handrail.core import Monitor
from handrail.core.values import Array, Authority, Step, TakeoverCause
from handrail.learn.cql import CQL, CQLConfig
from handrail.store.trajectories import Trajectories

SMALL = CQLConfig(hidden=(16, 16))
STATE, OBJECT, A = 6, 3, 4


def learner(config: CQLConfig = SMALL, seed: int = 0) -> CQL:
    """Weights far from their small beginning, a unit and bounds, so that nothing agrees by being zero."""
    found = CQL(config, {"state": STATE, "environment_state": OBJECT}, A, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in found.nets.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        found.nets.unit.copy_(torch.tensor([0.05, 0.1, 0.2, 0.5]))
        found.nets.score_low.fill_(0.2)
        found.nets.score_high.fill_(0.8)
    return found


def observations(count: int, seed: int = 0) -> tuple[dict[str, Array], Array]:
    """Observations and joint targets, some of them further away than a unit."""
    rng = np.random.default_rng(seed)
    state = rng.standard_normal((count, STATE), np.float32)
    action = state[:, :A] + 0.15 * rng.standard_normal((count, A), np.float32)
    return {"state": state, "environment_state": rng.standard_normal((count, OBJECT), np.float32)}, action


def one(columns: dict[str, Array], i: int) -> dict[str, Array]:
    return {key: column[i] for key, column in columns.items()}


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_numpy_says_what_torch_says(activation: str):
    trained = learner(replace(SMALL, activation=activation))
    score = SuccessScore(trained)
    columns, actions = observations(50)
    q, f = trained.values(columns, actions)
    found = [score.assess(one(columns, i), actions[i]) for i in range(50)]
    np.testing.assert_allclose([a.parts["failure"] for a in found], f, atol=1e-5)
    np.testing.assert_allclose([a.value for a in found], np.clip((q - 0.2) / 0.6, 0.0, 1.0), atol=1e-5)
    assert 0 < sum(a.value in (0.0, 1.0) for a in found) < 50  # some are clipped


def test_the_risk_is_what_the_gate_reads():
    score, (columns, actions) = SuccessScore(learner()), observations(20)
    assert isinstance(score, Monitor)
    gate = Gate()
    for i in range(20):
        found = score.assess(one(columns, i), actions[i])
        assert found.risk == combined_risk(found.parts["score"], found.parts["failure"])
        assert found.value == found.parts["score"]
        gate.update(found)
        assert gate.rho == pytest.approx(found.risk)


def test_percentiles_of_the_calibration_episodes_are_score_0_and_1():
    trained = learner()
    columns, actions = observations(400)
    nothing = np.zeros(400, np.float32)
    flags = nothing.astype(bool)
    data = Trajectories(columns, columns, actions, actions, nothing, nothing, flags, flags, nothing.astype(np.int64))
    trained.fit_bounds(data)
    score = SuccessScore(trained)
    values = np.array([score.assess(one(columns, i), actions[i]).value for i in range(400)])
    assert (values == 0.0).mean() == pytest.approx(0.05, abs=0.005)
    assert (values == 1.0).mean() == pytest.approx(0.05, abs=0.005)
    q = trained.values(columns, actions)[0]
    np.testing.assert_allclose(
        values, np.clip((q - np.percentile(q, 5)) / np.ptp(np.percentile(q, [5, 95])), 0, 1), atol=1e-4
    )


def test_an_episode_at_once_is_the_same_as_step_by_step():
    score, (columns, actions) = SuccessScore(learner()), observations(30)
    nobody = (
        None,
        None,
        Authority.OPERATOR,
        TakeoverCause.NONE,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        False,
        False,
        False,
        0.0,
        0.0,
    )
    episode = [Step(one(columns, i), one(columns, i), actions[i], actions[i], *nobody) for i in range(30)]
    for whole, single in zip(
        score.assess_many(episode), [score.assess(s.observation, s.action) for s in episode], strict=True
    ):
        assert whole.risk == pytest.approx(single.risk, abs=1e-5)
        assert whole.parts == pytest.approx(single.parts, abs=1e-5)
    assert score.assess_many([]) == []


def test_no_failure_head_leaves_the_score_alone():
    score, (columns, actions) = SuccessScore(learner(replace(SMALL, beta=0.0))), observations(5)
    for i in range(5):
        found = score.assess(one(columns, i), actions[i])
        assert found.parts["failure"] == 0.0
        assert found.risk == pytest.approx(1.0 - found.value)


def test_training_and_loading_take_effect_at_once():
    trained, other = learner(), learner(seed=1)
    score, (columns, actions) = SuccessScore(trained), observations(1)
    before = score.assess(one(columns, 0), actions[0]).parts["failure"]
    trained.load_state(*other.state())
    after = score.assess(one(columns, 0), actions[0]).parts["failure"]
    assert after == SuccessScore(other).assess(one(columns, 0), actions[0]).parts["failure"] != before


def test_actions_that_are_no_displacements():
    trained = learner(replace(SMALL, relative_to=""))
    score, (columns, _) = SuccessScore(trained), observations(4)
    actions = np.random.default_rng(0).uniform(-0.2, 0.2, (4, A)).astype(np.float32)
    q, _ = trained.values(columns, actions)
    found = [score.assess(one(columns, i), actions[i]).value for i in range(4)]
    np.testing.assert_allclose(found, np.clip((q - 0.2) / 0.6, 0.0, 1.0), atol=1e-5)


def test_what_was_heard_is_forgotten_at_reset():
    score, (columns, actions) = SuccessScore(learner()), observations(1)
    score.assess(one(columns, 0), actions[0])
    assert score.heard is not None
    np.testing.assert_array_equal(score.heard.command, actions[0])
    score.reset()
    assert score.heard is None


def test_the_sigmoid_does_not_overflow():
    assert (sigmoid(-1e6), sigmoid(0.0), sigmoid(1e6)) == (pytest.approx(0.0), 0.5, pytest.approx(1.0))
