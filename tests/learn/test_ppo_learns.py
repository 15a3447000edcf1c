"""PPO solves toys whose optimum is known: points that reach a centre, and a constrained walk with its multiplier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from handrail.core.values import Array
from handrail.learn.ppo import PPO, PPOConfig
from handrail.store.trajectories import Trajectories


def reach(act: Callable[[Array], Array], seed: int, points: int = 64, steps: int = 10) -> Trajectories:
    """Points in a square that should be at its centre: x <- x + 0.2 a, reward -|x|; time runs out after `steps`."""
    x = np.random.default_rng(seed).uniform(-1, 1, (points, 2)).astype(np.float32)
    columns = []
    for _ in range(steps):
        a = act(x)
        after = x + np.float32(0.2) * a.clip(-1, 1)
        columns.append((x, after, a.clip(-1, 1), a, -np.linalg.norm(after, axis=1).astype(np.float32)))
        x = after
    stacked = [np.stack(column, 1).reshape(points * steps, -1) for column in zip(*columns, strict=True)]
    now, after, action, proposed, reward = stacked
    return Trajectories(
        {"state": now}, {"state": after}, action, proposed, reward[:, 0], np.zeros(len(now), np.float32),
        np.zeros(len(now), bool), np.arange(len(now)) % steps == steps - 1, np.zeros(len(now), np.int64),
    )  # fmt: skip


def test_points_find_the_centre():
    config = PPOConfig(
        hidden=(32, 32), minibatch=160, epochs=5, clip=0.2, actor_learning_rate=3e-3, critic_learning_rate=3e-3
    )
    agent = PPO(config, {"state": 2}, 2, seed=0)

    def score(act: Callable[[Array], Array]) -> float:
        return reach(act, seed=10_000).reward.sum() / 64

    optimum, before = score(lambda x: -x / np.float32(0.2)), score(lambda x: agent.policy.actions({"state": x}, False))
    for i in range(45):
        agent.update(reach(lambda x: agent.policy.actions({"state": x}, True), seed=i))
    after = score(lambda x: agent.policy.actions({"state": x}, False))
    assert (after - before) / (optimum - before) > 0.95


def test_the_multiplier_converges_to_that_of_a_known_cmdp():
    """Five steps a walk, reward v, P(cost) = v^2 / 2: max v subject to 5 (v^2 + sigma^2) / 2 <= d, lambda = 1 / v."""
    v, sigma, steps = 0.4, 0.1, 5
    limit = steps * 0.5 * (v**2 + sigma**2)
    config = PPOConfig(
        hidden=(8,), minibatch=250, epochs=2, clip=0.2, actor_learning_rate=1e-2, critic_learning_rate=1e-2,
        initial_std=sigma, min_std=sigma, cost_limit=limit, multiplier_learning_rate=0.1, initial_multiplier=1.0,
    )  # fmt: skip
    agent, rng = PPO(config, {"state": 1}, 1, seed=0), np.random.default_rng(0)
    n = 100 * steps
    last, nobody = np.arange(n) % steps == steps - 1, np.zeros(n, np.int64)
    state = {"state": np.zeros((n, 1), np.float32)}
    trace = []
    for _ in range(200):
        a = agent.policy.actions(state, explore=True)
        cost = (rng.random(n) < 0.5 * a[:, 0] ** 2).astype(np.float32)
        metrics = agent.update(Trajectories(state, state, a.clip(-1, 1), a, a[:, 0], cost, last, last, nobody))
        mean = agent.act({"state": state["state"][0]}).actions[0, 0]
        trace.append((metrics["multiplier"], metrics["episode_cost"], float(mean)))
    multiplier, episode_cost, mean = np.mean(trace[100:], axis=0)
    assert mean == pytest.approx(v, rel=0.1)
    assert episode_cost == pytest.approx(limit, rel=0.1)
    assert multiplier == pytest.approx(1.0 / v, rel=0.1)
