"""The expert's value: close to the steps that it then needs, lower for what does harm, and asking changes nothing."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from handrail.core.errors import InvalidValueError
from handrail.core.values import StepView, TakeoverCause
from handrail.operators import ExpertValue, StepsToGo, ValueTakeover
from handrail.tasks import make
from handrail.tasks.hil.experts import expert_for

DISCOUNT, RATIO = 0.98, 0.97


@pytest.fixture(scope="module", params=("PickCube", "TubeInsertion"))
def scene(request: pytest.FixtureRequest):
    """A task, its expert, and the expert's value."""
    env = make(request.param)
    expert = expert_for(env)
    yield env, expert, ExpertValue(env, expert, DISCOUNT, StepsToGo.of(env, expert, range(4)))
    env.close()


def test_steps_to_go_fall_and_are_linear_between_knots() -> None:
    progress = np.repeat([0.0, 0.5, 0.6, 1.0], 25)
    steps = np.repeat([30.0, 10.0, 12.0, 2.0], 25)  # 12 after 10: not along the task
    to_go = StepsToGo(progress, steps)
    assert [to_go(at) for at in (-1.0, 0.0, 0.25, 0.5, 0.6, 0.8, 1.0, 2.0)] == pytest.approx(
        [30, 30, 20, 10, 10, 6, 2, 2]
    )


def test_value_is_that_of_the_steps_which_the_expert_then_needs(scene) -> None:
    env, expert, value = scene
    env.reset(seed=50)
    estimates, done = [], False
    while not done:
        action = expert.act()
        estimates.append(np.log(value({}, action)) / np.log(DISCOUNT))
        _, _, done, _, info = env.step(action)
    assert info["success"]
    error = np.array(estimates) - np.arange(len(estimates), 0, -1)
    assert np.abs(error).mean() < 1.0 and np.abs(error).max() < 4.0
    assert estimates[-1] == pytest.approx(1.0)  # within the look-ahead it is exact


def test_asking_changes_nothing(scene) -> None:
    env, _, value = scene
    actions = np.random.default_rng(0).uniform(-1, 1, (12, *env.action_space.shape)).astype(np.float32)

    def roll(ask: bool) -> list[np.ndarray]:
        seen = [env.reset(seed=7)[0]]
        for action in actions:
            if ask:
                value({}, -action)
            seen.append(env.step(action)[0])
        return [value for one in seen for value in one.values()]

    assert all(np.array_equal(asked, alone) for asked, alone in zip(roll(True), roll(False), strict=True))


def test_harm_is_worse_and_dawdling_is_not(scene) -> None:
    """A lost step costs 2 %, and worse than the expert begins at 3 %."""
    env, expert, value = scene
    env.reset(seed=51)
    rows, done = [], False
    while not done:
        action = expert.act()
        back, hand = np.append(-action[:-1], action[-1]), np.append(action[:-1], -action[-1])
        rows.append([value({}, tried) / value({}, action) for tried in (env.hold({}), back, hand)])
        done = env.step(action)[2]
    dawdling, backing, fumbling = np.mean(np.array(rows) < RATIO, axis=0)
    assert dawdling < 0.2 < backing and fumbling > 0.3
    assert np.median(rows, axis=0)[1] < np.median(rows, axis=0)[0] < 1.0


def test_after_a_failure_there_is_no_value() -> None:
    env = make("PickCube")
    expert = expert_for(env)
    value = ExpertValue(env, expert, DISCOUNT, StepsToGo(np.array([0.0, 1.0]), np.array([20.0, 0.0])))
    env.reset(seed=0)
    env.object_position[:2] += 0.5
    mujoco.mj_forward(env.model, env.data)
    assert value({}, env.hold({})) == 0.0
    env.close()


def test_an_expert_that_never_succeeds_has_none() -> None:
    env = make("PickCube", horizon=3)
    with pytest.raises(InvalidValueError, match="the expert succeeds in 0 of 2 episodes: its value needs one at least"):
        StepsToGo.of(env, expert_for(env), range(2))
    env.close()


def test_take_over_by_this_value(scene) -> None:
    """Beside the expert itself only by chance; beside somebody who backs away at almost every step, and it succeeds."""
    env, expert, value = scene

    def causes(proposed) -> tuple[list[TakeoverCause], bool]:
        operator = ValueTakeover(value, lambda _: expert.act(), proposed)
        observation, _ = env.reset(seed=52)
        operator.reset(1)
        seen, done, info = [], False, {"success": False}
        while not done:
            intent = operator.intent(StepView(observation, None, 0.0))
            seen.append(TakeoverCause.NONE if intent is None else intent.cause)
            action = proposed(observation) if intent is None else intent.action
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        return seen, info["success"]

    beside_itself, success = causes(lambda _: expert.act())
    assert success and TakeoverCause.DANGER not in beside_itself
    beside_a_coward, success = causes(lambda _: np.append(-expert.act()[:-1], 1.0).astype(np.float32))
    assert success and np.mean([cause is TakeoverCause.DANGER for cause in beside_a_coward]) > 0.5
