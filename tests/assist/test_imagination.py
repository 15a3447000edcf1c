"""The NumPy world model is the torch one: the same numbers, the same memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from handrail.assist.imagination import Imagination, mean_of, rows
from handrail.core.errors import InvalidValueError
from handrail.core.values import Array
from handrail.learn.actor_critic import GaussianActor
from handrail.learn.world_model import WorldModel, WorldModelConfig
from handrail.nets import Mlp

SMALL = WorldModelConfig(hidden=(24, 24))
B, Z = 5, 3


def learner(activation: str = "relu", seed: int = 0) -> WorldModel:
    return WorldModel(WorldModelConfig(hidden=(24, 24), activation=activation), {"state": 3}, 2, seed)


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@torch.no_grad()
def strengthen(model: WorldModel) -> None:
    """Weights far from their small beginning, so that nothing agrees by being zero."""
    generator = torch.Generator().manual_seed(1)
    for parameter in [*model.nets.parameters(), *model.prior.parameters()]:
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.nets.step_scale.copy_(torch.tensor([0.5, 0.2, 3.0]))
    for name, value in (("positive_weight", 5.0), ("reward_scale", 2.0), ("return_scale", 3.0), ("return_high", 9.0)):
        getattr(model.nets, name).fill_(value)


def pairs(model: WorldModel) -> dict[str, tuple[Callable[[Array], Array], Callable[[torch.Tensor], torch.Tensor], int]]:
    """Every function: (in NumPy, in torch, width of its input)."""
    imagination, nets = Imagination(model), model.nets
    return {
        "next": (imagination.next, lambda za: nets.next(za[:, :Z], za[:, Z:]), Z + 2),
        "probability": (imagination.probability, lambda za: nets.probability(za[:, :Z], za[:, Z:]), Z + 2),
        "reward": (imagination.reward, lambda za: nets.reward(za)[:, 0] * 2.0, Z + 2),
        "returns": (imagination.returns, lambda za: nets.critics(za).mean(0) * 3.0, Z + 2),
        "prior": (imagination.prior, lambda z: torch.tanh(model.prior(z)), Z),
    }


@pytest.mark.parametrize("batch", [1, B])
@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
def test_every_function_is_that_of_torch(activation: str, batch: int):
    model = learner(activation)
    strengthen(model)
    for name, (fast, reference, width) in pairs(model).items():
        x = draw(batch, width)
        with torch.no_grad():
            np.testing.assert_allclose(fast(x.copy()), reference(torch.from_numpy(x)), atol=1e-5, err_msg=name)


def test_a_rollout_is_that_of_torch():
    model = learner()
    strengthen(model)
    actor = GaussianActor(3, (8, 8), 2, torch.Generator().manual_seed(0))
    features, action = draw(B, Z), 2.0 * draw(B, 2, seed=1)
    za = Imagination(model).roll(features, action, mean_of(actor), 12)
    with torch.no_grad():
        z, a = torch.from_numpy(features), torch.from_numpy(action).clamp(-1.0, 1.0)
        for i in range(13):
            np.testing.assert_allclose(za[i, :, :Z], z, atol=1e-5)
            np.testing.assert_allclose(za[i, :, Z:], a, atol=1e-5)
            z = model.nets.next(z, a)
            a = actor.mean(z)


def test_following_given_actions_is_that_of_torch():
    model = learner()
    strengthen(model)
    z = first = draw(B, Z)
    actions = draw(4, B, 2, seed=1)
    za, last = Imagination(model).follow(first, actions)
    with torch.no_grad():
        for i in range(4):
            np.testing.assert_allclose(za[i], np.concatenate([z, actions[i]], 1), atol=1e-5)
            z = model.nets.next(torch.from_numpy(np.asarray(z)), torch.from_numpy(actions[i])).numpy()
    np.testing.assert_allclose(last, z, atol=1e-5)


def test_inputs_are_left_alone():
    model = learner()
    for name, (fast, _, width) in pairs(model).items():
        x = draw(B, width)
        fast(x)
        np.testing.assert_array_equal(x, draw(B, width), err_msg=name)


def test_training_and_loading_take_effect_at_once(point_mass):
    model = WorldModel(SMALL, {"state": 4}, 2, 0)
    data, imagination, x = point_mass.data(5, 0), Imagination(model), draw(B, 6)
    before = imagination.probability(x)
    for _ in range(3):
        model.update(*data.window(np.arange(0, 150, 10), 4))
    trained = imagination.probability(x)
    assert np.abs(trained - before).max() > 1e-4
    other = WorldModel(SMALL, {"state": 4}, 2, 7)
    same = Imagination(other)
    other.load_state(*model.state())
    np.testing.assert_array_equal(same.probability(x), trained)
    model.nets.positive_weight.fill_(9.0)
    assert imagination.probability(x).mean() < 0.5 * trained.mean()


def test_probabilities_do_not_overflow():
    model = learner()
    last = model.nets.constraint[-1]
    assert isinstance(last, torch.nn.Linear)
    for bias, expected in ((1e4, 1.0), (-1e4, 0.0)):
        with torch.no_grad():
            last.bias.fill_(bias)
        np.testing.assert_allclose(Imagination(model).probability(draw(B, 5)), expected, atol=1e-6)


def test_returns_are_normalised_between_the_percentiles_of_the_data():
    model = learner()
    model.nets.return_low.fill_(2.0)
    model.nets.return_high.fill_(6.0)
    values = Imagination(model).normalised(np.array([0.0, 2.0, 3.0, 6.0, 9.0]))
    np.testing.assert_allclose(values, [0.0, 0.0, 0.25, 1.0, 1.0])


def test_error_layer():
    with pytest.raises(InvalidValueError, match="layer LayerNorm has no NumPy version here: build the network of Lin"):
        rows(Mlp((2, 4, 1), torch.Generator(), "relu", layer_norm=True))
