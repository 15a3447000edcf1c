"""What FARL costs: one decision (C_H, trigger), and environment steps a second of the online phase, PPO included.

The decision is measured at batch 1 over the default world model with H = 20; the peer is the same rollout written in
torch, measured in turns. The online phase runs as the table's does, eight environments side by side on one core, beside
`ppo`, which nobody watches: what is left of the ratio is watching and helping. Both share a small offline phase, which
is not measured; the trigger's rule sees to it that help is about as frequent as in the table.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from idle import Quiet, parser, report

from handrail.assist import Threshold
from handrail.assist.imagination import mean_of
from handrail.assist.world_model import WorldModelMonitor
from handrail.core.values import Array
from handrail.learn.ppo import PPO, PPOConfig
from handrail.learn.world_model import WorldModel, WorldModelConfig
from handrail.nets import one_thread
from handrail.systems import farl, farl_offline
from handrail.systems.farl_data import ACTIONS, FEATURES

TARGET_P99_MS, TARGET_STEPS_S = 2.0, 800.0
HORIZON, GAMMA_RISK, STATE = 20, 0.95, 39
TASK, RUN_SEED = "BoundedPush", 100
Decide = Callable[[dict[str, Array], Array], object]


def decisions() -> dict[str, Decide]:
    """One decision: by the monitor as it runs, and by the same rollout in torch."""
    model = WorldModel(WorldModelConfig(), FEATURES, ACTIONS, seed=0)
    actor = PPO(PPOConfig(), FEATURES, ACTIONS, seed=0).actor
    monitor = WorldModelMonitor(model, mean_of(actor), HORIZON, GAMMA_RISK)
    trigger = Threshold(0.1, 0.1, min_steps=2)
    discounts = GAMMA_RISK ** torch.arange(HORIZON + 1)

    def decide(observation: dict[str, Array], action: Array) -> object:
        return trigger.update(monitor.assess(observation, action))

    @torch.inference_mode()
    def in_torch(observation: dict[str, Array], action: Array) -> object:
        z = model.encoder.encode({"state": observation["state"][None]})
        a, risk = torch.from_numpy(action)[None].clamp(-1.0, 1.0), torch.zeros(1)
        for i in range(HORIZON + 1):
            risk += discounts[i] * model.nets.probability(z, a)
            z = model.nets.next(z, a)
            a = actor.mean(z)
        return float(risk)

    return {"monitor": decide, "torch": in_torch}


def latencies(kinds: dict[str, Decide], count: int) -> dict[str, Array]:
    """Milliseconds of `count` decisions of each kind, in turns."""
    rng = np.random.default_rng(0)
    found = {kind: np.empty(count) for kind in kinds}
    for i in range(count):
        observation = {"state": rng.standard_normal(STATE, np.float32)}
        action = rng.standard_normal(ACTIONS, np.float32)
        for kind, decide in kinds.items():
            started_ns = time.perf_counter_ns()
            decide(observation, action)
            found[kind][i] = 1e-6 * (time.perf_counter_ns() - started_ns)
    return found


def online(built: farl_offline.Artefacts, rounds: int) -> dict[str, float]:
    """Environment steps a second of `rounds` rounds of each method, in turns; and the share of helped steps."""
    trainings = {name: farl.Training(TASK, name, RUN_SEED, farl.FarlConfig(), built) for name in ("ppo", "farl")}
    taken_s, helped = dict.fromkeys(trainings, 0.0), 0
    for _ in range(rounds):
        for name, training in trainings.items():
            started_s = time.perf_counter()
            steps = [step for *_, episode in training.round() for step in episode]
            taken_s[name] += time.perf_counter() - started_s
            helped += sum(step.assist_level > 0.0 for step in steps)
    rates = {f"{name}_steps_s": round(training.steps / taken_s[name], 1) for name, training in trainings.items()}
    return {**rates, "helped": round(helped / trainings["farl"].steps, 4)}


def main() -> int:
    flags = parser((__doc__ or "").splitlines()[0])
    flags.add_argument("--decisions", type=int, default=20_000, help="of each kind")
    flags.add_argument("--rounds", type=int, default=8, help="of the online phase, about 2,000 steps each")
    options = flags.parse_args()
    one_thread()
    kinds = decisions()
    latencies(kinds, 200)  # warm up
    with tempfile.TemporaryDirectory() as folder:
        config = farl.BUDGETS["smoke"].offline
        built = farl_offline.build(TASK, RUN_SEED, config, Path(folder), lambda line: print(line, file=sys.stderr))
    with Quiet(options) as quiet:
        found = latencies(kinds, 300 if options.smoke else options.decisions)
        rates = online(built, 1 if options.smoke else options.rounds)
    percentiles = {kind: np.percentile(taken_ms, (50, 99)).round(4).tolist() for kind, taken_ms in found.items()}
    result = {
        "benchmark": "farl_speed",
        "decisions": {kind: {"p50_ms": p50, "p99_ms": p99} for kind, (p50, p99) in percentiles.items()},
        "torch_over_monitor": round(float(np.median(found["torch"] / found["monitor"])), 2),
        "target_p99_ms": TARGET_P99_MS,
        "met_p99": percentiles["monitor"][1] <= TARGET_P99_MS,
        "online": rates,
        "target_steps_s": TARGET_STEPS_S,
        "met_steps_s": rates["farl_steps_s"] >= TARGET_STEPS_S,
    }
    return report(result, quiet, options)


if __name__ == "__main__":
    sys.exit(main())
