"""CQL by numbers: known values and hazards on a chain, pessimism off the data, an actor that stays within its bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array
from handrail.learn.cql import CQL, CQLConfig
from handrail.learn.cql_data import CQLSampler
from handrail.nets import CnnConfig, CnnEncoder, StateEncoder
from handrail.store import checkpoint
from handrail.store.trajectories import Trajectories

PLAIN = CQLConfig(
    relative_to="",
    hidden=(32, 32),
    learning_rate=3e-3,
    tau=0.05,
    n_step=1,
    discount=0.9,
    batch_size=64,
    feature_noise=0.0,
)
CHAIN = replace(
    PLAIN, alpha=0.0, bound=0.0, horizon=1, batch_size=256
)  # the actor cannot correct: Q is that of the data's driver
SMALL = replace(PLAIN, hidden=(8, 8), batch_size=16, feature_noise=0.1)
SLIP = 0.2


def rows(s: Array, a: Array, reward: Array, after: Array, last: Array, terminated: Array) -> Trajectories:
    s, a, after = (np.asarray(x, np.float32) for x in (s, a, after))
    reward, last, terminated = np.asarray(reward, np.float32), np.asarray(last, bool), np.asarray(terminated, bool)
    cost = (terminated & (reward == 0)).astype(np.float32)
    return Trajectories(
        {"state": s}, {"state": after}, a, a, reward, cost, terminated, last, np.zeros(len(s), np.int64)
    )


def chain(episodes: int) -> Trajectories:
    """States 0, 1, 2 in a row. +1 goes on, past the last to success; -1, done with probability SLIP, fails for good."""
    rng, found = np.random.default_rng(0), []
    for _ in range(episodes):
        for state in range(3):
            slips = rng.random() < SLIP
            found.append((state, -1.0 if slips else 1.0, not slips and state == 2, slips or state == 2))
            if slips:
                break
    state, action, success, end = (np.array(column) for column in zip(*found, strict=True))
    one_hot = np.eye(4)
    return rows(one_hot[state], action[:, None], success, one_hot[np.minimum(state + 1, 3)], end, end)


def bandit(actions: Array, success: Array) -> Trajectories:
    """Episodes of one step in one state."""
    s, always = np.ones((len(actions), 1)), np.ones(len(actions), bool)
    return rows(s, actions, success, s, always, always)


def trained(config: CQLConfig, data: Trajectories, updates: int, seed: int = 0) -> CQL:
    learner = CQL(
        config, lambda _: StateEncoder({"state": data.observation["state"].shape[1]}), data.action.shape[1], seed
    )
    sampler, rng = CQLSampler(data, config), np.random.default_rng(seed)
    for _ in range(updates):
        learner.update(sampler.sample(config.batch_size, rng))
    return learner


def q_and_f(learner: CQL, s: Array, a: Array) -> tuple[Array, Array]:
    return learner.values({"state": np.asarray(s, np.float32)}, np.asarray(a, np.float32))


@pytest.mark.parametrize("n_step", [1, 3])
def test_without_the_conservative_term_the_values_are_the_known_ones(n_step: int):
    learner = trained(replace(CHAIN, n_step=n_step), chain(1500), 400)
    s = np.eye(4)[[0, 1, 2, 0, 1, 2]]
    q, f = q_and_f(learner, s, [[1], [1], [1], [-1], [-1], [-1]])
    ahead = 0.9 * (1 - SLIP)
    np.testing.assert_allclose(q, [ahead**2, ahead, 1.0, 0.0, 0.0, 0.0], atol=0.04)
    np.testing.assert_allclose(f, [SLIP, SLIP, 0.0, 1.0, 1.0, 1.0], atol=0.04)  # now, or in the step after


def test_targets_stay_probabilities():
    learner = CQL(replace(PLAIN, discount=0.9), {"state": 4}, 1, 0)
    data = chain(50)
    batch = CQLSampler(data, learner.config).rows(np.arange(len(data)))
    over = replace(batch, returns=batch.returns + 5.0)
    s, a = learner.encoder.encode(batch.next_observation), torch.from_numpy(batch.next_action)
    y = learner.td_target(batch, s, a)
    assert 0.0 <= float(y.min()) <= float(y.max()) <= 1.0
    np.testing.assert_array_equal(y[batch.carry == 0.0], batch.returns[batch.carry == 0.0])
    np.testing.assert_array_equal(learner.td_target(over, s, a), 1.0)


def test_the_conservative_term_lowers_what_the_data_do_not_hold():
    rng = np.random.default_rng(0)
    actions = rng.normal(0.3, 0.05, (400, 1))
    data = bandit(actions, rng.random(400) < 0.8)
    q = {}
    for alpha in (0.0, 1.0):
        learner = trained(replace(PLAIN, alpha=alpha, bound=0.1, noise=0.2), data, 250)
        q[alpha] = q_and_f(learner, np.ones((3, 1)), [[0.3], [-0.3], [-0.9]])[0]
    np.testing.assert_allclose(q[0.0], 0.8, atol=0.06)  # nothing speaks against the others
    assert q[1.0][0] > 0.7
    assert q[1.0][1:].max() < 0.3


def test_the_failure_head_recovers_a_known_hazard():
    """Failure with probability 1 / (1 + exp(-4 a)) in an otherwise empty world."""
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (4000, 1))
    success = rng.random(4000) > 1.0 / (1.0 + np.exp(-4.0 * a[:, 0]))
    learner = trained(replace(PLAIN, alpha=0.0), bandit(a, success), 400)
    at = np.linspace(-0.9, 0.9, 7)[:, None]
    hazard = 1.0 / (1.0 + np.exp(-4.0 * at[:, 0]))
    np.testing.assert_allclose(q_and_f(learner, np.ones((7, 1)), at)[1], hazard, atol=0.08)
    np.testing.assert_allclose(q_and_f(learner, np.ones((7, 1)), at)[0], 1.0 - hazard, atol=0.1)


def test_with_noise_on_the_features_the_critics_do_not_learn_episodes_by_heart():
    """Success is a coin, whatever the state; the states of 40 episodes lie apart."""
    rng = np.random.default_rng(0)
    s, always = rng.standard_normal((40, 8)), np.ones(40, bool)
    data = rows(s, np.zeros((40, 1)), rng.random(40) < 0.5, s, always, always)
    held_out = np.random.default_rng(1).standard_normal((200, 8))
    spread = {}
    for noise in (0.0, 1.0):
        learner = trained(replace(PLAIN, alpha=0.0, feature_noise=noise), data, 400)
        spread[noise] = q_and_f(learner, held_out, np.zeros((200, 1)))[0].std()
    assert spread[0.0] > 0.25
    assert spread[1.0] < 0.5 * spread[0.0]


def test_no_failure_head_foresees_nothing():
    learner = trained(replace(CHAIN, beta=0.0), chain(20), 5)
    assert not q_and_f(learner, np.eye(4), np.ones((4, 1)))[1].any()


GOAL = np.array([0.4, -0.3])


def target_practice(count: int) -> Trajectories:
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (count, 2))
    return bandit(a, rng.random(count) < np.exp(-4.0 * np.square(a - GOAL).sum(1)))


def test_the_actor_raises_the_score_within_its_bound():
    learner = trained(replace(PLAIN, alpha=0.0, clone=0.0, eta=0.01, bound=0.4, noise=1.0), target_practice(4000), 500)
    a_h = np.random.default_rng(1).uniform(-1, 1, (200, 2)).astype(np.float32)
    here = {"state": np.ones((200, 1), np.float32)}
    corrected = learner.corrected(here, a_h)
    assert np.abs(corrected - a_h).max() <= 0.4 + 1e-6
    assert np.abs(corrected).max() <= 1.0
    before, after = (learner.values(here, a)[0] for a in (a_h, corrected))
    assert (after > before - 0.01).mean() > 0.97
    assert (after - before).mean() > 0.15
    near = np.linalg.norm(corrected - GOAL, axis=1) < np.linalg.norm(a_h - GOAL, axis=1)
    assert near.mean() > 0.9


def test_eta_keeps_the_actor_near_the_operator():
    config = replace(PLAIN, alpha=0.0, clone=0.0, bound=0.4)
    here, a_h = {"state": np.ones((50, 1), np.float32)}, np.random.default_rng(1).uniform(-1, 1, (50, 2))
    a_h = a_h.astype(np.float32)
    far = [
        np.abs(trained(replace(config, eta=eta), target_practice(1000), 150).corrected(here, a_h) - a_h).mean()
        for eta in (0.01, 10.0, 100.0)
    ]
    assert far[0] > 2.0 * far[1] > 6.0 * far[2]


def test_cloning_teaches_the_nearest_of_two_valid_ways():
    """Both +0.5 and -0.5 succeed, 0 fails; an operator near one of them is led there and not to the other."""
    rng = np.random.default_rng(0)
    a = rng.choice([-0.5, 0.0, 0.5], (1000, 1)) + rng.normal(0.0, 0.02, (1000, 1))
    learner = trained(replace(PLAIN, alpha=0.0, clone=10.0, eta=0.0, noise=0.3), bandit(a, np.abs(a[:, 0]) > 0.25), 250)
    here = {"state": np.ones((2, 1), np.float32)}
    corrected = learner.corrected(here, np.array([[0.3], [-0.3]], np.float32))
    np.testing.assert_allclose(corrected[:, 0], [0.5, -0.5], atol=0.1)


@pytest.mark.parametrize("compliance", [0.25, 1.0])
def test_q_is_asked_about_what_a_helped_operator_does_next(compliance: float):
    learner = trained(replace(SMALL, compliance=compliance, learning_rate=0.05), chain(20), 5)
    batch = CQLSampler(chain(20), learner.config).rows(np.arange(10))
    s, a = learner.encoder.encode(batch.next_observation), torch.from_numpy(batch.next_action)
    with torch.no_grad():
        step = a + compliance * (learner.nets.pi(s, a) - a)
        q, _ = learner.target.judge(s, step)
    assert float((step - a).abs().max()) > 0.01
    expected = torch.from_numpy(batch.returns + batch.carry * torch.sigmoid(q.amin(0)).numpy())
    torch.testing.assert_close(learner.td_target(batch, s, a), expected)
    if compliance == 1.0:
        assert torch.equal(learner.nets.helped(s, a), learner.nets.pi(s, a))


def test_actions_are_displacements_in_units_of_the_data():
    rng = np.random.default_rng(0)
    s = rng.uniform(-1, 1, (2000, 3)).astype(np.float32)
    apart = rng.uniform(-1, 1, (2000, 2)).astype(np.float32) * [0.1, 0.001]
    always = np.ones(2000, bool)
    data = rows(s, s[:, :2] + apart, always, s, always, always)
    learner = CQL(replace(SMALL, relative_to="state", min_unit=0.02), {"state": 3}, 2, 0)
    learner.fit_scales(data)
    np.testing.assert_allclose(learner.nets.unit, [0.099, 0.02], atol=1e-3)
    a = learner.displacement(data.observation, data.action)
    np.testing.assert_allclose(a[:, 0], np.clip(apart[:, 0] / 0.099, -1, 1), atol=0.01)
    assert float(a.abs().max()) <= 1.0
    np.testing.assert_array_equal(learner.target.unit, learner.nets.unit)
    corrected = learner.corrected(data.observation, data.action)
    far = np.abs(corrected - data.action) / learner.nets.unit.numpy()
    assert far.max() <= learner.config.bound + 1e-4


def test_bounds_are_the_percentiles_of_the_calibration_episodes():
    learner = trained(SMALL, chain(50), 20)
    data = chain(30)
    learner.fit_bounds(data)
    q = learner.values(data.observation, data.action)[0]
    low, high = np.percentile(q, [5, 95])
    assert float(learner.nets.score_low) == pytest.approx(low, abs=1e-6)
    assert float(learner.nets.score_high) == pytest.approx(max(high, low + 0.05), abs=1e-6)


def test_a_critic_that_says_the_same_everywhere_is_not_magnified():
    learner = CQL(SMALL, {"state": 4}, 1, 0)
    with torch.no_grad():
        for parameter in learner.nets.critics.parameters():
            parameter.zero_()
    learner.fit_bounds(chain(10))
    assert float(learner.nets.score_low) == pytest.approx(0.5)
    assert float(learner.nets.score_high) == pytest.approx(0.55)


def test_worsened_actions_are_noisier_and_slower():
    learner = CQL(replace(SMALL, noise=0.0), {"state": 4}, 2, 0)
    a = torch.full((4000, 2), 0.8)
    share = learner.worsened(a)[:, 0] / 0.8
    assert float((share > 0.999).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert float(share.mean()) == pytest.approx(0.75, abs=0.02)
    noisy = CQL(replace(SMALL, noise=0.5), {"state": 4}, 2, 0).worsened(torch.zeros(4000, 2))
    assert float(noisy.std()) == pytest.approx(0.5 / 3**0.5, abs=0.02)  # noise times the root mean square of u
    assert float(noisy.abs().max()) <= 1.0


def cnn(generator: torch.Generator) -> CnnEncoder:
    return CnnEncoder({"images.front": (16, 16, 3)}, {"state": 4}, generator, CnnConfig((4, 4), (2, 2), 8))


def with_images(data: Trajectories) -> Trajectories:
    images = {"images.front": np.random.default_rng(0).integers(0, 256, (len(data), 16, 16, 3), np.uint8)}
    return replace(data, observation=data.observation | images, next_observation=data.next_observation | images)


@pytest.mark.parametrize("encoder", [{"state": 4}, cnn], ids=["state", "cnn"])
def test_runs_are_fixed_by_their_seed_and_resume_bit_identically(encoder, tmp_path: Path):
    data = with_images(chain(30))
    sampler = CQLSampler(data, SMALL)

    def train(learner: CQL, steps: range) -> list[dict[str, float]]:
        return [learner.update(sampler.sample(16, np.random.default_rng(i)), metrics=True) for i in steps]

    unbroken, twin, other = (CQL(SMALL, encoder, 1, seed) for seed in (1, 1, 2))
    first = train(unbroken, range(4))
    assert first == train(twin, range(4)) != train(other, range(4))
    checkpoint.save(tmp_path / "last", *unbroken.state())
    resumed = CQL(SMALL, encoder, 1, seed=9)
    resumed.load_state(*checkpoint.load(tmp_path / "last"))
    assert train(unbroken, range(4, 8)) == train(resumed, range(4, 8))
    assert unbroken.updates == resumed.updates == 8
    for one, same in zip(
        unbroken.values(data.observation, data.action), resumed.values(data.observation, data.action), strict=True
    ):
        assert np.array_equal(one, same)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"discount": 1.0}, r"discount 1.0 is not in \(0, 1\): 0.999 suits 50 steps a second"),
        ({"tau": 0.0}, r"tau 0.0 is not in \(0, 1\]: 0.005 follows in some 200 updates"),
        ({"compliance": 0.0}, r"compliance 0.0 is not in \(0, 1\]: 1 executes the whole correction"),
        ({"activation": "silu"}, "activation 'silu' is not known here: choose relu or tanh"),
        ({"n_step": 0}, "n_step 0 is below 1: use 1 or more"),
        ({"feature_noise": -1.0}, "feature_noise -1.0 is below 0: 0 switches it off"),
        ({"alpha": -0.1}, "alpha -0.1 is below 0: 0 switches it off"),
    ],
)
def test_error_config(change, text):
    with pytest.raises(InvalidValueError, match=text):
        CQLConfig(**change)


def test_error_checkpoint_of_another_learner():
    with pytest.raises(CheckpointError, match=r"holds no CQL learner \(cql/score_low\): pass a CQL checkpoint"):
        CQL(SMALL, {"state": 4}, 1, 0).load_state({}, {})
