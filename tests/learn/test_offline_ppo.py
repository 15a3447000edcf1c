"""Offline PPO by numbers: likelihood, expectiles, acceptance, better than cloning where the optimum is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from handrail.core.contracts import Policy
from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array
from handrail.learn.offline_ppo import OfflinePPO, OfflinePPOConfig, expectile_loss
from handrail.learn.ppo import PPO, PPOConfig
from handrail.nets import CnnConfig, CnnEncoder
from handrail.store import checkpoint
from handrail.store.ring import Batch

SMALL = OfflinePPOConfig(hidden=(16, 16), accept_every=5)
OBSERVATION = {"state": np.array([0.3, -0.2, 0.9], np.float32)}


def learner(config: OfflinePPOConfig = SMALL, seed: int = 0, actions: int = 2) -> OfflinePPO:
    return OfflinePPO(config, {"state": 3}, actions, seed)


def transitions(s: Array, a: Array, r: Array, s_next: Array, terminated: Array) -> Batch:
    ones = np.ones(len(s), np.float32)
    f32 = [np.asarray(column, np.float32) for column in (s, a, r, s_next)]
    return Batch({"state": f32[0]}, f32[1], f32[2], {"state": f32[3]}, terminated, np.zeros(len(s), np.int64), ones)


def weights(net: nn.Module) -> list[Array]:
    return [parameter.detach().numpy().copy() for parameter in net.parameters()]


def same(one: list[Array], two: list[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@torch.no_grad()
def make_constant(net: nn.Module, *outputs: float) -> None:
    """The network's answer is `outputs` whatever its input."""
    last = list(net.children())[-1]
    assert isinstance(last, nn.Linear)
    last.weight.zero_()
    last.bias.copy_(torch.tensor(outputs))


# -- phases ----


def test_cloning_finds_mean_and_standard_deviation():
    rng = np.random.default_rng(0)
    agent = learner(replace(SMALL, learning_rate=1e-2))
    s = np.tile(OBSERVATION["state"], (256, 1))
    for _ in range(250):
        a = rng.normal([0.5, -0.2], [0.1, 0.3], (256, 2))
        agent.clone(transitions(s, a, np.zeros(256), s, np.ones(256, bool)))
    np.testing.assert_allclose(agent.act(OBSERVATION).actions[0], [0.5, -0.2], atol=0.04)
    np.testing.assert_allclose(agent.actor.log_std.detach().exp(), [0.1, 0.3], rtol=0.15)
    assert same(weights(agent.actor), weights(agent.candidate))
    assert isinstance(agent, Policy)


def test_the_cloning_loss_in_closed_form_and_its_weights(random_batch):
    batch = random_batch(0)
    batch.weight[:] = np.arange(32) % 2
    agents = [learner(replace(SMALL, initial_std=0.4)) for _ in range(3)]
    make_constant(agents[0].actor, float(np.arctanh(0.5)), 0.0)
    z = (batch.action[1::2] - [0.5, 0.0]) / 0.4
    expected = (0.5 * z**2 + np.log(0.4 * np.sqrt(2 * np.pi))).sum(1).mean()
    assert agents[0].clone(batch)["clone_loss"] == pytest.approx(expected, rel=1e-5)
    other = random_batch(0)
    other.weight[:] = batch.weight * 7.0
    other.action[::2] = 0.9  # of weight 0
    assert agents[1].clone(batch)["clone_loss"] == pytest.approx(agents[2].clone(other)["clone_loss"], rel=1e-6)


def test_the_expectile_loss_in_closed_form():
    u = torch.tensor([2.0, -2.0, 0.0])
    assert expectile_loss(u, 0.7).tolist() == pytest.approx([2.8, 1.2, 0.0])
    assert expectile_loss(u, 0.5).tolist() == pytest.approx([2.0, 2.0, 0.0])


def test_v_is_the_expectile_and_q_the_reward_of_a_bandit():
    """Reward is 0 or 1 by the action, half and half: Q(s, a) = a and the 0.7-expectile of {0, 1} is 0.7."""
    config = replace(SMALL, hidden=(16,), learning_rate=1e-2, tau=0.1, expectile=0.7)
    agent, rng = learner(config, actions=1), np.random.default_rng(0)
    s = np.tile(OBSERVATION["state"], (128, 1))
    for _ in range(250):
        a = rng.integers(0, 2, (128, 1))
        agent.evaluate(transitions(s, a, a[:, 0], s, np.ones(128, bool)))
    features = torch.from_numpy(s[:2])
    assert agent.value(features)[0].item() == pytest.approx(0.7, abs=0.04)
    assert agent.q(features, torch.tensor([[0.0], [1.0]])).tolist() == pytest.approx([0.0, 1.0], abs=0.04)
    assert agent.q(features, torch.tensor([[0.0], [7.0]])).tolist() == pytest.approx([0.0, 1.0], abs=0.04)  # clipped


def test_values_bootstrap_where_the_task_goes_on_and_not_where_it_ended():
    agent = learner()
    make_constant(agent.value, 2.0)
    for i in range(2):
        make_constant(agent.critics[i], 1.0)
        make_constant(agent.target[i], 1.5 + i)
    s = np.zeros((2, 3))
    batch = transitions(s, np.zeros((2, 2)), [0.5, 0.5], s, np.array([True, False]))
    metrics = agent.evaluate(batch)
    assert metrics["critic_loss"] == pytest.approx(2 * np.mean([0.5**2, (1.0 - 0.5 - 0.99 * 2.0) ** 2]), rel=1e-5)
    assert metrics["value_loss"] == pytest.approx(0.3 * 0.5**2, rel=1e-5)  # the lower target: u = 1.5 - 2


def test_each_phase_trains_its_own_networks(random_batch):
    agent, batch = learner(replace(SMALL, accept_every=1_000)), random_batch(0)
    names = ("actor", "candidate", "value", "critics", "target")
    moved = {}
    for phase in ("clone", "evaluate", "improve"):
        before = {name: weights(getattr(agent, name)) for name in names}
        for _ in range(3):
            getattr(agent, phase)(batch)
        moved[phase] = {name for name in names if not same(before[name], weights(getattr(agent, name)))}
    assert moved == {
        "clone": {"actor", "candidate"},
        "evaluate": {"value", "critics", "target"},
        "improve": {"candidate"},
    }


def test_a_candidate_becomes_the_policy_only_when_its_q_is_higher():
    agent = learner(replace(SMALL, hidden=()), actions=1)  # linear critics: Q = a
    with torch.no_grad():
        for critic in agent.critics:
            critic[0].weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 1.0]]))  # type: ignore[index]
    s = torch.zeros(64, 3)
    for mean, accepted in ((-0.5, False), (0.5, True), (0.4, False), (0.6, True)):
        make_constant(agent.candidate, float(np.arctanh(mean)))
        assert agent.accept(s) is accepted
        assert same(weights(agent.actor), weights(agent.candidate)) is accepted
    assert agent.accepted == 2
    assert agent.act(OBSERVATION).actions[0, 0] == pytest.approx(0.6, abs=1e-6)


# -- better than cloning, where the optimum is known ----


def fit(agent: OfflinePPO, data: Batch, steps: tuple[int, int, int], seed: int = 0) -> Callable[[], None]:
    """Clone and evaluate; what is returned improves."""
    rng = np.random.default_rng(seed)

    def run(phase: Callable[[Batch], object], count: int) -> None:
        for _ in range(count):
            phase(data.rows(rng.integers(0, len(data), 128)))

    agent.fit_normaliser(data)
    run(agent.clone, steps[0])
    run(agent.evaluate, steps[1])
    return lambda: run(agent.improve, steps[2])


def test_the_better_half_of_a_bandit_is_found():
    """The best action is 0.6 s; half of the data is about there, half about -0.6 s: cloning stays between."""
    rng = np.random.default_rng(0)
    s = rng.uniform(-1, 1, (4_000, 1))
    best = 0.6 * s
    a = np.clip(np.where(rng.random((4_000, 1)) < 0.5, best, -best) + rng.normal(0, 0.3, (4_000, 1)), -1, 1)
    data = transitions(s, a, 1.0 - ((a - best) ** 2)[:, 0], s, np.ones(4_000, bool))
    agent = OfflinePPO(
        OfflinePPOConfig(hidden=(16, 16), learning_rate=5e-3, improve_learning_rate=2e-3, accept_every=20, tau=0.05),
        {"state": 1}, 1, seed=0,
    )  # fmt: skip
    probe = np.linspace(-1, 1, 41, dtype=np.float32)[:, None]

    def regret() -> float:
        return float(np.square(agent.policy.actions({"state": probe}, explore=False) - 0.6 * probe).mean())

    improve = fit(agent, data, (150, 300, 300))
    cloned = regret()
    improve()
    assert cloned > 0.08  # 0.36 * mean of s^2 = 0.126 for an action of 0
    assert regret() < 0.05 * cloned
    assert agent.accepted > 3


def walk(act: Callable[[Array], Array], seed: int, points: int = 200, steps: int = 10) -> tuple[Batch, float]:
    """Points on a line that should be at 0: x <- x + 0.2 a, reward -|x|; and the mean return."""
    x, rows = np.random.default_rng(seed).uniform(-1, 1, (points, 1)), []
    for _ in range(steps):
        a = np.clip(act(x.astype(np.float32)), -1, 1)
        rows.append((x, a, -np.abs(x + 0.2 * a)[:, 0], x + 0.2 * a))
        x = x + 0.2 * a
    s, a, r, s_next = (np.concatenate(column) for column in zip(*rows, strict=True))
    return transitions(s, a, r, s_next, np.zeros(len(s), bool)), float(r.sum() / points)


def test_walks_of_mixed_quality_are_improved_on():
    rng = np.random.default_rng(0)
    data, _ = walk(lambda x: rng.choice([-0.5, 1.5], (len(x), 1)) * -2 * x + rng.normal(0, 0.5, x.shape), seed=1)
    config = OfflinePPOConfig(
        hidden=(16, 16), discount=0.9, learning_rate=5e-3, improve_learning_rate=2e-3, accept_every=20, tau=0.05
    )
    agent = OfflinePPO(config, {"state": 1}, 1, seed=0)
    improve = fit(agent, data, (150, 400, 300))

    def score() -> float:
        return walk(lambda x: agent.policy.actions({"state": x}, explore=False), seed=2)[1]

    cloned, optimum = score(), walk(lambda x: -5 * x, seed=2)[1]
    improve()
    assert (score() - cloned) / (optimum - cloned) > 0.75


# -- determinism, resume, start ----


def cnn(generator: torch.Generator) -> CnnEncoder:
    return CnnEncoder({"images.front": (16, 16, 3)}, {"state": 3}, generator, CnnConfig((4, 4), (2, 2), 8))


def train(agent: OfflinePPO, random_batch, steps: range) -> list[object]:
    trace: list[object] = []
    for i in steps:
        batch = random_batch(i)
        for side in (batch.observation, batch.next_observation):
            side["images.front"] = np.random.default_rng(i).integers(0, 256, (32, 16, 16, 3), np.uint8)
        trace += [agent.clone(batch), agent.evaluate(batch), agent.improve(batch)]
        trace.append(agent.explore({key: value[0] for key, value in batch.observation.items()}).actions.tolist())
    return trace


@pytest.mark.parametrize("encoder", [{"state": 3}, cnn], ids=["state", "cnn"])
def test_runs_are_fixed_by_their_seed_and_resume_bit_identically(encoder, random_batch, tmp_path: Path):
    unbroken, twin, other = (OfflinePPO(SMALL, encoder, 2, seed) for seed in (1, 1, 2))
    first = train(unbroken, random_batch, range(7))
    assert first == train(twin, random_batch, range(7)) != train(other, random_batch, range(7))
    checkpoint.save(tmp_path / "last", *unbroken.state())
    resumed = OfflinePPO(SMALL, encoder, 2, seed=9)
    resumed.load_state(*checkpoint.load(tmp_path / "last"))
    assert train(unbroken, random_batch, range(7, 14)) == train(resumed, random_batch, range(7, 14))
    assert (unbroken.improvements, unbroken.accepted) == (resumed.improvements, resumed.accepted)


def test_an_encoder_with_weights_learns_from_cloning_alone(random_batch):
    agent = OfflinePPO(SMALL, cnn, 2, seed=0)
    batch = random_batch(0)
    for side in (batch.observation, batch.next_observation):
        side["images.front"] = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8)
    moved = []
    for phase in (agent.clone, agent.evaluate, agent.improve):
        before = weights(agent.encoder)
        phase(batch)
        moved.append(not same(before, weights(agent.encoder)))
    assert moved == [True, False, False]


def test_ppo_goes_on_where_offline_ppo_ended(random_batch):
    agent = learner(replace(SMALL, hidden=(8, 8)))
    agent.fit_normaliser(random_batch(9))
    train(agent, random_batch, range(6))
    online = PPO(PPOConfig(hidden=(8, 8)), {"state": 3}, 2, seed=5)
    online.start_from(agent)
    np.testing.assert_array_equal(online.act(OBSERVATION).actions, agent.act(OBSERVATION).actions)
    s = online.encoder.encode(random_batch(0).observation)
    torch.testing.assert_close(online.value(s), agent.value(s))


# -- errors ----


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"discount": 1.0}, r"discount 1.0 is not in \(0, 1\): Uni-O4 uses 0.99"),
        ({"expectile": 0.3}, r"expectile 0.3 is not in \[0.5, 1\): Uni-O4 uses 0.7"),
        ({"clip": 0.0}, r"clip 0.0 is not in \(0, 1\): Uni-O4 uses 0.25"),
        ({"accept_every": 0}, "accept_every 0 and critics 2 must be at least 1: raise them"),
        ({"min_std": 0.6}, r"min_std 0.6 is not in \(0, 0.5\]: lower it, or raise initial_std"),
    ],
)
def test_error_config(change, text):
    with pytest.raises(InvalidValueError, match=text):
        OfflinePPOConfig(**change)


def test_error_checkpoint_of_another_learner():
    with pytest.raises(CheckpointError, match=r"no offline PPO learner .*: pass an offline PPO checkpoint"):
        learner().load_state({}, {})
