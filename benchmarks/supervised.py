"""What `handrail.Supervised` costs a step, with a monitor of the state.

The environment is timed inside, the wrapped step outside; their difference, step by step, is the overhead. A wrapper
that only passes on is measured in turns with it, so that what the measurement itself costs is seen too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from idle import Quiet, parser, report

from handrail import Supervised, Supervisor
from handrail.core.contracts import single
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal, Step
from handrail.tasks import make

TARGET_P99_MS = 0.2
WIDTH = 256


class Timed(gym.Wrapper):
    """Notes how long the environment itself takes."""

    inside_ns = 0

    def step(self, action: Array) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        started_ns = time.perf_counter_ns()
        result = self.env.step(action)
        self.inside_ns = time.perf_counter_ns() - started_ns
        return result


class Network:
    """A monitor as learned ones are: two hidden layers over state, object and action."""

    def __init__(self, inputs: int) -> None:
        rng = np.random.default_rng(0)
        sizes = (inputs, WIDTH, WIDTH, 1)
        pairs = pairwise(sizes)
        self._layers = [(rng.standard_normal(pair) / np.sqrt(pair[0])).astype(np.float32) for pair in pairs]

    def reset(self) -> None:
        """It has no memory."""

    def assess(self, observation: Observation, action: Array) -> Assessment:
        x = np.concatenate((observation["state"], observation["environment_state"], action))
        for layer in self._layers[:-1]:
            x = np.maximum(x @ layer, 0.0)
        value = float(1.0 / (1.0 + np.exp(-(x @ self._layers[-1])[0])))
        return Assessment(risk=1.0 - value, value=value)

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return [self.assess(step.observation, step.action) for step in episode]


@dataclass
class Alternating:
    """Helps in ten steps of every twenty, or never."""

    helps: bool
    _step: int = 0

    def reset(self) -> None:
        self._step = 0

    def update(self, assessment: Assessment) -> float:
        self._step += 1
        return float(self.helps and self._step // 10 % 2)


@dataclass
class Stay:
    """A recovery that does not move."""

    action: Array = field(default_factory=lambda: np.zeros(4, np.float32))

    def reset(self) -> None:
        """It has no memory."""

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal | None:
        return single(self.action, Authority.ASSISTANT)


class Overhead:
    """Steps one wrapped environment and collects what its wrapper costs."""

    def __init__(self, inner: Timed, outer: gym.Env) -> None:
        self.inner, self.outer = inner, outer
        self.samples_ns: list[int] = []
        self._rng = np.random.default_rng(0)

    def episode(self, seed: int) -> None:
        self.outer.reset(seed=seed)
        done = False
        while not done:
            action = self._rng.uniform(-1.0, 1.0, 4).astype(np.float32)
            started_ns = time.perf_counter_ns()
            _, _, terminated, truncated, _ = self.outer.step(action)
            self.samples_ns.append(time.perf_counter_ns() - started_ns - self.inner.inside_ns)
            done = terminated or truncated

    def percentiles_ms(self) -> dict[str, float]:
        p50, p99 = np.percentile(np.array(self.samples_ns) * 1e-6, (50, 99))
        return {"p50_ms": round(float(p50), 4), "p99_ms": round(float(p99), 4), "steps": len(self.samples_ns)}


def wrapped(kind: str) -> Overhead:
    """Build one of the things to measure: "passing", "watching" or "assisting"."""
    inner = Timed(make("PickCube"))
    if kind == "passing":
        return Overhead(inner, gym.Wrapper(inner))
    spaces = inner.observation_space
    inputs = sum(int(np.prod(space.shape)) for space in spaces.values()) + 4  # type: ignore[attr-defined]
    supervisor = Supervisor(Network(inputs), Alternating(kind == "assisting"), Stay())
    return Overhead(inner, Supervised(inner, supervisor))


def main() -> int:
    flags = parser((__doc__ or "").splitlines()[0])
    flags.add_argument("--episodes", type=int, default=50, help="of 100 steps, for each kind")
    options = flags.parse_args()
    kinds = {kind: wrapped(kind) for kind in ("passing", "watching", "assisting")}
    for overhead in kinds.values():
        overhead.episode(seed=0)
        overhead.samples_ns.clear()
    with Quiet(options) as quiet:
        for seed in range(2 if options.smoke else options.episodes):
            for overhead in kinds.values():
                overhead.episode(seed)
    found = {kind: overhead.percentiles_ms() for kind, overhead in kinds.items()}
    met = found["watching"]["p99_ms"] <= TARGET_P99_MS
    result = {"benchmark": "supervised", "overhead": found, "target_p99_ms": TARGET_P99_MS, "met": met}
    return report(result, quiet, options)


if __name__ == "__main__":
    sys.exit(main())
