"""RLPD solves toy environments: a point on a line from state, a marker in 64x64 images through the CNN."""

from __future__ import annotations

import numpy as np
import torch

from handrail.core.values import Array, Authority, Observation
from handrail.learn.rlpd import RLPD, RLPDConfig
from handrail.nets import CnnConfig, CnnEncoder
from handrail.store.ring import ReplayRing
from handrail.store.samplers import sample_mixed


class Point:
    """A point on a line that must reach 0.5; sparse reward, 20 steps."""

    limit = 20

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def reset(self) -> Observation:
        self.x, self.t = self.rng.uniform(-1, 1), 0
        return self.observe()

    def observe(self) -> Observation:
        return {"state": np.array([self.x], np.float32)}

    def step(self, action: Array) -> tuple[Observation, bool, bool]:
        self.x, self.t = np.clip(self.x + 0.2 * float(action[0]), -1, 1), self.t + 1
        return self.observe(), bool(abs(self.x - 0.5) < 0.1), self.t == self.limit

    def expert(self) -> Array:
        return np.clip([5 * (0.5 - self.x) + self.rng.normal(0, 0.3)], -1, 1).astype(np.float32)


class Marker(Point):
    """Seen from above and centred on the tool: bring the tool to the bright square; sparse reward, 6 steps."""

    limit = 6

    def reset(self) -> Observation:
        self.offset, self.t = self.rng.uniform(-0.8, 0.8, 2), 0
        return self.observe()

    def observe(self) -> Observation:
        row, column = np.clip(32 + 28 * self.offset, 4, 59).astype(int)
        image = np.zeros((64, 64, 3), np.uint8)
        image[row - 4 : row + 5, column - 4 : column + 5] = 255
        return {"images.front": image}

    def step(self, action: Array) -> tuple[Observation, bool, bool]:
        self.offset, self.t = np.clip(self.offset - 0.4 * action, -1, 1), self.t + 1
        return self.observe(), bool(np.abs(self.offset).max() < 0.25), self.t == self.limit

    def expert(self) -> Array:
        return np.clip(2.5 * self.offset + self.rng.normal(0, 0.2, 2), -1, 1).astype(np.float32)


def episode(env: Point, act, record=None) -> bool:
    """Run one episode; `record(now, action, after, terminated, truncated)` sees every step."""
    now, terminated, truncated = env.reset(), False, False
    while not (terminated or truncated):
        action = act(now)
        after, terminated, truncated = env.step(action)
        if record is not None:
            record(now, action, after, terminated, truncated)
        now = after
    return terminated


def solve(env: Point, agent: RLPD, make_step, episodes: int, utd: int) -> float:
    """Twenty demonstrations, then `episodes` of online training; the success rate of the mean action afterwards."""
    online, demo, rng = ReplayRing(5_000), ReplayRing(5_000), np.random.default_rng(0)

    def keep(now, action, after, terminated, truncated) -> None:
        demo.add(make_step(now, after, action, float(terminated), terminated, truncated, Authority.OPERATOR))

    def learn(now, action, after, terminated, truncated) -> None:
        online.add(make_step(now, after, action, float(terminated), terminated, truncated))
        agent.update(sample_mixed(online, demo, agent.config.batch_size, rng, utd))

    for _ in range(20):
        episode(env, lambda _: env.expert(), keep)
    agent.fit_normaliser(demo.all())
    for _ in range(episodes):
        episode(env, lambda now: agent.explore(now).actions[0], learn)
    return float(np.mean([episode(env, lambda now: agent.act(now).actions[0]) for _ in range(50)]))


def test_a_point_on_a_line_from_state(make_step):
    config = RLPDConfig(batch_size=64, hidden=(64, 64), learning_rate=1e-3, tau=0.02, discount=0.9)
    agent = RLPD(config, {"state": 1}, 1, seed=0)
    env = Point(np.random.default_rng(0))
    before = np.mean([episode(env, lambda now: agent.act(now).actions[0]) for _ in range(50)])
    assert before < 0.5
    assert solve(env, agent, make_step, episodes=80, utd=2) >= 0.95


def test_a_marker_in_64x64_images_through_the_cnn(make_step):
    def encoder(generator: torch.Generator) -> CnnEncoder:
        return CnnEncoder({"images.front": (64, 64, 3)}, {}, generator, CnnConfig((8, 16, 16), (4, 2, 2), 32))

    config = RLPDConfig(batch_size=32, hidden=(64, 64), learning_rate=1e-3, tau=0.02, discount=0.9)
    agent = RLPD(config, encoder, 2, seed=0)
    env = Marker(np.random.default_rng(0))
    before = np.mean([episode(env, lambda now: agent.act(now).actions[0]) for _ in range(50)])
    assert before < 0.5
    assert solve(env, agent, make_step, episodes=200, utd=1) >= 0.8
