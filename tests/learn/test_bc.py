"""Behaviour cloning by numbers: losses in closed form, weights, chunks, a bimodal toy, determinism, exact resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from handrail.core.contracts import Policy
from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array
from handrail.learn.bc import BC, BCConfig, time_features
from handrail.nets import CnnConfig, CnnEncoder
from handrail.store import checkpoint
from handrail.store.ring import Batch

SMALL = BCConfig(hidden=(32, 32))
HEADS = ["gaussian", "flow"]
OBSERVATION = {"state": np.array([0.3, -0.2, 0.9], np.float32)}


def learner(config: BCConfig = SMALL, seed: int = 0, actions: int = 2) -> BC:
    return BC(config, {"state": 3}, actions, seed)


def make_constant(net: nn.Sequential, outputs: list[float]) -> None:
    with torch.no_grad():
        net[-1].weight.zero_()  # type: ignore[union-attr,operator]
        net[-1].bias.copy_(torch.tensor(outputs))  # type: ignore[union-attr,operator]


def parameters(agent: BC) -> list[Array]:
    return [parameter.detach().numpy().copy() for parameter in agent.net.parameters()]


def test_the_gaussian_loss_in_closed_form(random_batch):
    agent, batch = learner(), random_batch(0)
    make_constant(agent.net, [0.5, -0.5, 1.0, 2.0])
    std = np.log1p(np.exp([1.0, 2.0])) + 0.1
    expected = (0.5 * np.square((batch.action - [0.5, -0.5]) / std) + np.log(std)).mean()
    assert agent.update(batch, metrics=True)["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_flow_loss_in_closed_form(random_batch):
    agent, batch = learner(replace(SMALL, head="flow")), random_batch(0)
    draws = torch.Generator()
    draws.set_state(agent.generator.get_state())
    x_0, t = torch.randn(32, 2, generator=draws), torch.rand(32, 1, generator=draws)
    a, s = torch.from_numpy(batch.action), torch.from_numpy(batch.observation["state"])
    v = nn.Sequential.forward(agent.net, torch.cat([s, (1 - t) * x_0 + t * a, time_features(t)], 1))
    expected = (v - (a - x_0)).square().mean().item()
    assert agent.update(batch, metrics=True)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_samples_of_weight_zero_have_no_effect(head, random_batch):
    agents = [learner(replace(SMALL, head=head)) for _ in range(2)]
    for i in range(5):
        batch, other = random_batch(i), random_batch(i)
        batch.weight[::2] = other.weight[::2] = 0.0
        other.action[::2] = -other.action[::2] + 0.3
        assert agents[0].update(batch, metrics=True) == agents[1].update(other, metrics=True)
    for one, two in zip(*map(parameters, agents), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_sample_of_weight_two_counts_as_two_samples(random_batch):
    batch = random_batch(0, rows=8)
    twice = batch.rows(np.array([0, 0, *range(1, 8)]))
    batch.weight[0] = 2.0
    agents = [learner(), learner()]
    losses = [agent.update(each, metrics=True)["loss"] for agent, each in zip(agents, (batch, twice), strict=True)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_only_the_ratio_of_weights_matters(random_batch):
    one, two = random_batch(0), random_batch(0)
    two.weight[:] = 7.0
    assert learner().update(one, metrics=True)["loss"] == pytest.approx(learner().update(two, metrics=True)["loss"])


@pytest.mark.parametrize("head", HEADS)
def test_one_batch_is_overfitted_in_chunks(head, random_batch):
    config = replace(SMALL, head=head, horizon=3, hidden=(128, 128), learning_rate=3e-3, min_std=0.05)
    agent, batch = learner(config), random_batch(0, rows=6)
    chunk = np.random.default_rng(0).uniform(-1, 1, (6, 3, 2)).astype(np.float32)
    batch = replace(batch, action=chunk).rows(np.tile(np.arange(6), 8))
    for _ in range(1_000):
        agent.update(batch)
    for i in range(6):
        actions = agent.act({"state": batch.observation["state"][i]}).actions
        assert actions.shape == (3, 2)
        np.testing.assert_allclose(actions, chunk[i], atol=0.2)


def test_the_flow_head_reproduces_two_modes_and_the_gaussian_their_mean():
    """Half of the people pass left, half right: +0.7 and -0.7 at the same observation."""
    rng = np.random.default_rng(0)

    def batch() -> Batch:
        ones = np.ones(256, np.float32)
        action = (rng.choice([-0.7, 0.7], 256) + rng.normal(0, 0.05, 256))[:, None].astype(np.float32)
        state = {"state": np.tile(OBSERVATION["state"], (256, 1))}
        return Batch(state, action, ones, state, ones > 2, np.zeros(256, np.int64), ones)

    agents = {head: learner(BCConfig(head=head, hidden=(64, 64), learning_rate=3e-3), actions=1) for head in HEADS}
    for _ in range(600):
        for agent in agents.values():
            agent.update(batch())
    drawn = np.array([agents["flow"].act(OBSERVATION).actions[0, 0] for _ in range(400)])
    assert (np.abs(np.abs(drawn) - 0.7) < 0.2).mean() > 0.9
    assert 0.4 < (drawn > 0).mean() < 0.6
    assert abs(agents["gaussian"].act(OBSERVATION).actions[0, 0]) < 0.15


def test_actions_are_clipped_and_typed():
    agent = learner()
    assert isinstance(agent, Policy)
    make_constant(agent.net, [5.0, -5.0, 0.0, 0.0])
    actions = agent.act(OBSERVATION).actions
    assert actions.tolist() == [[1.0, -1.0]] and actions.dtype == np.float32


def test_a_sequence_of_batches_is_one_update_each(random_batch):
    one, two = learner(), learner()
    one.update([random_batch(0), random_batch(1)])
    for i in range(2):
        assert two.update(random_batch(i)) == {}
    assert one.updates == two.updates == 2
    for a, b in zip(parameters(one), parameters(two), strict=True):
        np.testing.assert_array_equal(a, b)


def cnn(generator: torch.Generator) -> CnnEncoder:
    return CnnEncoder({"images.front": (16, 16, 3)}, {"state": 3}, generator, CnnConfig((4, 4), (2, 2), 8))


def train(agent: BC, random_batch, steps: range) -> list[object]:
    trace: list[object] = []
    for i in steps:
        batch = random_batch(i)
        batch.observation["images.front"] = np.random.default_rng(i).integers(0, 256, (32, 16, 16, 3), np.uint8)
        trace.append(agent.update(batch, metrics=True))
        trace.append(agent.act({key: value[0] for key, value in batch.observation.items()}).actions.tolist())
    return trace


@pytest.mark.parametrize("encoder", [{"state": 3}, cnn], ids=["state", "cnn"])
@pytest.mark.parametrize("head", HEADS)
def test_runs_are_fixed_by_their_seed_and_resume_bit_identically(head, encoder, random_batch, tmp_path: Path):
    config = replace(SMALL, head=head)
    unbroken, same, other = (BC(config, encoder, 2, seed) for seed in (1, 1, 2))
    first = train(unbroken, random_batch, range(4))
    assert first == train(same, random_batch, range(4)) != train(other, random_batch, range(4))
    checkpoint.save(tmp_path / "last", *unbroken.state())
    resumed = BC(config, encoder, 2, seed=9)
    resumed.load_state(*checkpoint.load(tmp_path / "last"))
    assert train(unbroken, random_batch, range(4, 8)) == train(resumed, random_batch, range(4, 8))


def test_the_normaliser_comes_from_demonstrations(random_batch):
    agent, batch = learner(), random_batch(0)
    batch.observation["state"][:] = 3.0 * batch.observation["state"] + 10.0
    agent.fit_normaliser(batch)
    assert agent.encoder.encode(batch.observation).mean(0).abs().max() < 1e-4


def test_error_head():
    with pytest.raises(InvalidValueError, match="head 'diffusion' is not known: choose gaussian or flow"):
        BCConfig(head="diffusion")  # type: ignore[arg-type]


def test_error_horizon():
    with pytest.raises(InvalidValueError, match="horizon 0 and flow_steps 10 must be at least 1"):
        BCConfig(horizon=0)


def test_error_chunk_shape(random_batch):
    with pytest.raises(InvalidValueError, match=r"action chunks have shape \(1, 2\), this learner \(4, 2\)"):
        learner(replace(SMALL, horizon=4)).update(random_batch(0))


def test_error_checkpoint_of_another_learner():
    with pytest.raises(CheckpointError, match=r"checkpoint holds no BC learner .*: pass a BC checkpoint"):
        learner().load_state({}, {})
