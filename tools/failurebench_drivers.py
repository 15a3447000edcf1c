"""Who drives FailureBench by script: the table of docs/failurebench.md, measured.

    MUJOCO_GL=egl python tools/failurebench_drivers.py

Per task, env seeds 0 to 99, no pose noise: the expert alone; the wrong driver, until its first violation; and whether
the retreat prevents that, when it is handed the scene so many steps before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from handrail.core.values import Array
from handrail.systems.farl import TASKS
from handrail.tasks import make
from handrail.tasks.failurebench.corrupted import Corrupted
from handrail.tasks.failurebench.experts import expert_for
from handrail.tasks.failurebench.retreat import Retreat
from handrail.tasks.failurebench.sawyer import SawyerTask

SEEDS = range(100)
LEADS = (5, 10, 15)  # steps before the first violation
RETREAT_STEPS, HOLD_STEPS = 15, 10

Past = list[tuple[Any, Array]]
"""Snapshot and observation before each step, the last one in violation."""


def main() -> None:
    rows = ["| task | clean success | fails | steps | return | wrong driver fails | prevented 5 / 10 / 15 |"]
    rows.append("|---|---|---|---|---|---|---|")
    for name in TASKS:
        env = make(name)
        clean, failing, steps, earned = expertly(env, name)
        doomed = list(wrong_episodes(env, track(SEEDS, f"{name}, wrong driver")))
        shares = " / ".join(f"{np.mean([prevents(env, past, lead) for past in doomed]):.0%}" for lead in LEADS)
        expert = f"{clean:.0%} | {failing:.0%} | {steps:.0f} | {earned:.0f}"
        rows.append(f"| {name} | {expert} | {len(doomed) / len(SEEDS):.0%} | {shares} |")
    Console().print("\n".join(rows), markup=False, highlight=False, soft_wrap=True)


def expertly(env: SawyerTask, name: str) -> Array:
    """Share of clean successes, share of episodes with a violation, mean steps and return of the expert."""
    expert, rows = expert_for(env), []
    for seed in track(SEEDS, f"{name}, expert"):
        observation, info = env.reset(seed=seed)
        steps, earned, cost, ended = 0, 0.0, 0, False
        while not ended:
            observation, reward, terminated, truncated, info = env.step(expert.act(observation))
            steps, earned, cost, ended = steps + 1, earned + reward, cost + info["cost"], terminated or truncated
        rows.append((info["success"] and cost == 0, cost > 0, steps, earned))
    return np.mean(np.array(rows, float), 0)


def wrong_episodes(env: SawyerTask, seeds: Iterable[int]) -> Iterator[Past]:
    """The wrong driver's episodes that come to a violation, up to it."""
    driver = Corrupted(env)
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        driver.reset(seed)
        past: Past = [(env.snapshot(), observation)]
        ended, cost = False, 0
        while not (ended or cost):
            observation, _, terminated, truncated, info = env.step(driver.act(observation))
            past.append((env.snapshot(), observation))
            ended, cost = terminated or truncated, info["cost"]
        if cost:
            yield past


def prevents(env: SawyerTask, past: Past, lead: int) -> bool:
    """Whether the retreat, and holding after it, pass without a violation."""
    retreat = Retreat(env)
    snapshot, observation = past[max(0, len(past) - 1 - lead)]
    env.restore(snapshot)
    for count in range(RETREAT_STEPS + HOLD_STEPS):
        action = retreat.act(observation) if count < RETREAT_STEPS else env.hold(observation)
        observation, _, _, _, info = env.step(action)
        if info["cost"]:
            return False
    return True


if __name__ == "__main__":
    main()
