"""The safety critic by numbers: targets in closed form, a chain of known risk, the policy that really acts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array
from handrail.learn.safety_q import SafetyQ, SafetyQConfig
from handrail.nets import CnnConfig, CnnEncoder
from handrail.store import checkpoint
from handrail.store.trajectories import Trajectories

SMALL = SafetyQConfig(hidden=(16, 16))
CHAIN = SafetyQConfig(hidden=(16,), discount=0.7, tau=0.2, learning_rate=2e-2)


def rows(s: Array, a: Array, c: Array, s_next: Array, terminated: Array | None = None) -> Trajectories:
    n = len(s)
    f32 = [np.asarray(column, np.float32) for column in (s, s_next, a, c)]
    ends = np.zeros(n, bool) if terminated is None else terminated
    zeros = np.zeros(n, np.float32)
    return Trajectories(
        {"state": f32[0]}, {"state": f32[1]}, f32[2], f32[2], zeros, f32[3], ends, ends, np.zeros(n, np.int64)
    )


def random_rows(seed: int, n: int = 32) -> Trajectories:
    rng = np.random.default_rng(seed)
    s, s_next = rng.standard_normal((2, n, 3))
    data = rows(s, rng.uniform(-1, 1, (n, 2)), rng.random(n) < 0.3, s_next, rng.random(n) < 0.1)
    for side in (data.observation, data.next_observation):
        side["images.front"] = rng.integers(0, 256, (n, 16, 16, 3), np.uint8)
    return data


@torch.no_grad()
def make_constant(net: nn.Module, output: float) -> None:
    last = list(net.children())[-1]
    assert isinstance(last, nn.Linear)
    last.weight.zero_()
    last.bias.fill_(output)


def test_the_target_in_closed_form():
    agent = SafetyQ(replace(SMALL, discount=0.6), {"state": 3}, 2, seed=0)
    for critic, probability in zip(agent.target.critics, (0.2, 0.5), strict=True):
        make_constant(critic, float(np.log(probability / (1 - probability))))
    s = np.zeros((4, 3))
    data = rows(s, np.zeros((4, 2)), [1, 0, 0, 1], s, np.array([False, False, True, True]))
    y = agent.td_target(data, data.action)
    assert y.tolist() == pytest.approx([1.0, 0.6 * 0.5, 0.0, 1.0])  # the higher critic; no future once it terminated


def test_the_loss_in_closed_form_and_the_targets_follow_by_tau():
    agent = SafetyQ(replace(SMALL, tau=0.1), {"state": 3}, 2, seed=0)
    for i in range(2):
        make_constant(agent.nets.critics[i], 0.0)
    s = np.zeros((2, 3))
    data = rows(s, np.zeros((2, 2)), [1, 0], s, np.ones(2, bool))
    before = [parameter.clone() for parameter in agent.target.parameters()]
    assert agent.update(data, data.action)["risk_loss"] == pytest.approx(2 * np.log(2.0), rel=1e-5)
    pairs = zip(before, agent.target.parameters(), agent.nets.parameters(), strict=True)
    for old, new, online in pairs:
        torch.testing.assert_close(new, old + 0.1 * (online - old))


def test_a_chain_has_the_risk_gamma_to_the_steps_that_are_left():
    """0 -> 1 -> 2 -> 3 -> 4, and the step out of 4 violates; violating does not end the episode, the walk goes on."""
    agent = SafetyQ(CHAIN, {"state": 5}, 1, seed=0)
    eye, zeros = np.eye(5), np.zeros((5, 1), np.float32)
    data = rows(eye, zeros, [0, 0, 0, 0, 1], eye[[1, 2, 3, 4, 4]])
    for _ in range(300):
        agent.update(data, zeros)
    expected = 0.7 ** np.arange(4, -1, -1)
    np.testing.assert_allclose(agent.risks(data.observation, zeros), expected, atol=0.02)


def test_a_step_that_violates_sometimes_has_that_probability():
    rng = np.random.default_rng(0)
    agent = SafetyQ(replace(CHAIN, learning_rate=1e-2), {"state": 1}, 1, seed=0)
    s = np.zeros((256, 1))
    for _ in range(150):
        data = rows(s, np.zeros((256, 1)), rng.random(256) < 0.3, s, np.ones(256, bool))
        agent.update(data, data.action)
    assert agent.risk({"state": s[0]}, np.zeros(1)) == pytest.approx(0.3, abs=0.04)


def test_the_risk_is_of_the_policy_that_really_acts():
    """From the brink, -1 falls and +1 steps back for good. Who goes on decides what approaching the brink risks."""
    approach, brink, safe = np.eye(3)
    s, a = [approach, brink, brink, safe, safe], [[-1], [-1], [1], [-1], [1]]
    data = rows(s, a, [0, 1, 0, 0, 0], [brink, brink, safe, safe, safe])
    risks = []
    for next_action in (-1.0, 1.0):  # the task policy alone, or whoever recovers it
        agent = SafetyQ(CHAIN, {"state": 3}, 1, seed=0)
        for _ in range(300):
            agent.update(data, np.full((5, 1), next_action, np.float32))
        risks.append(agent.risks(data.observation, data.action))
    np.testing.assert_allclose(risks[0], [0.7, 1.0, 0.0, 0.0, 0.0], atol=0.03)
    np.testing.assert_allclose(risks[1], [0.0, 1.0, 0.0, 0.0, 0.0], atol=0.03)


def test_one_observation_is_assessed_as_in_a_batch():
    agent, data = SafetyQ(SMALL, {"state": 3}, 2, seed=0), random_rows(0)
    agent.fit_normaliser(data.batch())
    for i in range(3):
        agent.update(random_rows(i), random_rows(i + 1).action)
    one = [agent.risk({"state": s}, a) for s, a in zip(data.observation["state"], data.action, strict=True)]
    np.testing.assert_allclose(one, agent.risks(data.observation, data.action), atol=1e-6)
    for critic in agent.nets.critics:
        make_constant(critic, 400.0)
    assert agent.risk({"state": np.zeros(3)}, np.zeros(2)) == 1.0


def cnn(generator: torch.Generator) -> CnnEncoder:
    return CnnEncoder({"images.front": (16, 16, 3)}, {"state": 3}, generator, CnnConfig((4, 4), (2, 2), 8))


@pytest.mark.parametrize("encoder", [{"state": 3}, cnn], ids=["state", "cnn"])
def test_runs_are_fixed_by_their_seed_and_resume_bit_identically(encoder, tmp_path: Path):
    def train(agent: SafetyQ, steps: range) -> list[dict[str, float]]:
        return [agent.update(random_rows(i), random_rows(i + 100).action) for i in steps]

    unbroken, twin, other = (SafetyQ(SMALL, encoder, 2, seed) for seed in (1, 1, 2))
    first = train(unbroken, range(4))
    assert first == train(twin, range(4)) != train(other, range(4))
    checkpoint.save(tmp_path / "last", *unbroken.state())
    resumed = SafetyQ(SMALL, encoder, 2, seed=9)
    resumed.load_state(*checkpoint.load(tmp_path / "last"))
    assert train(unbroken, range(4, 8)) == train(resumed, range(4, 8))
    assert unbroken.updates == resumed.updates
    data = random_rows(0)
    now = {key: value[0] for key, value in data.observation.items()}
    assert unbroken.risk(now, data.action[0]) == resumed.risk(now, data.action[0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"discount": 1.0}, r"discount 1.0 is not in \(0, 1\): Recovery RL uses 0.5 to 0.85"),
        ({"tau": 0.0}, r"tau 0.0 is not in \(0, 1\]: 0.005 follows in some 200 updates"),
        ({"critics": 0}, "critics 0 must be at least 1: Recovery RL uses 2"),
    ],
)
def test_error_config(change, text):
    with pytest.raises(InvalidValueError, match=text):
        SafetyQConfig(**change)


def test_error_next_actions():
    data = random_rows(0)
    with pytest.raises(
        InvalidValueError, match=r"next_actions have shape \(2,\), actions \(32, 2\): draw one for each"
    ):
        SafetyQ(SMALL, {"state": 3}, 2, seed=0).update(data, data.action[0])


def test_error_checkpoint_of_another_learner():
    with pytest.raises(CheckpointError, match=r"holds no safety critic \(risk_target/\): pass a SafetyQ checkpoint"):
        SafetyQ(SMALL, {"state": 3}, 2, seed=0).load_state({}, {})
