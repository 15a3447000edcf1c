"""RLPD updates a second against Stable-Baselines3's SAC, side by side on one thread.

Both: float32, two hidden layers of 256, two critics, batch 256, one critic, actor and temperature update for each
batch (UTD 1), sampling from a filled replay buffer included. RLPD has LayerNorm critics, tanh and the half-and-half
mix on top; SAC has ReLU and none of them. Repetitions alternate, so that a slower machine slows both; the ratio is the
median over pairs. `handrail_actor_every_2` is RLPD at HIL-SERL's default of one actor update in two, less work.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import gymnasium as gym
import numpy as np
from idle import Quiet, parser, report

from handrail.core.values import Array, Authority, Step, TakeoverCause
from handrail.learn.rlpd import RLPD, RLPDConfig
from handrail.nets import one_thread
from handrail.store.ring import ReplayRing
from handrail.store.samplers import sample_mixed

OBSERVATIONS, ACTIONS, TRANSITIONS, BATCH = 30, 5, 5_000, 256
TARGET = 1.25


class Still(gym.Env):
    """Spaces without dynamics."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (OBSERVATIONS,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Array, dict]:
        return np.zeros(OBSERVATIONS, np.float32), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict]:
        return np.zeros(OBSERVATIONS, np.float32), 0.0, False, False, {}


def handrail_updates(actor_every: int) -> Callable[[int], None]:
    """A function that runs n updates of RLPD."""
    rng = np.random.default_rng(0)
    online, demo = ReplayRing(TRANSITIONS), ReplayRing(TRANSITIONS)
    for ring in (online, demo):
        for _ in range(TRANSITIONS):
            ring.add(_step(rng))
    learner = RLPD(RLPDConfig(batch_size=BATCH, actor_every=actor_every), {"state": OBSERVATIONS}, ACTIONS, seed=0)

    def run(updates: int) -> None:
        for _ in range(updates):
            learner.update(sample_mixed(online, demo, BATCH, rng))

    return run


def sb3_updates() -> Callable[[int], None]:
    """A function that runs n updates of Stable-Baselines3's SAC."""
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import Logger

    rng = np.random.default_rng(0)
    policy = {"net_arch": [256, 256], "n_critics": 2}
    model = SAC(
        "MlpPolicy", Still(), batch_size=BATCH, policy_kwargs=policy, buffer_size=TRANSITIONS, seed=0, device="cpu"
    )
    model.set_logger(Logger(None, []))
    buffer = model.replay_buffer
    assert buffer is not None
    for _ in range(TRANSITIONS):
        step = _step(rng)
        buffer.add(
            np.asarray(step.observation["state"]),
            np.asarray(step.next_observation["state"]),
            step.action,
            np.array([step.reward]),
            np.array([step.terminated]),
            [{}],
        )
    return lambda updates: model.train(updates, BATCH)


def measure(functions: dict[str, Callable[[int], None]], updates: int, repetitions: int) -> dict[str, list[float]]:
    """Updates a second of each function, one entry a repetition, alternating."""
    rates: dict[str, list[float]] = {name: [] for name in functions}
    for run in functions.values():
        run(20)  # warm up
    for _ in range(repetitions):
        for name, run in functions.items():
            started = time.perf_counter()
            run(updates)
            rates[name].append(updates / (time.perf_counter() - started))
    return rates


def main() -> int:
    flags = parser((__doc__ or "").splitlines()[0])
    flags.add_argument("--updates", type=int, default=100, help="updates a repetition")
    flags.add_argument("--repetitions", type=int, default=11)
    options = flags.parse_args()
    one_thread()
    functions = {
        "handrail": handrail_updates(1),
        "sb3_sac": sb3_updates(),
        "handrail_actor_every_2": handrail_updates(2),
    }
    with Quiet(options) as quiet:
        rates = measure(functions, options.updates, 2 if options.smoke else options.repetitions)
    return report(summary(rates), quiet, options)


def summary(rates: dict[str, list[float]]) -> dict[str, object]:
    """Medians, and the median ratio over alternating pairs."""
    pairs = [ours / theirs for ours, theirs in zip(rates["handrail"], rates["sb3_sac"], strict=True)]
    ratio = statistics.median(pairs)
    return {
        "benchmark": "rlpd",
        "ratio": round(ratio, 3),
        "ratio_range": [round(min(pairs), 3), round(max(pairs), 3)],
        "target": TARGET,
        "updates_per_s": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "met": ratio >= TARGET,
    }


def _step(rng: np.random.Generator) -> Step:
    now, after = ({"state": rng.standard_normal(OBSERVATIONS, np.float32)} for _ in range(2))
    action = rng.uniform(-1, 1, ACTIONS).astype(np.float32)
    reward, ended = float(rng.random()), bool(rng.random() < 0.01)
    nobody = (None, None, Authority.POLICY, TakeoverCause.NONE)
    return Step(now, after, action, action, *nobody, 0.0, 0.0, 0.0, reward, 0.0, ended, False, ended, 0.0, 0.0)


if __name__ == "__main__":
    sys.exit(main())
