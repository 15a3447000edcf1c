"""The monitor by numbers: C_H of chains that are known exactly, and of a hazard that was learned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from handrail.assist.calibration import auroc, realised_risk
from handrail.assist.world_model import BATCH, WorldModelMonitor
from handrail.core.contracts import Monitor
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, Authority, Step, TakeoverCause
from handrail.learn.world_model import WorldModel, WorldModelConfig
from handrail.nets import Mlp

STATES, HAZARD = 8, 5
STAND = np.zeros(2, np.float32)


def stay(features: Array) -> Array:
    """A policy that does nothing."""
    return np.zeros((len(features), 2), np.float32)


def upward(features: Array) -> Array:
    """A policy that pushes along y."""
    return np.tile(np.array([0.0, 1.0], np.float32), (len(features), 1))


@torch.no_grad()
def set_layers(net: Mlp, *layers: tuple[Array, Array | float]) -> None:
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    for layer, (weight, bias) in zip(linear, layers, strict=True):
        layer.weight.copy_(torch.from_numpy(np.asarray(weight, np.float32)))
        layer.bias.copy_(torch.from_numpy(np.broadcast_to(np.asarray(bias, np.float32), (len(weight),)).copy()))


@pytest.fixture
def chain() -> WorldModel:
    """States 0 to 7 as one-hot observations; every step leads to the next, 7 stays; being in 5 is the violation.

    Action 0 above 0.5 violates as well, with probability 0.25.
    """
    model = WorldModel(WorldModelConfig(hidden=(STATES + 1,)), {"state": STATES}, 2, 0)
    keep, action = np.eye(STATES + 1, STATES), np.zeros((STATES + 1, 2))
    change = np.eye(STATES, STATES + 1, -1) - np.eye(STATES, STATES + 1)
    change[-1, STATES - 1] = 0.0
    set_layers(model.nets.dynamics, (np.hstack([keep, action]), 0.0), (change, 0.0))
    action[-1, 0] = 2.0  # the last hidden unit is relu(2 a_0 - 1)
    bias = np.zeros(STATES + 1)
    bias[-1] = -1.0
    out = np.zeros((1, STATES + 1))
    out[0, HAZARD], out[0, -1] = 40.0, 20.0 - np.log(3.0)
    set_layers(model.nets.constraint, (np.hstack([keep, action]), bias), (out, -20.0))
    return model


def one_hot(state: int) -> dict[str, Array]:
    return {"state": np.eye(STATES, dtype=np.float32)[state]}


def steps(observations: Array, actions: Array) -> list[Step]:
    nobody = (None, None, Authority.POLICY, TakeoverCause.NONE)
    return [
        Step({"state": o, "task": "go"}, {"state": o}, a, a, *nobody, *(0.0,) * 5, False, False, False, 0.0, 0.0)  # type: ignore[arg-type]
        for o, a in zip(observations, actions, strict=True)
    ]


# -- chains ----


@pytest.mark.parametrize("state", range(STATES))
@pytest.mark.parametrize(("horizon", "gamma"), [(0, 0.9), (3, 0.9), (5, 0.5), (10, 1.0)])
def test_the_risk_of_a_known_chain(chain: WorldModel, state: int, horizon: int, gamma: float):
    found = WorldModelMonitor(chain, stay, horizon, gamma).assess(one_hot(state), STAND)
    ahead = HAZARD - state
    expected = gamma**ahead if 0 <= ahead <= horizon else 0.0
    assert found.risk == pytest.approx(expected, abs=1e-4)
    assert found.parts["p0"] == pytest.approx(float(ahead == 0), abs=1e-4)
    assert found.parts["p_max"] == pytest.approx(float(0 <= ahead <= horizon), abs=1e-4)


def test_the_given_action_is_applied_first_and_the_policy_goes_on(chain: WorldModel):
    def risky_in_two(features: Array) -> Array:
        return np.stack([features[:, 2], 0.0 * features[:, 0]], 1)

    monitor, risky = WorldModelMonitor(chain, risky_in_two, 2, 0.5), np.array([1.0, 0.0], np.float32)
    logit = -np.log(3.0)  # relu(2 - 1) (20 - log 3) - 20
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(0.25)
    assert monitor.assess(one_hot(0), risky).risk == pytest.approx(0.25 + 0.25 * 0.25, abs=1e-4)
    assert monitor.assess(one_hot(0), STAND).risk == pytest.approx(0.25 * 0.25, abs=1e-4)
    assert monitor.assess(one_hot(1), STAND).risk == pytest.approx(0.5 * 0.25, abs=1e-4)


def test_the_risk_of_a_constant_probability_is_a_geometric_sum(chain: WorldModel):
    set_layers(chain.nets.constraint, (np.zeros((9, 10)), 0.0), (np.zeros((1, 9)), np.log(0.2 / 0.8)))
    found = WorldModelMonitor(chain, stay, 4, 0.5).assess(one_hot(0), STAND)
    assert found.risk == pytest.approx(0.2 * (1 - 0.5**5) / 0.5, rel=1e-5)


def test_the_value_is_the_normalised_critic(chain: WorldModel):
    for critic in chain.nets.critics:
        assert isinstance(critic, Mlp)
        set_layers(critic, (np.zeros((9, 10)), 0.0), (np.zeros((1, 9)), 3.0))
    for name, value in (("return_scale", 2.0), ("return_low", 5.0), ("return_high", 9.0)):
        getattr(chain.nets, name).fill_(value)
    assert WorldModelMonitor(chain, stay).assess(one_hot(0), STAND).value == pytest.approx(0.25)


# -- one, many, and memory ----


def test_it_is_a_monitor(chain: WorldModel):
    monitor = WorldModelMonitor(chain, stay)
    monitor.reset()
    assert isinstance(monitor, Monitor)


def test_many_steps_are_assessed_as_each_alone(hazard_model: WorldModel, point_mass):
    data = point_mass.data(8, seed=3)
    episode = steps(data.observation["state"], data.action)
    assert len(episode) > BATCH
    monitor = WorldModelMonitor(hazard_model, upward, 10, 0.95)
    many = monitor.assess_many(episode)
    batch = monitor.assess_batch(data.observation, data.action)
    for i in [*range(0, len(episode), 17), BATCH - 1, BATCH, len(episode) - 1]:
        one = monitor.assess(episode[i].observation, episode[i].action)
        for other in (many[i], batch[i]):
            assert other.risk == pytest.approx(one.risk, abs=1e-4)
            assert other.value == pytest.approx(one.value, abs=1e-4)
            assert other.parts == pytest.approx(one.parts, abs=1e-4)
    assert monitor.assess_many([]) == []


def test_the_probabilities_sum_to_the_risk(hazard_model: WorldModel, point_mass):
    data = point_mass.data(1, seed=3)
    episode = steps(data.observation["state"], data.action)
    monitor = WorldModelMonitor(hazard_model, upward, 6, 0.8)
    p = monitor.probabilities(episode)
    assert p.shape == (40, 7) and monitor.probabilities([]).shape == (0, 7)
    risks = [found.risk for found in monitor.assess_many(episode)]
    np.testing.assert_allclose(p @ 0.8 ** np.arange(7), risks, atol=1e-5)


def test_assessing_another_action_in_between_changes_nothing(hazard_model: WorldModel):
    monitor, observation = (
        WorldModelMonitor(hazard_model, upward),
        {"state": np.array([0.8, 0.0, 0.1, 0.0], np.float32)},
    )
    toward, away = np.array([1.0, 0.0], np.float32), np.array([-1.0, 0.0], np.float32)
    first = monitor.assess(observation, toward)
    other = monitor.assess(observation, away)
    assert monitor.assess(observation, toward) == first
    assert monitor.assess(observation, away) == other


# -- a learned hazard ----


def drive(policy_x: float) -> Callable[[Array], Array]:
    return lambda features: np.tile(np.array([policy_x, 0.0], np.float32), (len(features), 1))


@pytest.mark.parametrize("push", [-0.5, 0.0, 0.5])
def test_the_risk_foretells_what_the_policy_will_do(hazard_model: WorldModel, point_mass, push: float):
    """C_H of a policy against the sum that the true dynamics give, from 200 states of other episodes."""
    horizon, gamma = 8, 0.95
    data, rng = point_mass.data(40, seed=4), np.random.default_rng(0)
    state = data.observation["state"][rng.choice(len(data), 200, replace=False)]
    monitor = WorldModelMonitor(hazard_model, drive(push), horizon, gamma)
    action = np.tile(np.array([push, 0.0], np.float32), (200, 1))
    predicted = np.array([found.risk for found in monitor.assess_batch({"state": state}, action)])
    costs = []
    for _ in range(horizon + 1):
        state, cost = point_mass.step(state, action)
        costs.append(cost)
    true = np.array([realised_risk(row, horizon, gamma)[0] for row in np.stack(costs, 1)])
    assert auroc(predicted, true > 0) > 0.98
    assert np.corrcoef(predicted, true)[0, 1] > 0.97
    assert predicted.mean() == pytest.approx(true.mean(), rel=0.1)
    assert np.abs(predicted - true).mean() < 0.3  # of a sum that reaches 7.4


# -- errors ----


def test_error_horizon(chain: WorldModel):
    with pytest.raises(InvalidValueError, match="horizon -1 is below 0: it counts steps after the action"):
        WorldModelMonitor(chain, stay, -1)


def test_error_gamma(chain: WorldModel):
    with pytest.raises(InvalidValueError, match=r"gamma_risk 0.0 is not in \(0, 1\]: it is a discount"):
        WorldModelMonitor(chain, stay, 3, 0.0)
