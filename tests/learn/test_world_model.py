"""The world model by numbers: losses and targets in closed form, calibration, a known hazard, exact resume."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from handrail.assist.calibration import auroc, reliability
from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array
from handrail.learn.world_model import WindowSampler, WorldModel, WorldModelConfig, discounted_returns, simnorm
from handrail.nets import CnnConfig, CnnEncoder, Mlp
from handrail.store import checkpoint
from handrail.store.trajectories import Trajectories

SMALL = WorldModelConfig(latent=16, hidden=(16, 16), horizon=3, batch_size=8)


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


def test_simnorm_makes_probabilities_of_groups():
    z = simnorm(torch.tensor([[0.0, math.log(3.0), 1.0, 1.0]]), 2)
    np.testing.assert_allclose(z, [[0.25, 0.75, 0.5, 0.5]], rtol=1e-6)


def test_simnorm_stays_finite_where_exp_would_not():
    z = simnorm(torch.tensor([[1e4, 0.0, -1e4, -1e4]]), 2)
    np.testing.assert_allclose(z, [[1.0, 0.0, 0.5, 0.5]], atol=1e-6)


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
    make_constant(model.nets.decoder, 0.1, 0.2, 0.3)
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
    features = window.observation["state"]
    assert found["reward_loss"] == pytest.approx((w * (0.5 - window.reward) ** 2).sum(), rel=1e-5)
    assert found["constraint_loss"] == pytest.approx((w * rare).sum(), rel=1e-5)
    assert found["value_loss"] == pytest.approx((w * (2.0 - y) ** 2).sum(), rel=1e-5)
    seen = np.concatenate([features[:, :1], window.next_observation["state"][:, :-1]], 1)
    errors = np.square(seen - [0.1, 0.2, 0.3]).mean(2)
    assert found["reconstruction_loss"] == pytest.approx((w * errors).sum(), rel=1e-5)


def test_the_consistency_loss_compares_the_rollout_with_the_encoder():
    model, data = learner(), random_data(0)
    window, valid = data.window(np.array([0, 30]), 2)

    @torch.no_grad()
    def encoded(column: Array) -> torch.Tensor:
        return model.nets.embed(model.encoder.encode({"state": np.ascontiguousarray(column)}))

    with torch.no_grad():
        z, errors = encoded(window.observation["state"][:, 0]), []
        for t in range(2):
            z = model.nets.next(z, torch.from_numpy(window.action[:, t].copy()))
            errors.append((z - encoded(window.next_observation["state"][:, t])).square().mean().item())
    expected = (errors[0] + 0.95 * errors[1]) / 1.95
    assert model.update(window, valid, metrics=True)["consistency_loss"] == pytest.approx(expected, rel=1e-5)


def test_terminated_cuts_the_bootstrap():
    model = learner()
    for critic, value in zip(model.target, (7.0, 4.0), strict=True):
        make_constant(critic, value)
    model.nets.return_scale.fill_(2.0)
    y = model.td_target(torch.tensor([1.0, 1.0]), torch.tensor([True, False]), torch.zeros(2, 16))
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
    model = learner(replace(SMALL, hidden=(64, 64), learning_rate=5e-3, tau=0.2, discount=0.5))
    data = random_data(0)
    model.fit_scales(data)
    window, valid = data.window(np.arange(0, 60, 10), 3)
    first = model.update(window, valid, metrics=True)
    for _ in range(150):
        model.update(window, valid)
    last = model.update(window, valid, metrics=True)
    for name in ("reward_loss", "value_loss", "constraint_loss", "reconstruction_loss"):
        assert last[name] < 0.2 * first[name], name
    assert last["prior_loss"] < first["prior_loss"]


def test_the_dynamics_learn_to_predict_the_encoder():
    off = {"reward": 0.0, "value": 0.0, "constraint": 0.0, "reconstruction": 0.0}
    model = learner(replace(SMALL, **off, learning_rate=3e-3, encoder_rate=0.0))
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
    for _ in range(150):
        model.update(*sampler.sample(16, rng))
    za = torch.cat([model.nets.embed(torch.zeros(1, 3)), torch.zeros(1, 2)], 1)
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
        z = model.nets.embed(model.encoder.encode(data.observation))
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
        z = hazard_model.nets.embed(hazard_model.encoder.encode({"state": window.observation["state"][:, 0]}))
        for i in range(11):
            a = torch.from_numpy(np.ascontiguousarray(window.action[:, i]))
            p, cost = hazard_model.nets.probability(z, a).numpy()[valid[:, i]], window.cost[valid[:, i], i]
            if i in (0, 5, 10):
                assert auroc(p, cost) > 0.97
                assert reliability(p, cost).ece < 0.06
                assert p.mean() == pytest.approx(cost.mean(), rel=0.25)
            z = hazard_model.nets.next(z, a)


def test_the_decoder_gives_back_what_was_seen(hazard_model: WorldModel, point_mass):
    features = hazard_model.encoder.encode(point_mass.data(20, seed=2).observation)
    with torch.no_grad():
        error = hazard_model.nets.decoder(hazard_model.nets.embed(features)) - features
    assert error.square().mean(0).sqrt().max() < 0.5  # of a standard deviation


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


def test_the_encoder_learns_slower():
    model = learner(replace(SMALL, encoder_rate=0.1, learning_rate=1e-3, consistency=0.0))
    assert isinstance(model.nets.embedding, Mlp)
    before = [net.weight.detach().clone() for net in (model.nets.embedding[0], model.nets.reward[0])]
    model.update(*random_data(0).window(np.arange(8), 3))
    trunk, head = (
        (net.weight.detach() - old).abs().max().item()
        for net, old in zip((model.nets.embedding[0], model.nets.reward[0]), before, strict=True)
    )
    assert head == pytest.approx(1e-3, rel=0.01)  # Adam's first step is its rate
    assert trunk == pytest.approx(1e-4, rel=0.01)


# -- errors ----


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"latent": 20}, "latent 20 is no multiple of group 8: SimNorm needs whole groups"),
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
