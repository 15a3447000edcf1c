"""How much faster than real time two simulated leader arms run, with the person who holds them and the guidance.

In turns, over the same stretches of an ordinary person's episodes: "loop", the 500 Hz loop of both arms (the person's
looks, plans and compliant hands, coupling, guidance at level 1, the leaders' physics) for one step of the task;
"task", what the task itself takes for that step, observation included; and "bare", as many of MuJoCo's steps of the
leaders alone.
"""

from __future__ import annotations

import sys
import time

import mujoco
import numpy as np
from idle import Quiet, parser, report

from handrail.assist.guidance import Guidance
from handrail.core.clock import SECOND_NS
from handrail.core.values import Array, StepView
from handrail.nets import one_thread
from handrail.operators.leaders import PERIOD_NS
from handrail.operators.replicas import SimulatedLeaders
from handrail.run.teleoperator import Teleoperator
from handrail.tasks import make
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.experts import ahead
from handrail.tasks.bimanual.kinematics import jacobian

TASKS = ("TransferCube", "PegInsertion", "LidOpen")  # rigid ones
LEAD_M, LEAD_RAD = 0.03, 0.25  # guidance pulls along the scripted intent, as the potential field does
TARGET = 1.0  # of real time


def measure(task: str, episodes: int, steps: int) -> dict[str, Array]:
    """Nanoseconds of each step of `steps`, of `episodes` episodes, by what takes them."""
    env: BimanualTask = make(task)
    person = Teleoperator(env, "ordinary", Guidance(jacobian=jacobian))
    alone = SimulatedLeaders()
    alone.reset(env.home)
    ticks = round(SECOND_NS / env.fps / PERIOD_NS)
    found: dict[str, list[int]] = {"loop": [], "task": [], "bare": []}
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        person.reset(episode)
        for step in range(steps):
            person.guide(ahead(env, env.waypoint(), LEAD_M, LEAD_RAD), 1.0)
            stamps = [time.perf_counter_ns()]
            action = person.intent(StepView(observation, None, step / env.fps)).action
            stamps.append(time.perf_counter_ns())
            observation, _, terminated, truncated, _ = env.step(np.asarray(action))
            stamps.append(time.perf_counter_ns())
            mujoco.mj_step(alone.model, alone.data, nstep=ticks)
            stamps.append(time.perf_counter_ns())
            for name, taken in zip(found, np.diff(stamps).tolist(), strict=True):
                found[name].append(taken)
            if terminated or truncated:
                break
    return {name: np.array(taken) for name, taken in found.items()}


def main() -> int:
    options = parser((__doc__ or "").splitlines()[0]).parse_args()
    one_thread()
    measure(TASKS[0], 1, 20)  # warm up
    tasks: dict[str, dict[str, float]] = {}
    with Quiet(options) as quiet:
        for task in TASKS:
            taken = measure(task, *((1, 25) if options.smoke else (4, 400)))
            real_ns = SECOND_NS / BimanualTask.fps
            whole = taken["loop"] + taken["task"]
            tasks[task] = {
                "loop_of_real_time": round(real_ns / float(taken["loop"].mean()), 2),
                "with_task_of_real_time": round(real_ns / float(whole.mean()), 2),
                "loop_of_bare_physics": round(float(taken["loop"].mean() / taken["bare"].mean()), 2),
                "loop_p99_ms": round(float(np.percentile(taken["loop"], 99)) * 1e-6, 3),
                "steps": len(whole),
            }
    met = all(one["loop_of_real_time"] > TARGET for one in tasks.values())
    result = {"benchmark": "leader_loop", "tasks": tasks, "target_of_real_time": TARGET, "met": met}
    return report(result, quiet, options)


if __name__ == "__main__":
    sys.exit(main())
