"""RLPD by numbers: targets in closed form, one-batch overfit, determinism, exact resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from handrail.core.contracts import Policy
from handrail.core.errors import CheckpointError, InvalidValueError, UnknownNameError
from handrail.core.values import Authority
from handrail.learn import rlpd
from handrail.learn.rlpd import RLPD, RLPDConfig, gripper_index
from handrail.nets import CnnConfig, CnnEncoder, Mlp, gaussian
from handrail.store import checkpoint
from handrail.store.ring import Batch

SMALL = RLPDConfig(hidden=(16, 16))
GRIPPER = replace(SMALL, gripper=True)
OBSERVATION = {"state": np.array([0.3, -0.2, 0.9], np.float32)}


def learner(config: RLPDConfig = SMALL, seed: int = 0, actions: int = 2) -> RLPD:
    return RLPD(config, {"state": 3}, actions, seed)


@torch.no_grad()
def make_constant(net: Mlp | nn.Module, *outputs: float) -> None:
    """The network's answer is `outputs` whatever its input."""
    last = list(net.children())[-1]
    assert isinstance(last, nn.Linear)
    last.weight.zero_()
    last.bias.copy_(torch.tensor(outputs))


def three_rows() -> Batch:
    """A success (terminated), time running out (truncated, not terminated), and a step in the middle."""
    return Batch(
        {"state": np.zeros((3, 3), np.float32)},
        np.array([[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]], np.float32),
        np.array([1.0, 0.0, 0.5], np.float32),
        {"state": np.zeros((3, 3), np.float32)},
        np.array([True, False, False]),
        np.zeros(3, np.int64),
        np.ones(3, np.float32),
    )


# -- targets ----


def test_terminated_cuts_the_bootstrap_and_truncated_does_not():
    agent = learner()
    for critic, value in zip(agent.target.critics, (7.0, 4.0), strict=True):
        make_constant(critic, value)
    s = torch.zeros(3, 3)
    y = agent.td_target(three_rows(), s, s)
    np.testing.assert_allclose(y, [1.0, 0.97 * 4.0, 0.5 + 0.97 * 4.0], rtol=1e-6)


def test_the_target_is_that_of_the_formula_on_random_networks(random_batch):
    agent, batch = learner(), random_batch(0)
    draws = torch.Generator()
    draws.set_state(agent.generator.get_state())
    s = torch.from_numpy(batch.next_observation["state"])
    y = agent.td_target(batch, s, s)
    a, _ = gaussian.sample(nn.Sequential.forward(agent.actor, s), draws)
    q = torch.stack([nn.Sequential.forward(net, torch.cat([s, a], 1))[:, 0] for net in agent.target.critics])
    expected = batch.reward + 0.97 * (1.0 - batch.terminated) * q.min(0).values.detach().numpy()
    np.testing.assert_allclose(y, expected, atol=1e-5)  # and no entropy in it


def test_a_random_pair_of_the_critics_takes_part():
    agent = learner(replace(SMALL, critics=3, target_subset=2))
    for critic, value in zip(agent.target.critics, (1.0, 2.0, 3.0), strict=True):
        make_constant(critic, value)
    s, batch = torch.zeros(3, 3), three_rows()
    lowest = [round(float(agent.td_target(batch, s, s)[1]) / 0.97) for _ in range(600)]
    assert set(lowest) == {1, 2}
    assert abs(lowest.count(1) / 600 - 2 / 3) < 0.08  # the first is in two of three pairs


def test_the_gripper_target_is_double_dqn_with_a_penalty_for_each_toggle():
    agent = learner(GRIPPER)
    assert agent.values.gripper is not None and agent.target.gripper is not None
    make_constant(agent.values.gripper, 0.0, 1.0, 3.0)  # chooses open
    make_constant(agent.target.gripper, 10.0, 50.0, 30.0)  # says what open is worth
    s = torch.zeros(3, 3)
    y = agent.gripper_target(three_rows(), s, s)
    np.testing.assert_allclose(y, [1.0 - 0.02, 0.97 * 30.0, 0.5 - 0.02 + 0.97 * 30.0], rtol=1e-6)


def test_a_toggle_is_a_command_that_changes_the_gripper():
    batch = three_rows()
    assert learner(GRIPPER).toggled(batch).tolist() == [1, 0, 1]
    agent = learner(replace(GRIPPER, gripper_feature=2, gripper_closed_below=0.5))
    batch.observation["state"][:, 2] = 0.1  # closed: closing again changes nothing
    assert agent.toggled(batch).tolist() == [0, 0, 1]
    batch.observation["state"][:, 2] = 0.9
    assert agent.toggled(batch).tolist() == [1, 0, 0]


def test_gripper_commands_have_three_meanings():
    commands = np.array([-1.0, -0.6, -0.5, 0.0, 0.5, 0.6, 1.0])
    assert gripper_index(commands).tolist() == [0, 0, 1, 1, 1, 2, 2]


# -- losses ----


def test_losses_in_closed_form_and_the_target_follows_by_tau():
    agent = learner(replace(GRIPPER, actor_every=10))
    for i in range(2):
        make_constant(agent.values.critics[i], 1.0)
        make_constant(agent.target.critics[i], 2.0)
    assert agent.values.gripper is not None and agent.target.gripper is not None
    make_constant(agent.values.gripper, 0.0, 1.0, 3.0)
    make_constant(agent.target.gripper, 0.0, 0.0, 5.0)
    before = [parameter.clone() for parameter in agent.target.parameters()]
    metrics = agent.update(three_rows(), metrics=True)
    y = np.array([1.0, 0.97 * 2.0, 0.5 + 0.97 * 2.0])
    y_gripper = np.array([0.98, 0.97 * 5.0, 0.48 + 0.97 * 5.0])
    assert metrics["critic_loss"] == pytest.approx(np.mean((1.0 - y) ** 2), rel=1e-5)
    assert metrics["gripper_loss"] == pytest.approx(np.mean((np.array([0.0, 1.0, 3.0]) - y_gripper) ** 2), rel=1e-5)
    for old, new, online in zip(before, agent.target.parameters(), agent.values.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.005 * (online - old))


def test_the_temperature_moves_toward_the_target_entropy(random_batch):
    for target, direction in ((50.0, 1), (-50.0, -1)):
        agent = learner(replace(SMALL, target_entropy=target, actor_every=1))
        before = agent.temperature
        assert before == pytest.approx(0.01, rel=1e-5)
        agent.update(random_batch(0))
        assert np.sign(agent.temperature - before) == direction


def test_the_default_target_entropy_counts_continuous_dimensions():
    assert learner(SMALL, actions=4).target_entropy == -2.0
    assert learner(GRIPPER, actions=4).target_entropy == -1.5


def test_the_actor_moves_every_other_critic_update_across_calls(random_batch):
    agent = learner()
    moved = []
    for i in range(4):
        before = agent.actor[0].weight.clone()
        agent.update(random_batch(i))
        moved.append(not torch.equal(before, agent.actor[0].weight))
    assert moved == [False, True, False, True]


def test_a_batch_is_split_by_utd_and_a_sequence_is_used_as_it_is(random_batch):
    whole = random_batch(0, rows=32)
    one, two = learner(replace(SMALL, utd=4)), learner(replace(SMALL, utd=4))
    first = one.update(whole, metrics=True)
    second = two.update(whole.split(4), metrics=True)
    assert one.updates == two.updates == 4 and first == second


def test_updates_are_those_of_plain_autograd_and_plain_adam(random_batch, monkeypatch):
    """The fast paths change speed only: fused passes, fused Adam and the memory order of gradients between them."""
    fast = learner(replace(GRIPPER, hidden=(96, 96), actor_every=1), actions=4)
    with monkeypatch.context() as patch:
        patch.setattr(rlpd, "_adam", lambda parameters, lr: torch.optim.Adam(parameters, lr, foreach=False))
        plain = learner(replace(GRIPPER, hidden=(96, 96), actor_every=1), actions=4)
    for i in range(3):
        batch = random_batch(i, rows=128, actions=4)
        fast.update(batch)
        with monkeypatch.context() as patch:
            patch.setattr(Mlp, "forward", nn.Sequential.forward)
            plain.update(batch)
    for name in ("values", "target", "actor"):
        pairs = zip(getattr(fast, name).named_parameters(), getattr(plain, name).parameters(), strict=True)
        for (parameter, a), b in pairs:
            torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3, msg=lambda text, at=parameter: f"{at}: {text}")


def test_critics_overfit_one_batch(random_batch):
    batch = random_batch(0)
    batch.terminated[:] = True  # y = r
    agent = learner(replace(SMALL, hidden=(64, 64), learning_rate=3e-3))
    for _ in range(400):
        agent.update(batch)
    assert agent.update(batch, metrics=True)["critic_loss"] < 1e-3
    np.testing.assert_allclose(agent.q(batch.observation, batch.action), batch.reward, atol=0.15)


def test_the_actor_finds_the_best_action_of_a_bandit(random_batch):
    agent = learner(replace(SMALL, hidden=(32, 32), learning_rate=3e-3, actor_every=1))
    for i in range(900):
        batch = random_batch(i, rows=64)
        batch.action[:, 1] = np.random.default_rng(i).uniform(-1, 1, 64)
        reward = 1.0 - np.square(batch.action - [0.5, -0.3]).sum(1)
        agent.update(replace(batch, reward=reward.astype(np.float32), terminated=np.ones(64, bool)))
    np.testing.assert_allclose(agent.act(OBSERVATION).actions[0], [0.5, -0.3], atol=0.2)


def test_the_gripper_critic_finds_the_best_command(random_batch):
    agent = learner(replace(GRIPPER, learning_rate=3e-3))
    for i in range(300):
        batch = random_batch(i)
        reward = (batch.action[:, 1] == np.where(batch.observation["state"][:, 0] > 0, 1, -1)).astype(np.float32)
        agent.update(replace(batch, reward=reward, terminated=np.ones(32, bool)))
    for sign in (-1.0, 1.0):
        assert agent.act({"state": np.array([sign, 0, 0], np.float32)}).actions[0, 1] == sign


def test_the_bc_term_looks_at_operator_rows_only(random_batch):
    config = replace(SMALL, bc_weight=100.0, actor_every=1, learning_rate=3e-3)
    agent = learner(config)
    for i in range(300):
        batch = random_batch(i)
        batch.action[:] = np.where(batch.authority[:, None] == Authority.OPERATOR, 0.6, -0.9)
        agent.update(batch)
    np.testing.assert_allclose(agent.act(OBSERVATION).actions[0], [0.6, 0.6], atol=0.1)


def test_cloning_moves_the_actor_to_the_operator_and_nothing_else(random_batch):
    agent = learner(replace(SMALL, learning_rate=3e-3, initial_std=0.5))
    before = {key: value.clone() for key, value in agent.values.state_dict().items()}
    temperature = agent.temperature
    for i in range(300):
        batch = random_batch(i)
        batch.action[:] = np.where(batch.authority[:, None] == Authority.OPERATOR, 0.6, -0.9)
        agent.clone(batch)
    np.testing.assert_allclose(agent.act(OBSERVATION).actions[0], [0.6, 0.6], atol=0.1)
    assert agent.temperature == temperature
    assert all(torch.equal(before[key], value) for key, value in agent.values.state_dict().items())


def test_evaluating_moves_the_critics_and_leaves_the_actor(random_batch):
    agent = learner(replace(SMALL, learning_rate=3e-3))
    before = [parameter.clone() for parameter in agent.actor.parameters()]
    for i in range(300):
        batch = random_batch(i)
        agent.evaluate(replace(batch, reward=np.full(32, 0.7, np.float32), terminated=np.ones(32, bool)))
    assert all(torch.equal(old, new) for old, new in zip(before, agent.actor.parameters(), strict=True))
    assert agent.q(OBSERVATION, np.zeros(2, np.float32)) == pytest.approx(0.7, abs=0.05)


def test_initial_std_is_what_the_actor_begins_with():
    outputs = learner(replace(SMALL, initial_std=0.2)).actor(torch.zeros(1, 3)).detach()
    np.testing.assert_allclose(gaussian.split(outputs)[1].exp(), 0.2, rtol=0.05)
    with pytest.raises(InvalidValueError, match=r"initial_std 0\.0 must be above 0: plain SAC uses 1"):
        replace(SMALL, initial_std=0.0)


# -- acting ----


def test_act_is_the_mean_of_the_actor_and_explore_scatters_around_it():
    agent = learner()
    assert isinstance(agent, Policy)
    s = torch.from_numpy(OBSERVATION["state"])[None]
    mean, log_std = gaussian.split(agent.actor(s).detach())
    proposal = agent.act(OBSERVATION)
    assert proposal.actions.shape == (1, 2) and proposal.actions.dtype == np.float32
    assert proposal.source is Authority.POLICY
    np.testing.assert_allclose(proposal.actions[0], torch.tanh(mean)[0], atol=1e-6)
    draws = np.arctanh([agent.explore(OBSERVATION).actions[0] for _ in range(4_000)])
    np.testing.assert_allclose(draws.mean(0), mean[0], atol=0.08)
    np.testing.assert_allclose(draws.std(0), log_std.exp()[0], rtol=0.05)


def test_gripper_commands_explore_with_epsilon():
    agent = learner(replace(GRIPPER, gripper_epsilon=0.3))
    assert agent.values.gripper is not None
    make_constant(agent.values.gripper, 0.0, 1.0, 0.0)
    commands = np.array([agent.explore(OBSERVATION).actions[0, -1] for _ in range(3_000)])
    assert agent.act(OBSERVATION).actions[0, -1] == 0.0
    assert {-1.0, 0.0, 1.0} == set(commands)
    assert abs((commands != 0).mean() - 0.2) < 0.03  # two thirds of the random ones differ


def test_q_is_the_lowest_critic_for_one_and_for_many(random_batch):
    agent, batch = learner(), random_batch(0)
    make_constant(agent.values.critics[0], 3.0)
    make_constant(agent.values.critics[1], 2.0)
    assert agent.q(OBSERVATION, np.zeros(2, np.float32)) == 2.0
    assert agent.q(batch.observation, batch.action).tolist() == [2.0] * 32


def test_the_normaliser_comes_from_demonstrations_and_stays(random_batch):
    agent, batch = learner(), random_batch(0)
    batch.observation["state"][:] = batch.observation["state"] * 3.0 + 10.0
    agent.fit_normaliser(batch)
    features = agent.encoder.encode(batch.observation)
    assert features.mean(0).abs().max() < 1e-4
    agent.update(random_batch(1))
    assert torch.equal(agent.encoder.encode(batch.observation), features)


def test_metrics_are_read_back_only_when_asked(random_batch):
    agent = learner()
    assert agent.update(random_batch(0)) == {}
    metrics = agent.update(random_batch(1), metrics=True)
    assert metrics.keys() == {"critic_loss", "q_mean", "actor_loss", "entropy", "temperature"}


# -- determinism and resume ----


def cnn(generator: torch.Generator) -> CnnEncoder:
    return CnnEncoder({"images.front": (16, 16, 3)}, {"state": 3}, generator, CnnConfig((4, 4), (2, 2), 8))


VARIANTS = {
    "plain": (SMALL, {"state": 3}),
    "gripper, subset, bc": (replace(GRIPPER, critics=4, utd=2, bc_weight=0.1, actor_layer_norm=True), {"state": 3}),
    "cnn": (replace(GRIPPER, activation="relu"), cnn),
}


def with_images(batch: Batch, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    for side in (batch.observation, batch.next_observation):
        side["images.front"] = rng.integers(0, 256, (len(batch), 16, 16, 3), np.uint8)
    return batch


def train(agent: RLPD, random_batch, steps: range) -> list[object]:
    """Everything that a run shows: explored actions and losses."""
    trace: list[object] = []
    for i in steps:
        batch = with_images(random_batch(i), i)
        trace.append(agent.update(batch, metrics=True))
        trace.append(agent.explore({key: value[0] for key, value in batch.observation.items()}).actions.tolist())
    return trace


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_runs_of_one_seed_are_identical_and_of_two_seeds_are_not(variant, random_batch):
    config, encoder = VARIANTS[variant]
    one, two, other = (train(RLPD(config, encoder, 2, seed), random_batch, range(4)) for seed in (1, 1, 2))
    assert one == two and one != other


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_resumed_run_is_bit_identical_to_an_unbroken_one(variant, random_batch, tmp_path: Path):
    config, encoder = VARIANTS[variant]
    unbroken = RLPD(config, encoder, 2, seed=1)
    unbroken.fit_normaliser(random_batch(99))
    train(unbroken, random_batch, range(5))
    tensors, meta = unbroken.state()
    checkpoint.save(tmp_path / "last", tensors, meta)
    expected = train(unbroken, random_batch, range(5, 10))
    resumed = RLPD(config, encoder, 2, seed=7)
    resumed.load_state(*checkpoint.load(tmp_path / "last"))
    assert train(resumed, random_batch, range(5, 10)) == expected
    for a, b in zip(unbroken.values.parameters(), resumed.values.parameters(), strict=True):
        assert torch.equal(a, b)
    assert unbroken.updates == resumed.updates


def test_the_global_generators_play_no_part(random_batch):
    traces = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  the legacy generator is the one that must not matter
        traces.append(train(learner(GRIPPER), random_batch, range(3)))
    assert traces[0] == traces[1]


# -- errors ----


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"target_subset": 3}, r"target_subset 3 is not in 1..2: at most `critics`"),
        ({"discount": 1.0}, r"discount 1.0 is not in \(0, 1\): HIL-SERL uses 0.97"),
        ({"utd": 0}, "utd 0 and actor_every 2 must be at least 1: raise them"),
    ],
)
def test_error_config(change, text):
    with pytest.raises(InvalidValueError, match=text):
        RLPDConfig(**change)


def test_error_unknown_activation():
    with pytest.raises(UnknownNameError, match="unknown activation 'rely': did you mean relu"):
        learner(replace(SMALL, activation="rely"))


def test_error_checkpoint_of_another_learner():
    with pytest.raises(CheckpointError, match=r"checkpoint holds no RLPD learner .*: pass an RLPD checkpoint"):
        learner().load_state({}, {})


def test_error_checkpoint_of_another_shape():
    tensors, meta = learner().state()
    with pytest.raises(
        CheckpointError, match=r"of shape \(16, 5\), the network \(8, 5\): build it with the same config"
    ):
        learner(replace(SMALL, hidden=(8, 8))).load_state(tensors, meta)
