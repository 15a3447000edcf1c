"""Steps a second of FailureBench against the stock Meta-World environments underneath, side by side on one core.

Stock is the bare environment class with the goal visible, without Gymnasium's or Meta-World's wrappers. Everyone takes
the same random actions and is reset after as many steps as the task's cap; turns alternate, and a ratio is the median
over turns. The physics is the same, to the last bit (tests/tasks/test_failurebench.py): "physics" is the rate at which
MuJoCo alone makes the steps, the hand at rest: about what no environment can be faster than.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from idle import Quiet, parser, report

os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
from metaworld.envs.sawyer_push_v3 import SawyerPushEnvV3
from metaworld.envs.sawyer_push_wall_v3 import SawyerPushWallEnvV3
from metaworld.envs.sawyer_soccer_v3 import SawyerSoccerEnvV3

from handrail.core.values import Array
from handrail.tasks import make

TARGET_RATIO = 3.0
STOCK = {
    "BoundedPush": SawyerPushEnvV3,
    "BoundedSoccer": SawyerSoccerEnvV3,
    "FragilePushWall": SawyerPushWallEnvV3,
    "ObstructedPush": SawyerPushEnvV3,
}


@dataclass
class Contender:
    """Something that can be reset and takes an action (4,)."""

    reset: Callable[[], object]
    step: Callable[[Array], object]
    cap: int

    def steps_per_s(self, steps: int, seed: int) -> float:
        """Step through whole episodes, resets included in nobody's time."""
        actions = np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, 4)).astype(np.float32)
        spent_s = 0.0
        for start in range(0, steps, self.cap):
            self.reset()
            started_s = time.process_time()
            for action in actions[start : start + self.cap]:
                self.step(action)
            spent_s += time.process_time() - started_s
        return steps / spent_s


def contenders(name: str) -> dict[str, Contender]:
    """Stock, ours and the physics alone of one task."""
    ours, stock = make(name), STOCK[name]()
    stock._partially_observable, stock._freeze_rand_vec, stock._set_task_called = False, False, True
    model, data = ours.model, ours.data

    def physics(action: Array) -> None:
        mujoco.mj_step(model, data, nstep=5)
        mujoco.mj_forward(model, data)

    return {
        "stock": Contender(stock.reset, stock.step, ours.cap),
        "ours": Contender(ours.reset, ours.step, ours.cap),
        "physics": Contender(ours.reset, physics, ours.cap),
    }


def measure(turns: int, steps: int) -> dict[str, dict[str, list[float]]]:
    """Return steps a second by task, contender and turn."""
    rates: dict[str, dict[str, list[float]]] = {}
    for name in STOCK:
        side_by_side = contenders(name)
        for contender in side_by_side.values():
            contender.steps_per_s(20, seed=0)  # warm up
        rates[name] = {who: [] for who in side_by_side}
        for turn in range(turns):
            for who, contender in side_by_side.items():
                rates[name][who].append(contender.steps_per_s(steps, seed=turn))
    return rates


def summary(rates: dict[str, dict[str, list[float]]]) -> dict[str, object]:
    """Return medians, and ratios to stock by the median over turns."""
    ratios = {
        name: [ours / stock for ours, stock in zip(by["ours"], by["stock"], strict=True)] for name, by in rates.items()
    }
    found = {name: round(statistics.median(values), 2) for name, values in ratios.items()}
    return {
        "benchmark": "failurebench_speed",
        "ratio": found,
        "ratio_range": {name: [round(min(values), 2), round(max(values), 2)] for name, values in ratios.items()},
        "target": TARGET_RATIO,
        "met": min(found.values()) >= TARGET_RATIO,
        "steps_per_s": {
            name: {who: round(statistics.median(values), 1) for who, values in by.items()} for name, by in rates.items()
        },
    }


def main() -> int:
    flags = parser((__doc__ or "").splitlines()[0])
    flags.add_argument("--turns", type=int, default=9)
    flags.add_argument("--steps", type=int, default=250, help="of each environment in each turn")
    options = flags.parse_args()
    with Quiet(options) as quiet:
        rates = measure(3 if options.smoke else options.turns, 80 if options.smoke else options.steps)
    return report(summary(rates), quiet, options)


if __name__ == "__main__":
    sys.exit(main())
