"""MPPI in a learned world: it steers away from the hazard, always in the same way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handrail.assist.mppi import MPPI, MPPIConfig
from handrail.core.contracts import Recovery
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Assessment, Authority
from handrail.learn.world_model import WorldModel

RISKY = Assessment(1.0, 0.0)
NEAR = {"state": np.array([0.7, 0.2, 0.06, 0.0], np.float32)}


def test_it_steers_away_from_the_hazard(hazard_model: WorldModel, point_mass):
    """Points that drift toward x = 1: all violate if left alone, with MPPI next to none does."""
    rng = np.random.default_rng(0)
    place = np.stack([rng.uniform(0.5, 0.85, 20), rng.uniform(-0.8, 0.8, 20)], 1)
    start = np.concatenate([place, np.tile([0.05, 0.0], (20, 1))], 1).astype(np.float32)
    planner = MPPI(hazard_model, MPPIConfig(), seed=0)

    def violations(recovered: bool) -> Array:
        state, seen = start, np.zeros(20, bool)
        for _ in range(12):
            push = np.tile(np.array([0.6, 0.0], np.float32), (20, 1))
            if recovered:
                push = np.concatenate([planner.propose({"state": row}, RISKY).actions for row in state])
            state, cost = point_mass.step(state, push)
            seen |= cost > 0
        return seen

    assert violations(recovered=False).mean() > 0.9
    assert violations(recovered=True).mean() < 0.1


def test_the_plan_scores_better_than_its_alternatives(hazard_model: WorldModel):
    planner = MPPI(hazard_model, MPPIConfig(), seed=0)
    plan = planner.plan(hazard_model.features(NEAR))
    others = np.random.default_rng(1).uniform(-1, 1, (5, 200, 2)).astype(np.float32)
    plans = np.concatenate([plan[:, None], others], axis=1)
    z = np.repeat(hazard_model.features(NEAR)[None], 201, axis=0)
    scores = planner.score(z, plans)
    assert (scores[0] >= scores[1:]).mean() > 0.95


def test_the_score_is_risk_with_a_little_value(hazard_model: WorldModel):
    config = MPPIConfig(horizon=2, gamma_risk=0.5, value_weight=0.1)
    planner, world = MPPI(hazard_model, config, 0), MPPI(hazard_model, config, 0).imagination
    z, plans = hazard_model.features(NEAR)[None], np.full((2, 1, 2), 0.3, np.float32)
    za, last = world.follow(z, plans)
    za = np.concatenate([za[:, 0], np.concatenate([last, world.prior(last)], 1)])
    p, r, q = world.probability(za), world.reward(za), world.returns(za)
    value = world.normalised(r[0] + 0.99 * r[1] + 0.99**2 * q[2])
    expected = 0.1 * value - (p[0] + 0.5 * p[1] + 0.25 * p[2])
    np.testing.assert_allclose(planner.score(z, plans), [expected], rtol=1e-4)


def test_the_same_observation_gives_the_same_plan(hazard_model: WorldModel):
    one, same, other = (MPPI(hazard_model, MPPIConfig(), seed) for seed in (0, 0, 1))
    first = one.propose(NEAR, RISKY).actions
    one.propose({"state": np.zeros(4, np.float32)}, RISKY)
    one.reset()
    np.testing.assert_array_equal(one.propose(NEAR, RISKY).actions, first)
    np.testing.assert_array_equal(same.propose(NEAR, RISKY).actions, first)
    assert (other.propose(NEAR, RISKY).actions != first).any()


def test_a_proposal_is_a_chunk_of_the_assistant(hazard_model: WorldModel):
    planner = MPPI(hazard_model, MPPIConfig(chunk=3), seed=0)
    proposal = planner.propose(NEAR, RISKY)
    assert isinstance(planner, Recovery)
    assert proposal.source is Authority.ASSISTANT and proposal.actions.dtype == np.float32
    assert proposal.actions.shape == (3, 2) and np.abs(proposal.actions).max() <= 1.0
    np.testing.assert_array_equal(proposal.actions, planner.plan(hazard_model.features(NEAR))[:3])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"horizon": 0}, "horizon 0 and iterations 4 must be at least 1: raise them"),
        ({"elites": 200}, r"elites 200 is not in 1\.\.128: they are some of the samples"),
        ({"chunk": 6}, r"chunk 6 is not in 1\.\.5: it is a part of the plan"),
        ({"gamma_risk": 1.5}, r"gamma_risk 1.5 is not in \(0, 1\]: it is a discount"),
        ({"temperature": 0.0}, "temperature 0.0, min_std 0.05 and initial_std 1.0: the first two must be above 0"),
    ],
)
def test_error_config(change: dict[str, float], text: str):
    with pytest.raises(InvalidValueError, match=text):
        replace(MPPIConfig(), **change)  # type: ignore[arg-type]
