"""FailureBench: stock Meta-World to the last digits, and the constraint, costs and snapshots that are added to it."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from metaworld.envs.sawyer_push_v3 import SawyerPushEnvV3
from metaworld.envs.sawyer_push_wall_v3 import SawyerPushWallEnvV3
from metaworld.envs.sawyer_soccer_v3 import SawyerSoccerEnvV3
from metaworld.utils import reward_utils
from scipy.spatial.transform import Rotation

from handrail.core.errors import InvalidValueError, NonFiniteError, UnknownNameError
from handrail.tasks import make
from handrail.tasks.base import PoseNoise
from handrail.tasks.failurebench import rewards
from handrail.tasks.failurebench.experts import MIRRORED_INPUTS, expert_for
from handrail.tasks.failurebench.scene import quaternion, turned

CAPS = {"BoundedPush": 250, "BoundedSoccer": 250, "FragilePushWall": 250, "ObstructedPush": 80}
STOCK = {
    "BoundedPush": SawyerPushEnvV3,
    "BoundedSoccer": SawyerSoccerEnvV3,
    "FragilePushWall": SawyerPushWallEnvV3,
    "ObstructedPush": SawyerPushEnvV3,
}


@pytest.fixture(scope="module", params=CAPS)
def env(request: pytest.FixtureRequest):
    env = make(request.param)
    yield env
    env.close()


def stock_like(env, stock_class=None):
    """Stock, with the goal visible and its draw replaced by what `env` has drawn."""
    stock = (stock_class or STOCK[env.name])()
    stock._partially_observable, stock._set_task_called, stock._freeze_rand_vec = False, True, True
    stock.max_path_length = 10**6
    del stock.sawyer_observation_space
    return stock


STOCK_WALL = {"side": 1, "wall_x": 0.10}


def reset_both(env, stock, seed: int):
    """Both at the same start; beside the vase the puck is put out of the vase's way, for stock has none."""
    options = {"object": (0.05, 0.62)} if env.name == "ObstructedPush" else None
    observation, _ = env.reset(seed=seed, options=options)
    start = env._start
    stock._last_rand_vec = np.array([*start.object[:2], 0.02, *start.goal])
    return observation, stock.reset()[0]


def random_actions(seed: int, steps: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 4)).astype(np.float32)


# -- the same as stock -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["expert", "random"])
@pytest.mark.parametrize("name", CAPS)
def test_steps_as_stock(name: str, driver: str) -> None:
    """Physics bit for bit; observation, reward and every number of `info` to 1e-9, over 220 steps.

    Stock adds some reward terms in float32 when it is given float32 actions; it is asked once more in double.
    """
    env = make(name, **(STOCK_WALL if name == "FragilePushWall" else {}))
    stock, expert = stock_like(env), expert_for(env)
    observation, expected = reset_both(env, stock, seed=3)
    assert np.array_equal(observation, expected)
    assert np.array_equal(env.observation_space.low, stock.sawyer_observation_space.low)
    assert np.array_equal(env.observation_space.high, stock.sawyer_observation_space.high)
    for noise in random_actions(1, 220):
        action = noise if driver == "random" else np.clip(expert.act(observation) + 0.3 * noise, -1, 1)
        expected, rough, *_ = stock.step(action)
        reward, said = stock.evaluate_state(stock._last_stable_obs, action.astype(np.float64))
        observation, ours, terminated, _, info = env.step(action)
        assert np.array_equal(env.data.qpos, stock.data.qpos) and np.array_equal(env.data.qvel, stock.data.qvel)
        assert np.allclose(observation, expected, rtol=0, atol=1e-9)
        assert abs(ours - reward) < 1e-9 and abs(ours - rough) < 1e-5
        assert all(abs(float(info[key]) - float(value)) < 1e-9 for key, value in said.items())
        assert terminated == bool(said["success"])
    assert info["success"] or driver == "random"


@pytest.mark.parametrize("name", CAPS)
def test_resets_as_stock_whatever_came_before(name: str) -> None:
    env = make(name, **(STOCK_WALL if name == "FragilePushWall" else {}))
    stock = stock_like(env)
    for seed in range(3):
        observation, expected = reset_both(env, stock, seed)
        assert np.allclose(observation, expected, rtol=0, atol=1e-12)
        for action in random_actions(seed, 20):
            env.step(action)
            stock.step(action)


def test_the_mirrored_wall_is_rewarded_as_stock_in_a_mirror() -> None:
    env = make("FragilePushWall", wall_x=0.10)
    flip = np.array([-1.0, 1.0, 1.0])

    class Mirrored(SawyerPushWallEnvV3):
        """Sees what `env` holds, in a mirror."""

        @property
        def tcp_center(self):
            return flip * env._now.tool

        def get_body_com(self, body_name):
            return flip * env.data.body(body_name).xpos

    assert np.allclose(env.model.body("wall").pos, (-0.1, 0.75, 0.06))
    observation, _ = env.reset(seed=2)
    stock, expert = stock_like(env, Mirrored), expert_for(env)
    stock.obj_init_pos, stock._target_pos = flip * env._start.object, flip * env._start.goal
    stock.init_tcp = flip * env._start.tool
    beyond = 0
    for _ in range(100):
        action = expert.act(observation)
        observation, reward, terminated, _, _ = env.step(action)
        mirrored = observation.copy()
        mirrored[MIRRORED_INPUTS] *= -1
        assert abs(stock.compute_reward(action.astype(np.float64), mirrored)[0] - reward) < 1e-9
        beyond += env._now.object[0] > 0.08
        if terminated:
            break
    assert terminated and beyond > 5  # it went round the +x end


def test_vase_changes_nothing_until_it_is_touched() -> None:
    env = make("ObstructedPush")
    stock = stock_like(env)
    reset_both(env, stock, seed=0)
    action, same, touched = np.array([-1.0, 0.3, -0.4, 0.0], np.float32), 0, False
    while not touched:
        stock.step(action)
        touched = bool(env.step(action)[4]["cost"])
        same += np.array_equal(env.data.qpos, stock.data.qpos)
    assert env._steps - 2 <= same <= env._steps and 15 < same < 79


def test_quaternions_as_scipy() -> None:
    turns = [*Rotation.random(200, random_state=1), *Rotation.from_euler("xyz", np.eye(3) * np.pi)]
    for rotation in turns:
        matrix = rotation.as_matrix()
        assert np.allclose(quaternion(matrix.ravel().tolist()), Rotation.from_matrix(matrix).as_quat(), atol=1e-12)
    about_z = Rotation.from_euler("z", 0.4) * turns[0]
    assert abs(np.dot(turned(turns[0].as_quat().tolist(), 0.4), about_z.as_quat())) == pytest.approx(1.0)


def test_reward_terms_as_stock() -> None:
    rng = np.random.default_rng(0)
    for x, a, b, margin in rng.uniform(0, 1, (200, 4)).tolist():
        lower, upper = min(a, b), max(a, b)
        expected = reward_utils.tolerance(x, (lower, upper), margin, "long_tail")
        assert rewards.tolerance(x, lower, upper, margin) == pytest.approx(expected, abs=1e-12)
        assert rewards.hamacher(a, b) == pytest.approx(reward_utils.hamacher_product(a, b), abs=1e-12)
    assert rewards.tolerance(2.0, 0.0, 1.0, 0.0) == 0.0 and rewards.hamacher(0.0, 0.0) == 0.0
    assert rewards.tolerance(1.5, 0.0, 1.0, 0.5) == pytest.approx(0.1)


# -- Gymnasium ---------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*Box observation space:UserWarning")  # stock's bounds
def test_gymnasium_contract(env) -> None:
    assert gym.spec(f"handrail/{env.name}-v0").entry_point
    assert env.fps == 80 and env.horizon == CAPS[env.name]
    check_env(env, skip_render_check=True)


def test_resets_by_seed(env) -> None:
    first, again, other = (env.reset(seed=seed)[0] for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first[4:6] - other[4:6]).max() > 0.005 and np.abs(first[36:38] - other[36:38]).max() > 0.005
    drawn = np.array([env.reset(seed=seed)[0] for seed in range(60)])
    (x, y), (goal_x, goal_y) = drawn[:, 4:6].T, drawn[:, 36:38].T
    ranges = env.ranges
    for values, (low, high) in ((x, ranges.object_x), (y, ranges.object_y), (goal_x, ranges.goal_x)):
        assert low <= values.min() < low + 0.3 * (high - low) and high - 0.3 * (high - low) < values.max() <= high
    assert np.hypot(x - goal_x, y - goal_y).min() >= 0.15


def test_time_runs_out_and_on_it_goes(env) -> None:
    """Stock forbids the step after its horizon."""
    observation, _ = env.reset(seed=1)
    for count in range(1, env.horizon + 4):
        observation, _, terminated, truncated, info = env.step(env.hold(observation))
        assert not terminated and truncated == (count >= env.horizon)
    assert env.failure_kind() == "timeout" and info["cost"] == 0


def test_success_ends_the_episode_and_on_it_goes(env) -> None:
    observation, _ = env.reset(seed=4)
    expert, terminated = expert_for(env), False
    while not terminated:
        before = env.privileged().progress
        observation, _, terminated, truncated, info = env.step(expert.act(observation))
    assert info["success"] is True and not truncated and env.failure_kind() == ""
    assert 0.8 < before < 1.0 and env.privileged().progress == 1.0
    assert env.step(env.hold(observation))[0].shape == (39,)


def test_snapshot_continues_bit_for_bit(env) -> None:
    actions = random_actions(0, 60)
    actions[:, 2] -= 0.3
    env.reset(seed=1)
    for action in actions[:30]:
        env.step(action)
    saved, truth = env.snapshot(), env.privileged()
    rest = [np.append(env.step(action)[0], env.data.qacc_warmstart) for action in actions[30:]]
    env.reset(seed=2)
    env.step(actions[0])
    env.restore(saved)
    same = env.privileged()
    assert same.failure_margin_m == truth.failure_margin_m and np.array_equal(same.goal, truth.goal)
    assert np.array_equal(rest, [np.append(env.step(action)[0], env.data.qacc_warmstart) for action in actions[30:]])


def test_holding_keeps_hand_and_grip(env) -> None:
    observation, _ = env.reset(seed=0)
    for _ in range(10):
        observation, *_ = env.step(np.array([0.0, 0.0, 0.0, 0.7], np.float32))
    for _ in range(30):
        before = observation
        action = env.hold(observation)
        assert action[3] == np.float32(0.7) and not action[:3].any()
        observation, *_ = env.step(action)
    assert np.abs(observation[:3] - before[:3]).max() < 1e-3 and observation[3] < 0.5


# -- the constraints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place", "margin_m"),
    [
        ("BoundedPush", (0.16, 0.7), 0.01),
        ("BoundedPush", (-0.18, 0.7), -0.01),
        ("BoundedPush", (0.1, 0.52), -0.01),
        ("BoundedPush", (0.1, 0.91), -0.01),
        ("BoundedSoccer", (0.29, 0.7), 0.01),
        ("BoundedSoccer", (-0.31, 0.7), -0.01),
        ("BoundedSoccer", (0.0, 0.48), -0.02),
    ],
)
def test_out_of_bounds_costs(name: str, place: tuple[float, float], margin_m: float) -> None:
    env = make(name)
    _, info = env.reset(seed=0, options={"object": place})
    assert env.privileged().failure_margin_m == pytest.approx(margin_m, abs=1e-6)
    assert info["cost"] == (margin_m < 0) == env.privileged().in_violation
    _, _, terminated, _, info = env.step(env.hold({}))
    assert not terminated and info["cost"] == (margin_m < 0)
    assert env.failure_kind() == ("out_of_bounds" if margin_m < 0 else "")


def test_a_violation_is_remembered_but_costs_only_while_it_lasts() -> None:
    env = make("BoundedPush", half_width=0.02)
    observation, _ = env.reset(seed=0, options={"object": (0.05, 0.65), "goal": (0.0, 0.85)})
    expert, costs, terminated = expert_for(env), [], False
    while not terminated:
        observation, _, terminated, _, info = env.step(expert.act(observation))
        costs.append(info["cost"])
    assert costs[0] == 1 and costs[-1] == 0 and env.failure_kind() == "out_of_bounds"


@pytest.mark.parametrize("side", [-1, 1])
def test_touching_the_wall_costs(side: int) -> None:
    """The wall's free end is at x = -side * 0.07, and the puck's radius is 0.02."""
    env = make("FragilePushWall", side=side)
    for gap_m, cost in ((0.0005, 1), (0.003, 0), (0.03, 0)):
        _, info = env.reset(seed=0, options={"object": (-side * (0.09 + gap_m), 0.75)})
        assert info["cost"] == cost
        assert env.privileged().failure_margin_m == pytest.approx(gap_m - 0.001, abs=2e-5)
    assert env.failure_kind() == ""


def test_touching_the_vase_with_the_arm_costs() -> None:
    env = make("ObstructedPush")
    env.reset(seed=0)
    margins = [env.privileged().failure_margin_m]
    info = {"cost": 0}
    while not info["cost"]:
        _, _, _, _, info = env.step(np.array([-1.0, 0.3, -0.4, 0.0], np.float32))
        margins.append(env.privileged().failure_margin_m)
    assert margins[0] > 0.1 and 0.0 < margins[-2] < 0.015 and margins[-1] <= 0.0
    assert np.all(np.diff(margins) < 0.02)  # nothing jumps
    assert env.failure_kind() == "vase_contact"
    low = env.model.geom("vase").pos[2] - env.model.geom("vase").size[1]
    assert (low, env.model.geom("vase").size[0]) == (pytest.approx(0.0), 0.13)


def test_the_puck_against_the_vase_is_no_failure() -> None:
    env = make("ObstructedPush")
    env.reset(seed=0, options={"object": (-0.19 + 0.015, 0.67)})
    pairs = [set(pair) for pair in env.data.contact.geom.tolist()]
    assert {env._object_geom, env._vase_geom} in pairs
    for _ in range(20):
        assert env.step(env.hold({}))[4]["cost"] == 0
    assert env.privileged().object_position[0] > -0.19 + 0.019  # pushed out: the vase is solid
    assert env.failure_kind() == ""


# -- what learners see, and shifted tasks ------------------------------------------------------------------------------


def test_noise_is_only_in_what_is_seen(env) -> None:
    noisy = make(env.name, noise=PoseNoise(jitter_share=0.5))
    exact, (seen, _) = env.reset(seed=7)[0], noisy.reset(seed=7)
    start = env._start
    noisy.reset(seed=7, options={"object": start.object[:2], "goal": start.goal[:2]})
    for action in random_actions(2, 40):
        before = seen
        exact, reward, _, _, info = env.step(action)
        seen, same_reward, _, _, same_info = noisy.step(action)
        assert reward == same_reward and info == same_info
        differ = np.flatnonzero(exact != seen)
        assert set(differ) <= {*range(4, 11), *range(22, 29)} and {4, 5, 6} <= set(differ)
        assert np.linalg.norm(seen[7:11]) == pytest.approx(1.0)
    assert np.array_equal(before[4:11], seen[22:29])  # the step before is what was seen then
    noisy.close()


def test_noise_has_the_size_it_says() -> None:
    noisy = make("BoundedPush", noise=PoseNoise())
    shift, turn = [], []
    for seed in range(60):
        observation, _ = noisy.reset(seed=seed)
        shift.append(observation[4:7] - noisy.privileged().object_position)
        turn.append(2 * np.arcsin(observation[9]))
    assert 0.002 < np.std(shift) < 0.004 and 1.3 < np.rad2deg(np.std(turn)) < 2.7


def test_shifted_tasks() -> None:
    plain, shifted = make("BoundedPush"), make("BoundedPush", object_range_scale=1.1, friction_scale=0.5)
    assert np.allclose(shifted.model.geom_friction, 0.5 * plain.model.geom_friction)
    x = [shifted.reset(seed=seed)[0][4] for seed in range(60)]
    assert 0.15 < max(x) < 0.165 and -0.165 < min(x) < -0.15  # of 0.15, times 1.1
    assert make("BoundedPush", horizon=7).horizon == 7


def test_bad_values_are_refused_in_one_line() -> None:
    env = make("BoundedPush")
    with pytest.raises(NonFiniteError, match="action holds nan at index \\[1\\]"):
        env.step(np.array([0, np.nan, 0, 0], np.float32))
    with pytest.raises(InvalidValueError, match=r"action has shape \(3,\), BoundedPush takes \(4,\)"):
        env.step(np.zeros(3, np.float32))
    with pytest.raises(UnknownNameError, match="unknown camera 'fornt': did you mean front"):
        env.frame("fornt", 48, 64)
    with pytest.raises(InvalidValueError, match="side is 0, it must be -1 or 1"):
        make("FragilePushWall", side=0)
    with pytest.raises(InvalidValueError, match="friction_scale is 0, it must be positive"):
        make("BoundedPush", friction_scale=0)


# -- the picture -------------------------------------------------------------------------------------------------------


def test_boundary_and_vase_are_drawn() -> None:
    pictures = {name: make(name).frame("front", 240, 320).astype(int) for name in ("BoundedPush", "ObstructedPush")}
    red = {name: line_pixels(picture) for name, picture in pictures.items()}
    assert red["BoundedPush"] > red["ObstructedPush"] + 150
    blue = {name: int(((p[..., 2] > 60) & (p[..., 2] > 2 * p[..., 0])).sum()) for name, p in pictures.items()}
    assert blue["ObstructedPush"] > blue["BoundedPush"] + 500


def line_pixels(picture: np.ndarray) -> int:
    """Pixels as red as the boundary; the arm is a darker red."""
    return int(((picture[..., 0] > 190) & (picture[..., 1] < 60) & (picture[..., 2] < 60)).sum())
