"""Is the simulated person a plausible one? Success of each tier alone, Fitts' law on a reach test, steps by cause.

python -m handrail.operators.validity [TASK ...]      prints one JSON object; development draws and env seeds only
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array, StepView, TakeoverCause
from handrail.operators.movement import Hand, Nerves
from handrail.operators.person import Person, Sight
from handrail.operators.traits import DEVELOPMENT_DRAWS, TIERS, draw_traits, tier_index

PERIOD_S = 0.1
REACH_STEP_M = 0.15  # per unit action: faster than any of them reaches, so that the hand is tested and not a robot
REACH_DISTANCES_M = (0.05, 0.1, 0.2, 0.3)
REACH_WIDTHS_M = (0.01, 0.02, 0.04)
REACH_LIMIT_S = 15.0
SUCCESS_DRAWS = 100
TIMID_SHARE = 0.6  # of the expert's motion: the driver whom the ordinary person watches
DROPOUT = 0.3  # chance per second that this driver does nothing for two seconds


def validity(tasks: Sequence[str], draws: int = SUCCESS_DRAWS) -> dict[str, Any]:
    """The figures that are printed with every table.

    Args:
        tasks: names of tasks.
        draws: people and env seeds 0 to draws - 1, at most 100.

    Returns:
        {"fitts": {tier: {"slope_s_per_bit", "intercept_s", "r2"}}, "tasks": {task: {"unassisted_success": {tier: rate},
        "operator_steps": share of all steps, "takeovers_per_episode", "steps_by_cause": {cause: share}}}}
    """
    if not 1 <= draws <= len(DEVELOPMENT_DRAWS):
        raise InvalidValueError(
            f"draws is {draws}, must be in [1, {len(DEVELOPMENT_DRAWS)}]: others are for evaluation"
        )
    return {"fitts": {tier: fitts(tier) for tier in TIERS}, "tasks": {task: _task(task, draws) for task in tasks}}


def _task(task: str, draws: int) -> dict[str, Any]:
    success = {tier: unassisted_success(task, tier, range(draws)) for tier in TIERS}
    return {"unassisted_success": success} | watching(task, range(draws))


def unassisted_success(task: str, tier: str, draws: Iterable[int]) -> float:
    """Success rate of this tier driving alone; draw n meets env seed n."""
    env, expert = _env_and_expert(task)
    person = Person(env, expert, tier, drives=True)
    successes = []
    for draw in draws:
        successes.append(_episode(env, person, draw, lambda: np.zeros(env.action_space.shape))[0])
    env.close()
    return float(np.mean(successes))


def watching(task: str, draws: Iterable[int], tier: str = "ordinary") -> dict[str, Any]:
    """What a person of this tier does beside a driver who is slow and now and then does nothing."""
    env, expert = _env_and_expert(task)
    person = Person(env, expert, tier)
    causes: Counter[TakeoverCause] = Counter()
    takeovers, episodes = 0, 0
    for draw in draws:
        _, happened = _episode(env, person, draw, timid_driver(expert.act, env.fps, draw))
        causes.update(happened)
        before = [TakeoverCause.NONE, *happened]
        takeovers += sum(
            was is TakeoverCause.NONE and now is not was for was, now in zip(before, happened, strict=False)
        )
        episodes += 1
    env.close()
    held = sum(count for cause, count in causes.items() if cause is not TakeoverCause.NONE)
    return {
        "operator_steps": held / max(1, causes.total()),
        "takeovers_per_episode": takeovers / max(1, episodes),
        "steps_by_cause": {
            cause.name: count / max(1, held)
            for cause, count in sorted(causes.items())
            if cause is not TakeoverCause.NONE
        },
    }


def timid_driver(act: Callable[[], Array], fps: int, seed: int) -> Callable[[], Array]:
    """A driver at `TIMID_SHARE` of the expert's motion that drops out for two seconds at a time."""
    rng = np.random.default_rng((seed, 0x71D))
    idle = 0

    def drive() -> Array:
        nonlocal idle
        begins = rng.random() < DROPOUT / fps
        idle = 2 * fps if idle == 0 and begins else max(0, idle - 1)
        action = act().astype(np.float64)
        action[:-1] *= 0.0 if idle else TIMID_SHARE
        action[-1] *= 0.0 if idle else 1.0
        return action.astype(np.float32)

    return drive


def _env_and_expert(task: str) -> tuple[Any, Any]:
    from handrail.tasks import make
    from handrail.tasks.hil.experts import expert_for

    env = make(task)
    return env, expert_for(env)


def _episode(env: Any, person: Person, draw: int, drive: Callable[[], Array]) -> tuple[bool, list[TakeoverCause]]:
    """One episode of env seed `draw` with the person `draw`: success, and why they held the robot in each step."""
    observation, _ = env.reset(seed=draw)
    person.reset(draw, episode=0)
    causes: list[TakeoverCause] = []
    while True:
        intent = person.intent(StepView(observation, None, len(causes) / env.fps))
        proposed = drive()
        action = proposed if intent is None or intent.action is None else intent.action
        observation, _, terminated, truncated, info = env.step(action)
        causes.append(TakeoverCause.NONE if intent is None else intent.cause)
        if terminated or truncated:
            return bool(info["success"]), causes


# -- Fitts' law --------------------------------------------------------------------------------------------------------


def fitts(tier: str, people: int = 20, trials: int = 5) -> dict[str, float]:
    """Regress the mean movement time of the tier on the index of difficulty log2(2 D / W) (Fitts 1954)."""
    difficulty, times = [], []
    for distance_m in REACH_DISTANCES_M:
        for width_m in REACH_WIDTHS_M:
            reached = [reach_s(draw, tier, distance_m, width_m, t) for draw in range(people) for t in range(trials)]
            difficulty.append(np.log2(2.0 * distance_m / width_m))
            times.append(np.mean(reached))
    slope, intercept = np.polyfit(difficulty, times, 1)
    residual = np.array(times) - (slope * np.array(difficulty) + intercept)
    r2 = 1.0 - float(np.var(residual) / np.var(times))
    return {"slope_s_per_bit": float(slope), "intercept_s": float(intercept), "r2": r2}


def reach_s(draw: int, tier: str, distance_m: float, width_m: float, trial: int = 0) -> float:
    """Time [s] until the hand of person `draw` stays within a ball of diameter `width_m` for 0.3 s.

    The person's own sight, hand and nerves move a point that follows at once; time is interpolated at the border.
    """
    traits = draw_traits(draw, tier)
    rng = np.random.default_rng((draw, tier_index(tier), 0xF1775, trial))
    sight, hand = Sight(traits, rng), Hand(traits, PERIOD_S)
    nerves = Nerves(traits, np.array([REACH_STEP_M] * 3), PERIOD_S, rng)
    direction = rng.standard_normal(3)
    goal = distance_m * direction / np.linalg.norm(direction)
    position, distances = np.zeros(3), [distance_m]
    hand.begin(np.zeros(4))
    while distances[-1] > 0.0 and len(distances) * PERIOD_S < REACH_LIMIT_S:
        seen = goal + sight.bias(distances[-1])[0]
        aim = hand.reference(np.append(position, 0.0), np.append(seen, 0.0))[:3]
        shift = (aim - position) / REACH_STEP_M
        shift /= max(1.0, float(np.abs(shift).max()))
        position = position + REACH_STEP_M * nerves.execute(np.append(shift, 0.0))[:3]
        distances.append(float(np.linalg.norm(goal - position)))
        if len(distances) > 3 and max(distances[-4:]) <= width_m / 2:
            break
    return _entered_s(distances, width_m / 2) + traits.delay_s


def _entered_s(distances: list[float], radius_m: float) -> float:
    """When the point last came within `radius_m` [s], between samples by linear interpolation."""
    outside = max((i for i, distance in enumerate(distances) if distance > radius_m), default=-1)
    if outside + 1 >= len(distances):
        return REACH_LIMIT_S
    before, after = distances[outside], distances[outside + 1]
    return PERIOD_S * (outside + (before - radius_m) / max(before - after, 1e-9))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(validity(sys.argv[1:] or ["PickCube", "TubeInsertion"]), indent=1) + "\n")
