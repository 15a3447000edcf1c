"""Every bimanual task: contract, determinism, snapshots, hidden goals, experts."""

from __future__ import annotations

import time

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from handrail.core.errors import InvalidValueError, NonFiniteError, UnknownNameError
from handrail.tasks import TASKS, make
from handrail.tasks.base import PoseNoise
from handrail.tasks.bimanual.experts import BimanualExpert, ahead, intent

NAMES = [name for name, entry in TASKS.items() if ".bimanual." in entry]
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module", params=NAMES)
def env(request: pytest.FixtureRequest):
    env = make(request.param)
    yield env
    env.close()


def roll(env, seed: int, goal: int | None = None):
    """Follow the expert to the end; return the last info, the last reward and the progress on the way."""
    env.reset(seed=seed, options=None if goal is None else {"goal": goal})
    expert, progress = BimanualExpert(env), []
    while True:
        if len(progress) % 10 == 0:
            progress.append(env.privileged().progress)
        else:
            progress.append(progress[-1])
        _, reward, terminated, truncated, info = env.step(expert.act())
        if terminated or truncated:
            return info, reward, [*progress, env.privileged().progress]


def test_gymnasium_contract(env) -> None:
    assert gym.spec(f"handrail/{env.name}-v0").entry_point
    check_env(env, skip_render_check=True)


def test_expert_succeeds_at_either_goal(env) -> None:
    """All hundred development seeds are in docs/bimanual.md; here one a goal, and its progress rises to the end."""
    for goal in range(env.goals):
        info, reward, progress = roll(env, SEEDS[goal], goal)
        assert info["success"] and reward == 1.0 and info["goal_reached"] == goal and env.failure_kind() == ""
        assert progress[0] < 0.35 and progress[-1] > 0.95
        assert np.mean(np.diff(progress) > -0.05) > 0.9


def test_the_intended_goal_is_nowhere_in_the_observation(env) -> None:
    """Same seed, other goal, same actions: not a bit differs."""
    seen, goals = [], []
    actions = np.random.default_rng(0).normal(0.0, 0.05, (10, 14))
    for goal in (0, 1):
        observation, _ = env.reset(seed=7, options={"goal": goal})
        goals.append(env.privileged().goal)
        observations = [observation] + [env.step(env.home + action)[0] for action in actions]
        seen.append([np.concatenate([o["state"], o["environment_state"]]) for o in observations])
    assert goals == [0, 1]
    assert np.array_equal(*seen)


def test_the_seed_draws_goal_place_mass_and_friction(env) -> None:
    drawn, goals = [], set()
    for seed in range(12):
        observation, _ = env.reset(seed=seed)
        again, _ = env.reset(seed=seed)
        assert all(np.array_equal(observation[key], again[key]) for key in observation)
        drawn.append(observation["environment_state"])
        goals.add(env.privileged().goal)
    assert goals == set(range(env.goals))
    assert np.ptp(drawn, axis=0).max() > 0.02


def test_a_shifted_goal_is_the_other_one_and_nothing_else_changes(env) -> None:
    drawn, _ = env.reset(seed=5)
    goal = env.goal
    other, _ = env.reset(seed=5, options={"goal_shift": 1})
    assert env.goal == (goal + 1) % env.goals
    assert all(np.array_equal(drawn[key], other[key]) for key in drawn)


def test_ahead_is_at_most_a_lead_away_on_the_straight_way(env) -> None:
    env.reset(seed=0)
    wanted = intent(env)
    joints = ahead(env, wanted, 0.05, 0.3)
    for side, waypoint in enumerate((wanted.left, wanted.right)):
        position, _ = env.arms[side].tool_pose(joints[7 * side : 7 * side + 6])
        way = waypoint.position - env.tool_position(side)
        moved, length = position - env.tool_position(side), float(np.linalg.norm(way))
        np.testing.assert_allclose(moved, way * min(1.0, 0.05 / max(length, 1e-12)), atol=2e-3)
        assert joints[7 * side + 6] == np.float32(waypoint.grip)


def test_snapshot_continues_bit_for_bit(env) -> None:
    """Also out of another episode, whose objects have another mass and friction."""
    env.reset(seed=1)
    expert = BimanualExpert(env)
    actions = []
    for _ in range(60):
        actions.append(expert.act())
        env.step(actions[-1])
    saved = env.snapshot()
    rest = [env.home + noise for noise in np.random.default_rng(0).normal(0.0, 0.05, (15, 14))]
    first = [env.step(action)[0] for action in rest]
    env.reset(seed=2)
    env.restore(saved)
    second = [env.step(action)[0] for action in rest]
    for key in ("state", "environment_state"):
        assert np.array_equal([o[key] for o in first], [o[key] for o in second])


def test_holding_stays_and_ends_as_truncation() -> None:
    env = make("TransferCube", horizon=30)
    observation, _ = env.reset(seed=3)
    before = env.data.site_xpos[[arm.site for arm in env.arms]].copy()
    for count in range(1, 31):
        observation, _, terminated, truncated, info = env.step(env.hold(observation))
        assert not terminated and truncated == (count == 30)
    assert np.abs(env.data.site_xpos[[arm.site for arm in env.arms]] - before).max() < 1e-3
    assert env.failure_kind() == "not_handed_over" and info == {"success": False, "cost": 0, "goal_reached": -1}


def test_holding_an_object_goes_on_squeezing_it() -> None:
    env = make("TransferCube")
    observation, _ = env.reset(seed=0)
    expert = BimanualExpert(env)
    while not (env.gripped(1, "cube") and env.position("cube")[2] > 0.1):
        observation = env.step(expert.act())[0]
    for _ in range(50):
        observation = env.step(env.hold(observation))[0]
    assert env.gripped(1, "cube") and env.position("cube")[2] > 0.09


def test_shifted_conditions_reach_the_physics() -> None:
    nominal, shifted = (
        make("TransferCube"),
        make("TransferCube", friction_scale=0.5, mass_scale=1.5, pose_range_scale=2.0),
    )
    for env in (nominal, shifted):
        env.reset(seed=4)
    cube, geom = nominal.model.body("cube").id, nominal.model.body("cube").geomadr[0]
    assert shifted.model.body_mass[cube] == pytest.approx(1.5 * nominal.model.body_mass[cube])
    assert shifted.model.geom_friction[geom] == pytest.approx(0.5 * nominal.model.geom_friction[geom])
    middle = np.array([0.18, 0.5])
    moved = [env.position("cube")[:2] - middle for env in (nominal, shifted)]
    np.testing.assert_allclose(moved[1], 2.0 * moved[0])


def test_learners_see_biased_objects_and_exact_arms() -> None:
    env, errors = make("TransferCube"), []
    for seed in range(40):
        observation, _ = env.reset(seed=seed)
        errors.append(observation["environment_state"][:3] - env.position("cube"))
        np.testing.assert_allclose(observation["state"][28:31], env.tool_position(0), atol=1e-6)
    assert 0.002 < np.std(errors) < 0.0045
    exact = make("TransferCube", noise=PoseNoise(0.0, 0.0))
    observation, _ = exact.reset(seed=0)
    np.testing.assert_allclose(observation["environment_state"][:3], exact.position("cube"), atol=1e-6)
    np.testing.assert_allclose(observation["environment_state"][3:6], exact.rotation("cube")[:, 0], atol=1e-6)


def test_intent_is_a_function_of_the_state(env) -> None:
    env.reset(seed=5)
    first, second = intent(env), intent(env)
    assert first.phase == second.phase
    assert np.array_equal(first.left.position, second.left.position)
    truth = env.privileged()
    expected = np.linalg.norm(first.right.position - env.tool_position(1))
    assert truth.goal_distances_m[1] == pytest.approx(expected)


def test_faster_than_real_time(env) -> None:
    """By the processor's own time: a step is 20 ms."""
    env.reset(seed=0)
    started = time.process_time()
    for _ in range(50):
        env.step(env.home)
    assert time.process_time() - started < 50 * 0.02


def test_bad_input_is_refused_in_one_line() -> None:
    env = make("TransferCube")
    env.reset(seed=0)
    with pytest.raises(NonFiniteError, match="action holds nan at index \\[0\\]"):
        env.step(np.full(14, np.nan))
    with pytest.raises(InvalidValueError, match="action has shape \\(2,\\), TransferCube takes \\(14,\\)"):
        env.step(np.zeros(2))
    with pytest.raises(InvalidValueError, match="goal is 5, TransferCube has 2: choose 0 to 1"):
        env.reset(options={"goal": 5})
    with pytest.raises(InvalidValueError, match="mass_scale is 0, must be above 0"):
        make("TransferCube", mass_scale=0)
    with pytest.raises(UnknownNameError, match="unknown camera 'frnt': did you mean front"):
        env.frame("frnt", 10, 10)


def test_cameras_show_something(env) -> None:
    env.reset(seed=0)
    for camera in ("front", "above"):
        image = env.frame(camera, 60, 80)
        assert image.shape == (60, 80, 3) and image.dtype == np.uint8 and image.std() > 10
