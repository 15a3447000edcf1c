"""Steps a second of the Panda environments against stock gym-hil, state observations, side by side.

Stock is `gym_hil/PandaPickCubeBase-v0` without Gymnasium's checkers. Everyone moves the tool by the same random
displacements [m] and resets after 100 steps; turns alternate, and a ratio is the median over turns. Stock recomputes
its impedance controller at each of its 49 physics steps (0.1 // 0.002 is 49 in floating point), ours at 100 Hz over 50.
"PickCube_500Hz" recomputes as often as stock does: the part of the ratio that is not from doing so less often.
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

import gym_hil  # noqa: F401 - registers the stock environments; both sides read MUJOCO_GL when MuJoCo is imported
import gymnasium as gym

from handrail.core.clock import SECOND_NS
from handrail.core.values import Array
from handrail.tasks import make
from handrail.tasks.physics import Tick

TARGET_RATIO = 2.0
HORIZON = 100
STEP_M = 0.025  # displacement of a unit action in PickCube


@dataclass
class Contender:
    """An environment, and how it is told to move the tool by a displacement."""

    env: gym.Env
    action: Callable[[Array, float], Array]  # displacement (3,) in units of STEP_M, gripper -> action (A,)

    def steps_per_s(self, steps: int, seed: int) -> float:
        """Step through whole episodes, resets included in nobody's time."""
        rng = np.random.default_rng(seed)
        spent_s, since_reset = 0.0, HORIZON
        for _ in range(steps):
            if since_reset == HORIZON:
                self.env.reset(seed=int(rng.integers(10_000, 2**31)))
                since_reset = 0
            action = self.action(rng.uniform(-1.0, 1.0, 3), float(rng.choice((-1.0, 0.0, 1.0))))
            started_s = time.perf_counter()
            _, _, terminated, _, _ = self.env.step(action)
            spent_s += time.perf_counter() - started_s
            since_reset = HORIZON if terminated else since_reset + 1
        return steps / spent_s


def contenders() -> dict[str, Contender]:
    """Build all that is compared; the first is stock."""
    stock = gym.make("gym_hil/PandaPickCubeBase-v0", disable_env_checker=True, random_block_position=True).unwrapped
    stock.close()  # the renderer that it opens at once; nobody renders here
    often = make("PickCube")
    often._control = Tick(SECOND_NS // 500, often.arm.act)
    plane = np.zeros(3)  # stock takes rotations too, and ignores them
    return {
        "gym_hil": Contender(stock, lambda move, grip: np.array([*(move * STEP_M), *plane, -grip], np.float32)),
        "PickCube": Contender(make("PickCube"), lambda move, grip: np.array([*move, grip], np.float32)),
        "PickCube_500Hz": Contender(often, lambda move, grip: np.array([*move, grip], np.float32)),
        "TubeInsertion": Contender(make("TubeInsertion"), lambda move, grip: np.array([*move, 0.0, grip], np.float32)),
    }


def measure(all_of_them: dict[str, Contender], turns: int, steps: int) -> dict[str, list[float]]:
    """Return steps a second by turn."""
    rates: dict[str, list[float]] = {name: [] for name in all_of_them}
    for turn in range(turns):
        for name, contender in all_of_them.items():
            rates[name].append(contender.steps_per_s(steps, seed=turn))
    return rates


def summary(rates: dict[str, list[float]]) -> dict[str, object]:
    """Return medians, and ratios to stock by the median over turns."""
    stock = rates["gym_hil"]
    ratios = {
        name: [ours / theirs for ours, theirs in zip(values, stock, strict=True)]
        for name, values in rates.items()
        if name != "gym_hil"
    }
    found = {name: round(statistics.median(values), 2) for name, values in ratios.items()}
    return {
        "benchmark": "env_speed",
        "ratio": found,
        "ratio_range": {name: [round(min(values), 2), round(max(values), 2)] for name, values in ratios.items()},
        "target": TARGET_RATIO,
        "met": min(found["PickCube"], found["TubeInsertion"]) >= TARGET_RATIO,
        "met_at_the_control_rate_of_stock": found["PickCube_500Hz"] >= TARGET_RATIO,
        "steps_per_s": {name: round(statistics.median(values), 1) for name, values in rates.items()},
    }


def main() -> int:
    flags = parser((__doc__ or "").splitlines()[0])
    flags.add_argument("--turns", type=int, default=9)
    flags.add_argument("--steps", type=int, default=200, help="of each environment in each turn")
    options = flags.parse_args()
    all_of_them = contenders()
    measure(all_of_them, turns=1, steps=20)  # warm up
    with Quiet(options) as quiet:
        rates = measure(all_of_them, 2 if options.smoke else options.turns, 50 if options.smoke else options.steps)
    return report(summary(rates), quiet, options)


if __name__ == "__main__":
    sys.exit(main())
