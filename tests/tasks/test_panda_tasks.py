"""Every Panda task: contract, determinism, snapshots, experts, and that the failures it names really occur."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from handrail.core.errors import InvalidValueError, NonFiniteError, UnknownNameError
from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS
from handrail.tasks import make
from handrail.tasks.hil.experts import expert_for
from handrail.tasks.hil.tube_insertion import CLEARANCE_M, HOLE, TUBE_RADIUS_M


@pytest.fixture(scope="module", params=("PickCube", "TubeInsertion"))
def env(request: pytest.FixtureRequest):
    env = make(request.param)
    yield env
    env.close()


def roll(env, seed: int, steps: int = 100):
    """Follow the expert; return the last info and how many steps it took."""
    env.reset(seed=seed)
    expert = expert_for(env)
    for count in range(1, steps + 1):
        _, reward, terminated, truncated, info = env.step(expert.act())
        if terminated or truncated:
            return info, reward, count
    return info, reward, count


def test_gymnasium_contract(env) -> None:
    assert gym.spec(f"handrail/{env.name}-v0").entry_point
    check_env(env, skip_render_check=True)


def test_expert_succeeds_on_development_seeds(env) -> None:
    """All hundred are run by the benchmark of the experts; here every tenth."""
    results = [roll(env, seed) for seed in DEVELOPMENT_ENV_SEEDS[::10]]
    assert all(info["success"] and reward == 1.0 for info, reward, _ in results)


def test_reset_by_seed_places_the_object(env) -> None:
    first = env.reset(seed=5)[0]
    again = env.reset(seed=5)[0]
    other = env.reset(seed=6)[0]
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert np.abs(first["environment_state"] - other["environment_state"]).max() > 0.01


def test_snapshot_continues_bit_for_bit(env) -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (20, *env.action_space.shape)).astype(np.float32)
    env.reset(seed=1)
    for action in actions[:10]:
        env.step(action)
    saved = env.snapshot()
    first = [env.step(action)[0]["state"] for action in actions[10:]]
    env.restore(saved)
    assert np.array_equal(first, [env.step(action)[0]["state"] for action in actions[10:]])


def test_time_runs_out_as_truncation(env) -> None:
    env.reset(seed=2)
    for count in range(1, 101):
        _, _, terminated, truncated, info = env.step(env.hold({}))
        assert not terminated
        assert truncated == (count == 100)
    assert env.failure_kind() == "not_grasped"
    assert info == {"success": False, "cost": 0}


def test_holding_keeps_the_tool_within_a_millimetre(env) -> None:
    env.reset(seed=3)
    before = env.tool_position.copy()
    for _ in range(20):
        env.step(env.hold({}))
    assert np.abs(env.tool_position - before).max() < 1e-3


def test_progress_rises_along_the_expert(env) -> None:
    env.reset(seed=4)
    expert, progress = expert_for(env), []
    for _ in range(100):
        progress.append(env.privileged().progress)
        if env.step(expert.act())[2]:
            break
    assert progress[0] < 0.3 and env.privileged().progress > 0.95
    assert np.mean(np.diff(progress) > -0.02) > 0.9


def test_learners_see_a_biased_pose(env) -> None:
    """The bias is the episode's: it stays while the jitter averages out."""
    biases = []
    for seed in range(30):
        observation, _ = env.reset(seed=seed)
        biases.append(observation["environment_state"][:3] - env.object_position)
    assert 0.002 < np.std(biases) < 0.0045


def test_bad_actions_are_refused_in_one_line(env) -> None:
    env.reset(seed=0)
    with pytest.raises(NonFiniteError, match="action holds nan at index \\[0\\]"):
        env.step(np.full(env.action_space.shape, np.nan, np.float32))
    with pytest.raises(InvalidValueError, match="action has shape \\(2,\\)"):
        env.step(np.zeros(2, np.float32))


def test_unknown_names_answer_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'PickCubes': did you mean PickCube"):
        make("PickCubes")
    with pytest.raises(UnknownNameError, match="unknown camera 'wirst': did you mean wrist"):
        make("TubeInsertion", cameras=("wirst",))


def test_cameras_show_something() -> None:
    env = make("TubeInsertion", cameras=("front", "wrist"))
    observation, _ = env.reset(seed=0)
    for camera in ("front", "wrist"):
        image = observation[f"images.{camera}"]
        assert image.shape == (128, 128, 3) and image.dtype == np.uint8 and image.std() > 10
    env.close()


def test_pick_cube_moves_as_stock() -> None:
    """The same commands move the tool as gym-hil's own 500 Hz controller does, within 2 mm over 6 seconds."""
    import mujoco

    env = make("PickCube")
    stock = env.stock
    env.reset(seed=1)
    from gym_hil.envs import PandaPickCubeGymEnv

    other = PandaPickCubeGymEnv()
    other.reset(seed=1)
    other.data.qpos[:] = env.data.qpos
    mujoco.mj_forward(other.model, other.data)
    assert stock.model.nq == other.model.nq
    rng, apart = np.random.default_rng(0), []
    for _ in range(60):
        action = np.append(rng.uniform(-1, 1, 3), 0.0).astype(np.float32)
        env.step(action)
        other.apply_action(np.array([*(action[:3] * env.action_scale), 0, 0, 0, 0]))
        apart.append(np.abs(env.tool_position - other.data.site("pinch").xpos).max())
    assert max(apart) < 2e-3


def tube() -> object:
    env = make("TubeInsertion")
    env.reset(seed=0)
    return env


def carried_to(env, above: np.ndarray, height_m: float) -> None:
    """Let the expert take the tube, then bring its tip over `above` (2,) at `height_m`."""
    expert = expert_for(env)
    for _ in range(60):
        if env.phase() in ("carry", "insert"):
            break
        env.step(expert.act())
    for _ in range(40):
        shift = np.array([*(above - env.tip[:2]), height_m - env.tip[2]])
        env.step(env.action_toward(env.tool_position + shift, env.tool_yaw, -1.0))


def test_hole_is_as_tight_as_said() -> None:
    env = tube()
    walls = [env.model.geom(f"wall{side}") for side in range(8)]
    inner = [np.linalg.norm(wall.pos[:2]) - wall.size[0] for wall in walls]
    assert np.allclose(inner, TUBE_RADIUS_M + CLEARANCE_M)


@pytest.mark.parametrize("aside", [(0.022, 0.0), (0.0, 0.022), (0.0, -0.022)])
def test_tube_gets_stuck_on_the_rim(aside: tuple[float, float]) -> None:
    env, forces = tube(), []
    carried_to(env, HOLE + aside, 0.07)
    while True:
        over_there = np.array([*(env.tool_position[:2] + HOLE + aside - env.tip[:2]), env.tool_position[2] - 0.015])
        _, _, terminated, truncated, info = env.step(env.action_toward(over_there, env.tool_yaw, -1.0))
        forces.append(env.privileged().contact_force_n)
        if terminated or truncated:
            break
    assert env.failure_kind() == "stuck" and not info["success"]
    assert max(forces) > 1.0


def test_tube_drops_and_ends_the_episode_with_cost() -> None:
    env = tube()
    carried_to(env, HOLE + (0.08, 0.0), 0.09)
    for _ in range(30):
        _, _, terminated, _, info = env.step(env.action_toward(env.tool_position, env.tool_yaw, 1.0))
        if terminated:
            break
    assert terminated and env.failure_kind() == "dropped" and info["cost"] == 1
