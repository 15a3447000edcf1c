"""PPO by numbers: GAE, an update against autograd, recovered steps, constraints, determinism, exact resume."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from handrail.core.contracts import Policy
from handrail.core.errors import CheckpointError, InvalidValueError, UnknownNameError
from handrail.core.values import Array, Authority
from handrail.learn.actor_critic import clipped_objective, standardised
from handrail.learn.ppo import PPO, PPOConfig, gae
from handrail.nets import CnnConfig, CnnEncoder
from handrail.store import checkpoint
from handrail.store.trajectories import Trajectories

SMALL = PPOConfig(hidden=(16, 16), minibatch=8, epochs=2)
OBSERVATION = {"state": np.array([0.3, -0.2, 0.9], np.float32)}


def learner(config: PPOConfig = SMALL, seed: int = 0, actions: int = 2) -> PPO:
    return PPO(config, {"state": 3}, actions, seed)


def rollout(seed: int = 0, rows: int = 32, actions: int = 2) -> Trajectories:
    """Four episodes of random steps; the first terminates. A quarter of the steps is recovered."""
    rng = np.random.default_rng(seed)
    observation = rng.standard_normal((rows + 1, 3), np.float32)
    last = np.arange(rows) % (rows // 4) == rows // 4 - 1
    authority = np.where(rng.random(rows) < 0.25, Authority.ASSISTANT, Authority.POLICY).astype(np.int64)
    proposed = rng.normal(0, 0.5, (rows, actions)).astype(np.float32)
    recovered = rng.uniform(-1, 1, (rows, actions)).astype(np.float32)
    return Trajectories(
        {"state": observation[:-1]},
        {"state": observation[1:]},
        np.where(authority[:, None] == Authority.ASSISTANT, recovered, proposed.clip(-1, 1)),
        proposed,
        rng.random(rows, np.float32),
        (rng.random(rows) < 0.3).astype(np.float32),
        last & (np.arange(rows) < rows // 4),
        last,
        authority,
    )


def weights(net: nn.Module) -> list[Array]:
    return [parameter.detach().numpy().copy() for parameter in net.parameters()]


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


# -- advantages ----


def test_gae_of_a_constant_reward_in_closed_form():
    zeros, ends = np.zeros(20), np.arange(20) == 19
    A = gae(np.ones(20), zeros, zeros, ends, ends, 0.99, 0.95)
    decay = 0.99 * 0.95
    np.testing.assert_allclose(A, (1 - decay ** np.arange(20, 0, -1)) / (1 - decay), rtol=1e-6)


def test_gae_is_the_naive_sum_over_each_episode():
    rng = np.random.default_rng(0)
    n = 60
    r, v, v_next = rng.normal(size=(3, n))
    last = rng.random(n) < 0.15
    terminated = last & (rng.random(n) < 0.5)
    last[-1] = True
    for discount, trace in ((0.99, 0.95), (0.9, 0.0), (1.0, 1.0)):
        delta = r + discount * v_next * (1 - terminated) - v
        naive = np.zeros(n)
        for t in range(n):
            for k in range(t, n):
                naive[t] += (discount * trace) ** (k - t) * delta[k]
                if last[k]:
                    break
        np.testing.assert_allclose(gae(r, v, v_next, terminated, last, discount, trace), naive, atol=1e-5)


def test_running_out_of_time_bootstraps_and_termination_does_not():
    one, true, false = np.ones(1), np.ones(1, bool), np.zeros(1, bool)
    assert gae(one, 3 * one, 5 * one, false, true, 0.9, 0.95)[0] == pytest.approx(1 + 0.9 * 5 - 3)
    assert gae(one, 3 * one, 5 * one, true, true, 0.9, 0.95)[0] == pytest.approx(1 - 3)


# -- one update ----


def test_an_update_is_that_of_autograd_and_plain_adam():
    """The written-out passes, the one vector of parameters and fused Adam change speed only."""
    config = replace(SMALL, clip=0.1, actor_learning_rate=1e-3, entropy_weight=0.02, recovered="mask")
    agent, data = learner(config), rollout()
    fixed = agent.prepare(data)
    actor, value = copy.deepcopy(agent.actor), copy.deepcopy(agent.value)
    plain = {
        net: torch.optim.Adam(net.parameters(), lr=rate, eps=1e-5, foreach=False)
        for net, rate in ((actor, 1e-3), (value, config.critic_learning_rate))
    }
    draws = torch.Generator()
    draws.set_state(agent.generator.get_state())
    agent.update(data)
    for _ in range(config.epochs):
        for rows in torch.randperm(len(data), generator=draws).split(config.minibatch):
            log_rho = actor.log_prob(fixed.s[rows], fixed.a[rows]) - fixed.log_pi[rows]
            objective = fixed.weight[rows] * clipped_objective(log_rho, fixed.advantage[rows], config.clip)
            value_loss = (nn.Sequential.forward(value, fixed.s[rows])[:, 0] - fixed.returns[rows]).square().mean()
            losses = {actor: -objective.mean() - 0.02 * actor.entropy(), value: value_loss}
            for net, loss in losses.items():
                plain[net].zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), config.max_grad_norm)
                plain[net].step()
    for net, reference in ((agent.actor, actor), (agent.value, value)):
        for (name, one), two in zip(net.named_parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(one, two, atol=2e-6, rtol=1e-4, msg=lambda text, at=name: f"{at}: {text}")


def test_the_standard_deviation_stops_at_its_floor():
    agent = learner(replace(SMALL, initial_std=0.2, min_std=0.2, actor_learning_rate=0.1))
    data = rollout()
    mean = agent.policy.actions(data.observation, explore=False)
    agent.update(replace(data, proposed=mean, authority=np.zeros(32, np.int64)))  # the mean itself: sigma would shrink
    np.testing.assert_array_less(0.2 - 1e-6, agent.actor.log_std.detach().exp())


# -- what a step teaches ----


def test_which_action_is_stored():
    data = rollout()
    driven = (data.authority == Authority.POLICY)[:, None]
    executed = np.where(driven, data.proposed, data.action)
    for recovered, stored in (("store", executed), ("mask", executed), ("relabel", data.proposed)):
        agent = learner(replace(SMALL, recovered=recovered))
        fixed = agent.prepare(data)
        np.testing.assert_array_equal(fixed.a, stored)  # never clipped where the policy drove
        torch.testing.assert_close(fixed.log_pi, agent.actor.log_prob(fixed.s, torch.from_numpy(stored)).detach())
        share = driven.mean() if recovered == "mask" else 1.0
        np.testing.assert_allclose(fixed.weight, driven[:, 0] / share if recovered == "mask" else 1.0, rtol=1e-6)
    assert np.abs(data.proposed[driven[:, 0]]).max() > 1.0


def after(recovered: str, change: Callable[[Trajectories], Trajectories]) -> PPO:
    agent = learner(replace(SMALL, recovered=recovered, actor_learning_rate=1e-2))
    agent.update(change(rollout()))
    return agent


def at_recovered(data: Trajectories, array: Array) -> Array:
    """`array`, other numbers where the policy did not drive."""
    elsewhere = (data.authority != Authority.POLICY)[:, None]
    return np.where(elsewhere, 0.7 - array, array).astype(np.float32)


@pytest.mark.parametrize(("recovered", "executed", "proposed"), [("store", 1, 0), ("mask", 0, 0), ("relabel", 0, 1)])
def test_which_action_of_a_recovered_step_moves_the_actor(recovered, executed, proposed):
    plain = after(recovered, lambda data: data)
    other = after(recovered, lambda data: replace(data, action=at_recovered(data, data.action)))
    assert same(plain.actor, other.actor) is not bool(executed)
    other = after(recovered, lambda data: replace(data, proposed=at_recovered(data, data.proposed)))
    assert same(plain.actor, other.actor) is not bool(proposed)
    assert same(plain.value, other.value)


def test_a_masked_step_stays_in_value_and_advantages():
    agent, data = learner(replace(SMALL, recovered="mask")), rollout()
    step = int(np.flatnonzero((data.authority == Authority.ASSISTANT) & ~np.roll(data.last, 1))[0])
    richer = data.reward.copy()
    richer[step] += 1.0
    one, two = agent.prepare(data), agent.prepare(replace(data, reward=richer))
    assert two.returns[step] - one.returns[step] == pytest.approx(1.0, abs=1e-5)
    assert two.returns[step - 1] - one.returns[step - 1] == pytest.approx(0.99 * 0.95, abs=1e-5)


def test_an_actor_that_drove_nothing_stays_where_it_is():
    agent, data = learner(replace(SMALL, recovered="mask")), rollout()
    before = weights(agent.actor)
    metrics = agent.update(replace(data, authority=np.full(32, int(Authority.ASSISTANT))))
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(agent.actor), strict=True))
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_penalty_is_a_reward_less_lambda_costs():
    data = rollout()
    penalised = learner(replace(SMALL, cost_penalty=0.4)).prepare(data)
    shaped = learner().prepare(replace(data, reward=data.reward - np.float32(0.4) * data.cost))
    torch.testing.assert_close(penalised.advantage, shaped.advantage)
    torch.testing.assert_close(penalised.returns, shaped.returns)


def test_help_has_its_price_where_somebody_else_drove():
    data = rollout()
    helped = np.arange(32) % 3 == 0
    data = replace(data, authority=np.where(helped, int(Authority.ASSISTANT), int(Authority.POLICY)))
    priced = learner(replace(SMALL, help_penalty=0.4)).prepare(data)
    shaped = learner().prepare(replace(data, reward=data.reward - np.float32(0.4) * helped.astype(np.float32)))
    torch.testing.assert_close(priced.advantage, shaped.advantage)
    torch.testing.assert_close(priced.returns, shaped.returns)


def test_the_constraint_trades_cost_advantage_for_reward_advantage():
    data = rollout()
    agent = learner(replace(SMALL, cost_limit=0.1, initial_multiplier=2.0))
    fixed = agent.prepare(data)
    v, v_c = (agent.nets[name](fixed.s)[:, 0].detach() for name in ("value", "cost_value"))
    assert fixed.cost_returns is not None
    expected = standardised((fixed.returns - v) - 2.0 * (fixed.cost_returns - v_c))
    torch.testing.assert_close(fixed.advantage, expected, atol=1e-5, rtol=1e-4)


def test_the_multiplier_rises_over_the_limit_falls_under_it_and_stops_at_zero():
    data = rollout()
    J_C = float(data.cost.sum() / 4)
    agent = learner(replace(SMALL, cost_limit=J_C - 0.5, multiplier_learning_rate=0.2))
    metrics = agent.update(data)
    assert metrics["episode_cost"] == pytest.approx(J_C)
    assert metrics["multiplier"] == agent.multiplier == pytest.approx(0.1)
    assert agent.update(data, episode_cost=J_C - 0.6)["multiplier"] == pytest.approx(0.08)
    assert agent.update(data, episode_cost=0.0)["multiplier"] == 0.0


def test_the_actor_rests_once_the_kl_is_past_its_target():
    config = replace(SMALL, epochs=4, actor_learning_rate=3e-2, clip=0.9)
    free, bounded = learner(config), learner(replace(config, target_kl=1e-3))
    one_epoch = learner(replace(config, epochs=1))
    metrics = [agent.update(rollout()) for agent in (free, bounded, one_epoch)]
    assert metrics[1]["kl"] > 1e-3
    assert same(bounded.actor, one_epoch.actor) and not same(bounded.actor, free.actor)
    assert same(bounded.value, free.value)  # the critic goes on


def test_kl_and_clipping_are_estimated_over_draws_of_the_policy():
    data = rollout()
    away = replace(data, action=np.where((data.authority == Authority.ASSISTANT)[:, None], 50.0, data.action))
    config = replace(SMALL, actor_learning_rate=1e-2, max_grad_norm=1e9)
    for recovered in ("store", "mask", "relabel"):  # an action 100 sigma away overflows no estimate
        metrics = learner(replace(config, recovered=recovered)).update(away)
        assert 0.0 < metrics["kl"] < 1.0 and 0.0 < metrics["clipped"] < 1.0, recovered


# -- acting ----


def test_act_is_the_mean_and_explore_a_draw_that_is_not_clipped():
    agent = learner(replace(SMALL, initial_std=0.8))
    assert isinstance(agent, Policy)
    s = torch.from_numpy(OBSERVATION["state"])[None]
    mean = agent.actor.mean(s).detach().numpy()[0]
    proposal = agent.act(OBSERVATION)
    assert proposal.actions.shape == (1, 2) and proposal.actions.dtype == np.float32
    assert proposal.source is Authority.POLICY
    np.testing.assert_allclose(proposal.actions[0], mean, atol=1e-6)
    draws = np.array([agent.explore(OBSERVATION).actions[0] for _ in range(4_000)])
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(draws.std(0), 0.8, rtol=0.05)
    assert np.abs(draws).max() > 1.5
    many = agent.policy.actions({"state": np.tile(OBSERVATION["state"], (4_000, 1))}, explore=True)
    np.testing.assert_allclose(many.std(0), 0.8, rtol=0.05)


def test_acting_follows_every_update_and_every_load():
    agent = learner(replace(SMALL, actor_learning_rate=1e-2))
    fresh = agent.state()
    first = agent.act(OBSERVATION).actions
    agent.update(rollout())
    s = torch.from_numpy(OBSERVATION["state"])[None]
    assert not np.allclose(agent.act(OBSERVATION).actions, first)
    np.testing.assert_allclose(agent.act(OBSERVATION).actions, agent.actor.mean(s).detach(), atol=1e-6)
    agent.load_state(*fresh)
    np.testing.assert_array_equal(agent.act(OBSERVATION).actions, first)


def test_the_normaliser_comes_from_demonstrations_and_stays():
    agent, data = learner(), rollout()
    shifted = {"state": data.observation["state"] * 3.0 + 10.0}
    agent.fit_normaliser(replace(data, observation=shifted).batch())
    features = agent.encoder.encode(shifted)
    assert features.mean(0).abs().max() < 1e-4
    agent.update(data)
    assert torch.equal(agent.encoder.encode(shifted), features)


# -- determinism, resume, start ----


def cnn(generator: torch.Generator) -> CnnEncoder:
    return CnnEncoder({"images.front": (16, 16, 3)}, {"state": 3}, generator, CnnConfig((4, 4), (2, 2), 8))


VARIANTS = {
    "plain": (SMALL, {"state": 3}),
    "lagrangian, rests": (replace(SMALL, cost_limit=0.2, target_kl=0.01, recovered="mask"), {"state": 3}),
    "cnn": (replace(SMALL, entropy_weight=0.01), cnn),
}


def train(agent: PPO, steps: range) -> list[object]:
    """Everything that a run shows: metrics and explored actions."""
    trace: list[object] = []
    for i in steps:
        data = rollout(i)
        for side in (data.observation, data.next_observation):
            side["images.front"] = np.random.default_rng(i).integers(0, 256, (32, 16, 16, 3), np.uint8)
        trace.append(agent.update(data))
        trace.append(agent.explore({key: value[0] for key, value in data.observation.items()}).actions.tolist())
    return trace


@pytest.mark.parametrize("variant", VARIANTS)
def test_runs_are_fixed_by_their_seed_and_resume_bit_identically(variant, tmp_path: Path):
    config, encoder = VARIANTS[variant]
    unbroken, twin, other = (PPO(config, encoder, 2, seed) for seed in (1, 1, 2))
    unbroken.fit_normaliser(rollout(99).batch())
    twin.fit_normaliser(rollout(99).batch())
    first = train(unbroken, range(3))
    assert first == train(twin, range(3)) != train(other, range(3))
    checkpoint.save(tmp_path / "last", *unbroken.state())
    resumed = PPO(config, encoder, 2, seed=9)
    resumed.load_state(*checkpoint.load(tmp_path / "last"))
    assert train(unbroken, range(3, 6)) == train(resumed, range(3, 6))
    assert unbroken.updates == resumed.updates and same(unbroken.value, resumed.value)


def test_starting_from_another_learner_takes_actor_value_and_normaliser():
    source = learner(replace(SMALL, initial_std=0.1), seed=3)
    source.fit_normaliser(rollout(5).batch())
    source.update(rollout())
    agent = learner(replace(SMALL, initial_std=0.5, min_std=0.2, cost_limit=0.1), seed=4)
    agent.start_from(source)
    np.testing.assert_array_equal(agent.act(OBSERVATION).actions, source.act(OBSERVATION).actions)
    assert same(agent.value, source.value)
    np.testing.assert_allclose(agent.actor.log_std.detach().exp(), 0.2, rtol=1e-5)  # its own floor


# -- errors ----


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"minibatch": 0}, "minibatch 0 and epochs 10 must be at least 1: raise them"),
        ({"discount": 0.0}, r"discount 0.0 must be in \(0, 1\], trace 0.95 in \[0, 1\]: Uni-O4 uses 0.99, 0.95"),
        ({"clip": 1.5}, r"clip 1.5 is not in \(0, 1\): Uni-O4 uses 0.05"),
        ({"min_std": 0.6}, r"min_std 0.6 is not in \(0, 0.5\]: lower it, or raise initial_std"),
        ({"cost_limit": -1.0}, "cost_limit -1.0 must be at least 0: a cost is to be avoided"),
        ({"help_penalty": -0.1}, "help_penalty -0.1 must be at least 0: a cost is to be avoided"),
    ],
)
def test_error_config(change, text):
    with pytest.raises(InvalidValueError, match=text):
        PPOConfig(**change)


def test_error_recovered():
    with pytest.raises(UnknownNameError, match="unknown recovered 'masked': did you mean mask"):
        PPOConfig(recovered="masked")  # type: ignore[arg-type]


def test_error_checkpoint_of_another_learner():
    with pytest.raises(CheckpointError, match=r"checkpoint holds no PPO learner .*: pass a PPO checkpoint"):
        learner().load_state({}, {})


def test_error_start_from_another_shape():
    with pytest.raises(
        CheckpointError, match=r"of shape \(8, 3\), the network \(16, 3\): build it with the same config"
    ):
        learner().start_from(learner(replace(SMALL, hidden=(8, 8))))
