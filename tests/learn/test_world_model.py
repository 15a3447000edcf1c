"""The world model by numbers: losses and targets in closed form, calibration, a known hazard, exact resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from handrail.assist.calibration import auroc, reliability
from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array
from handrail.learn.world_model import REACH, WindowSampler, WorldModel, WorldModelConfig, discounted_returns
from handrail.nets import CnnConfig, CnnEncoder
from handrail.store import checkpoint
from handrail.store.trajectories import Trajectories

SMALL = WorldModelConfig(hidden=(16, 16), horizon=3, batch_size=8, learning_rate=3e-4)


def learner(config: WorldModelConfig = SMALL, seed: int = 0) -> WorldModel:
    return WorldModel(config, {"state": 3}, 2, seed)


def random_data(seed: int, rows: int = 60, episode: int = 20) -> Trajectories:
    rng = np.random.default_rng(seed)
    place = np.arange(rows) % episode
    state, after = (rng.standard_normal((rows, 3), np.float32) for _ in range(2))
    action = rng.uniform(-1, 1, (rows, 2)).astype(np.float32)
    return Trajectories(
        observation={"state": state},
        next_observation={"state": after},
        action=action,
        proposed=action,
        reward=rng.random(rows, np.float32),
        cost=(rng.random(rows) < 0.2).astype(np.float32),
        terminated=(place == episode - 1) & (np.arange(rows) < episode),
        last=place == episode - 1,
        authority=np.zeros(rows, np.int64),
    )


@torch.no_grad()
def make_constant(net: nn.Module, *outputs: float) -> None:
    """The network's answer is `outputs` whatever its input."""
    last = list(net.children())[-1]
    assert isinstance(last, nn.Linear)
    last.weight.zero_()
    last.bias.copy_(torch.tensor(outputs))


def weights(model: WorldModel) -> dict[str, Array]:
    return model.state()[0]


# -- parts ----


def test_the_dynamics_say_how_the_latent_changes_in_units_of_a_step():
    model = learner()
    make_constant(model.nets.dynamics, 1.0, -2.0, 0.5)
    model.nets.step_scale.copy_(torch.tensor([0.1, 0.2, 4.0]))
    z = torch.tensor([[1.0, 2.0, 3.0], [-1.0, -4.9, 4.0]])
    with torch.no_grad():
        after = model.nets.next(z, torch.zeros(2, 2))
    np.testing.assert_allclose(after, [[1.1, 1.6, REACH], [-0.9, -REACH, REACH]], rtol=1e-6)


def test_discounted_returns_end_with_the_episode():
    data = replace(random_data(0, 6, 3), reward=np.array([1.0, 2.0, 4.0, 0.0, 0.0, 8.0], np.float32))
    np.testing.assert_allclose(discounted_returns(data, 0.5), [3.0, 4.0, 4.0, 2.0, 4.0, 8.0])


def test_scales_come_from_the_data():
    model, data = learner(replace(SMALL, discount=0.5)), random_data(0)
    data = replace(data, cost=(np.arange(60) < 6).astype(np.float32))
    model.fit_scales(data)
    returns = discounted_returns(data, 0.5)
    assert model.nets.positive_weight.item() == pytest.approx(9.0)  # 54 to 6
    assert model.nets.reward_scale.item() == pytest.approx(np.sqrt(np.square(data.reward).mean()), rel=1e-5)
    assert model.nets.return_scale.item() == pytest.approx(np.sqrt(np.square(returns).mean()), rel=1e-5)
    assert model.nets.return_low.item() == pytest.approx(np.percentile(returns, 5), rel=1e-5)
    assert model.nets.return_high.item() == pytest.approx(np.percentile(returns, 95), rel=1e-5)
    change = data.next_observation["state"] - data.observation["state"]
    np.testing.assert_allclose(model.nets.step_scale, np.sqrt(np.square(change).mean(0)), rtol=1e-5)


@pytest.mark.parametrize(("cost", "weight"), [(0.0, 20.0), (1.0, 1.0)])
def test_the_weight_of_positives_is_capped(cost: float, weight: float):
    model = learner()
    model.fit_scales(replace(random_data(0), cost=np.full(60, cost, np.float32)))
    assert model.nets.positive_weight.item() == weight


# -- losses ----


def test_the_terms_of_the_loss_in_closed_form():
    model, data = learner(), random_data(0)
    for net, value in ((model.nets.reward, 0.5), (model.nets.constraint, -1.0)):
        make_constant(net, value)
    for critic, target in zip(model.nets.critics, model.target, strict=True):
        make_constant(critic, 2.0)
        make_constant(target, 3.0)
    model.nets.positive_weight.fill_(4.0)
    window, valid = data.window(np.array([0, 18]), 3)  # the second ends after two of its three steps
    found = model.update(window, valid, np.array([1.0, 0.5], np.float32), metrics=True)

    w = valid * 0.95 ** np.arange(3)
    w /= w.sum()
    assert valid.tolist() == [[True] * 3, [True, True, False]]
    rare = np.where(window.cost > 0, 4.0 * np.log1p(np.e), np.log1p(np.exp(-1.0))) * [[1.0], [0.5]]
    y = window.reward + 0.99 * ~window.terminated * 3.0
    assert found["reward_loss"] == pytest.approx((w * (0.5 - window.reward) ** 2).sum(), rel=1e-5)
    assert found["constraint_loss"] == pytest.approx((w * rare).sum(), rel=1e-5)
    assert found["value_loss"] == pytest.approx((w * (2.0 - y) ** 2).sum(), rel=1e-5)


def test_the_consistency_loss_compares_the_rollout_with_the_encoder():
    model, data = learner(), random_data(0)
    model.nets.step_scale.copy_(torch.tensor([0.1, 0.2, 4.0]))
    window, valid = data.window(np.array([0, 30]), 2)

    def encoded(column: Array) -> torch.Tensor:
        return model.encoder.encode({"state": np.ascontiguousarray(column)})

    with torch.no_grad():
        z, errors = encoded(window.observation["state"][:, 0]), []
        for t in range(2):
            z = model.nets.next(z, torch.from_numpy(window.action[:, t].copy()))
            off = (z - encoded(window.next_observation["state"][:, t])) / model.nets.step_scale
            errors.append(off.square().mean().item())
    expected = (errors[0] + 0.95 * errors[1]) / 1.95
    assert model.update(window, valid, metrics=True)["consistency_loss"] == pytest.approx(expected, rel=1e-5)


def test_terminated_cuts_the_bootstrap():
    model = learner()
    for critic, value in zip(model.target, (7.0, 4.0), strict=True):
        make_constant(critic, value)
    model.nets.return_scale.fill_(2.0)
    y = model.td_target(torch.tensor([1.0, 1.0]), torch.tensor([True, False]), torch.zeros(2, 3))
    np.testing.assert_allclose(y, [0.5, 0.5 + 0.99 * 4.0], rtol=1e-6)


def test_steps_past_the_end_of_an_episode_have_no_effect():
    data = random_data(0)
    window, valid = data.window(np.array([0, 18, 39]), 3)
    other = replace(window, reward=window.reward.copy(), cost=window.cost.copy(), action=window.action.copy())
    other.reward[~valid], other.cost[~valid], other.action[~valid] = 9.0, 1.0, 0.5
    models = [learner(), learner()]
    found = [model.update(each, valid, metrics=True) for model, each in zip(models, (window, other), strict=True)]
    assert found[0] == found[1]
    for one, two in zip(*(weights(model).values() for model in models), strict=True):
        np.testing.assert_array_equal(one, two)


def test_actions_outside_the_box_count_as_its_edge():
    data = random_data(0)
    window, valid = data.window(np.arange(8), 3)
    found = [
        learner().update(replace(window, action=factor * np.sign(window.action)), valid, metrics=True)
        for factor in (1.0, 3.0)
    ]
    assert found[0] == found[1]


def test_one_batch_is_overfitted_in_every_head():
    config = replace(SMALL, hidden=(64, 64), learning_rate=5e-3, tau=0.2, discount=0.5)
    model, data = learner(config), random_data(0)
    model.fit_scales(data)
    window, valid = data.window(np.arange(0, 60, 10), 3)
    first = model.update(window, valid, metrics=True)
    for _ in range(150):
        model.update(window, valid)
    last = model.update(window, valid, metrics=True)
    for name in ("reward_loss", "value_loss", "constraint_loss"):
        assert last[name] < 0.2 * first[name], name
    z = model.encoder.encode({"state": window.observation["state"][:, 0]})
    with torch.no_grad():
        found = [model.nets.critics(torch.cat([z, torch.tanh(each.prior(z))], 1)) for each in (model, learner(config))]
    assert found[0].mean() > found[1].mean()  # the prior climbs the critics


def test_the_dynamics_learn_to_predict_the_encoder():
    off = {"reward": 0.0, "value": 0.0, "constraint": 0.0}
    model = learner(replace(SMALL, **off, learning_rate=3e-3))
    window, valid = random_data(0).window(np.arange(0, 60, 10), 3)
    first = model.update(window, valid, metrics=True)
    for _ in range(100):
        model.update(window, valid)
    assert model.update(window, valid, metrics=True)["consistency_loss"] < 0.5 * first["consistency_loss"]


def test_the_value_of_an_endless_reward():
    """Reward 1 for ever at gamma = 0.5 is worth 2, whatever the scale it is learned in."""
    model = learner(replace(SMALL, discount=0.5, tau=0.2, learning_rate=5e-3))
    data = random_data(0)
    data = replace(data, reward=np.ones(60, np.float32), terminated=np.zeros(60, bool))
    model.nets.return_scale.fill_(0.5)
    sampler, rng = WindowSampler(data, 3), np.random.default_rng(0)
    for _ in range(700):
        model.update(*sampler.sample(16, rng))
    za = torch.zeros(1, 5)
    np.testing.assert_allclose(model.nets.critics(za).detach() * 0.5, 2.0, atol=0.1)


# -- rare positives ----


def test_probabilities_are_corrected_for_the_weight_of_positives_and_the_preference_for_their_windows():
    """A violation strikes 1 step in 20 whatever is seen and done: that is what must come out."""
    rng = np.random.default_rng(0)
    data = random_data(0, rows=4000)
    data = replace(data, cost=(rng.random(4000) < 0.05).astype(np.float32))
    model = learner(replace(SMALL, learning_rate=1e-3, batch_size=128))
    model.fit_scales(data)
    assert model.nets.positive_weight > 15.0
    sampler = WindowSampler(data, 3, positive_share=0.5)
    for _ in range(250):
        model.update(*sampler.sample(128, rng))
    with torch.no_grad():
        z = model.encoder.encode(data.observation)
        p = model.nets.probability(z, torch.from_numpy(data.action)).numpy()
    assert p.mean() == pytest.approx(data.cost.mean(), rel=0.25)


def test_window_weights_undo_the_preference():
    data = replace(random_data(0), cost=(np.arange(60) == 30).astype(np.float32))
    sampler, rng = WindowSampler(data, 3, positive_share=0.4), np.random.default_rng(0)
    assert sampler.positives.tolist() == [28, 29, 30]
    assert sampler.weight[30] == pytest.approx(1 / (0.6 + 0.4 * 60 / 3))
    assert sampler.weight[0] == pytest.approx(1 / 0.6)
    window, _, weight = sampler.sample(20_000, rng)
    positive = (window.cost > 0).any(1)
    assert positive.mean() == pytest.approx(0.4 + 0.6 * 3 / 60, abs=0.01)
    assert (weight * positive).mean() == pytest.approx(3 / 60, rel=0.05)
    assert weight.mean() == pytest.approx(1.0, abs=0.02)


def test_windows_of_another_episode_are_not_positive():
    data = replace(random_data(0), cost=(np.arange(60) == 20).astype(np.float32))  # the first step of the second
    assert WindowSampler(data, 3, 0.4).positives.tolist() == [20]


def test_without_a_violation_all_windows_are_alike():
    sampler = WindowSampler(replace(random_data(0), cost=np.zeros(60, np.float32)), 3, 0.4)
    window, valid, weight = sampler.sample(16, np.random.default_rng(0))
    assert window.reward.shape == valid.shape == (16, 3)
    np.testing.assert_array_equal(weight, 1.0)


# -- a known hazard ----


def test_the_constraint_head_recovers_a_known_hazard(hazard_model: WorldModel, point_mass):
    """On episodes never seen, 0, 5 and 10 imagined steps ahead: who violates, and how probable that is."""
    data = point_mass.data(60, seed=1)
    window, valid = data.window(np.arange(0, len(data), 3), 11)
    with torch.no_grad():
        z = hazard_model.encoder.encode({"state": window.observation["state"][:, 0]})
        for i in range(11):
            a = torch.from_numpy(np.ascontiguousarray(window.action[:, i]))
            p, cost = hazard_model.nets.probability(z, a).numpy()[valid[:, i]], window.cost[valid[:, i], i]
            if i in (0, 5, 10):
                assert auroc(p, cost) > 0.97
                assert reliability(p, cost).ece < 0.06
                assert p.mean() == pytest.approx(cost.mean(), rel=0.25)
            z = hazard_model.nets.next(z, a)


def test_where_things_will_be_is_predicted(hazard_model: WorldModel, point_mass):
    """Ten steps ahead, on episodes never seen: at most an eighth of the error of a model in which nothing moves."""
    window, valid = point_mass.data(60, seed=2).window(np.arange(0, 60 * point_mass.horizon, point_mass.horizon), 10)
    assert valid.all()
    with torch.no_grad():
        first = z = hazard_model.encoder.encode({"state": window.observation["state"][:, 0]})
        for i in range(10):
            z = hazard_model.nets.next(z, torch.from_numpy(np.ascontiguousarray(window.action[:, i])))
        after = hazard_model.encoder.encode({"state": window.next_observation["state"][:, -1]})
    assert (z - after).square().mean().sqrt() < 0.125 * (first - after).square().mean().sqrt()


# -- determinism and checkpoints ----


def cnn(generator: torch.Generator) -> CnnEncoder:
    return CnnEncoder({"images.front": (16, 16, 3)}, {"state": 3}, generator, CnnConfig((4, 4), (2, 2), 8))


def train(model: WorldModel, steps: range) -> list[dict[str, float]]:
    trace = []
    for i in steps:
        data = random_data(i)
        for at, observation in enumerate((data.observation, data.next_observation)):
            observation["images.front"] = np.random.default_rng([i, at]).integers(0, 256, (60, 16, 16, 3), np.uint8)
        trace.append(model.update(*data.window(np.arange(0, 48, 6), 3), metrics=True))
    return trace


@pytest.mark.parametrize("encoder", [{"state": 3}, cnn], ids=["state", "cnn"])
def test_runs_are_fixed_by_their_seed_and_resume_bit_identically(encoder, tmp_path: Path):
    unbroken, same, other = (WorldModel(SMALL, encoder, 2, seed) for seed in (1, 1, 2))
    first = train(unbroken, range(4))
    assert first == train(same, range(4)) != train(other, range(4))
    checkpoint.save(tmp_path / "last", *unbroken.state())
    resumed = WorldModel(SMALL, encoder, 2, seed=9)
    resumed.load_state(*checkpoint.load(tmp_path / "last"))
    assert train(unbroken, range(4, 8)) == train(resumed, range(4, 8))
    assert resumed.updates == 8


def test_normalisation_and_scales_are_in_the_checkpoint():
    model, fresh, data = learner(), learner(seed=5), random_data(0)
    data = replace(data, observation={"state": 3.0 * data.observation["state"] + 10.0})
    model.fit_normaliser(data.batch())
    model.fit_scales(data)
    fresh.load_state(*model.state())
    observation = {"state": data.observation["state"][0]}
    np.testing.assert_array_equal(fresh.features(observation), model.features(observation))
    assert abs(model.encoder.encode(data.observation).mean()) < 1e-4
    assert fresh.nets.return_high == model.nets.return_high > 1.0


def test_an_encoder_that_is_trained_learns_slower():
    model = WorldModel(replace(SMALL, encoder_rate=0.1, learning_rate=1e-3), cnn, 2, 0)
    nets = [next(module.parameters()) for module in (model.encoder, model.nets.reward)]
    before = [parameter.detach().clone() for parameter in nets]
    train(model, range(1))
    trunk, head = ((now.detach() - old).abs().max().item() for now, old in zip(nets, before, strict=True))
    assert head == pytest.approx(1e-3, rel=0.01)  # Adam's first step is its rate
    assert trunk == pytest.approx(1e-4, rel=0.01)


# -- errors ----


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hidden": (8, 8, 8)}, r"hidden \(8, 8, 8\) has 3 layers: choose 1 or 2"),
        ({"discount": 1.0}, r"discount 1.0 is not in \(0, 1\): TD-MPC2 uses"),
        ({"rho": 0.0}, r"rho 0.0 is not in \(0, 1\]: TD-MPC2 uses 0.5"),
    ],
)
def test_error_config(change: dict[str, object], text: str):
    with pytest.raises(InvalidValueError, match=text):
        replace(SMALL, **change)  # type: ignore[arg-type]


def test_error_positive_share():
    with pytest.raises(InvalidValueError, match=r"positive_share 1.0 is not in \[0, 1\): use a quarter to a half"):
        WindowSampler(random_data(0), 3, 1.0)


def test_error_checkpoint_of_another_learner():
    with pytest.raises(CheckpointError, match=r"checkpoint holds no world model .*: pass a WorldModel's"):
        learner().load_state({}, {})
