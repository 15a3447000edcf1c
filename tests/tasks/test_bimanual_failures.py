"""Handled badly, every bimanual task really fails, for the reason it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array
from handrail.tasks import make
from handrail.tasks.bimanual.experts import BimanualExpert, follow
from handrail.tasks.bimanual.kinematics import about_y
from handrail.tasks.bimanual.moves import at_home, carry, present
from handrail.tasks.bimanual.values import BimanualWaypoint


def mishandled(env, until: Callable[[], bool], badly: Callable[[Array], Array], seed: int = 0, steps: int = 150):
    """Follow the expert until a moment, then spoil its actions; return the last info."""
    env.reset(seed=seed)
    expert = BimanualExpert(env)
    for _ in range(env.horizon):
        if until():
            break
        _, _, terminated, truncated, info = env.step(expert.act())
        assert not (terminated or truncated), env.failure_kind()
    for _ in range(steps):
        _, _, terminated, truncated, info = env.step(badly(expert.act()))
        if terminated or truncated:
            break
    return info


def opened(action: Array) -> Array:
    """Both grippers let go."""
    action[[6, 13]] = 1.0
    return action


def test_transfer_cube_dropped_in_the_air() -> None:
    env = make("TransferCube")
    info = mishandled(env, lambda: env.waypoint().phase == "lift" and env.position("cube")[2] > 0.12, opened)
    assert env.failure_kind() == "dropped" and info["cost"] == 1 and not info["success"]


def test_transfer_cube_pushed_off_the_table() -> None:
    env = make("TransferCube")
    env.reset(seed=0)
    env.data.qpos[env._objects.places["cube"]][:3] = (0.2, 0.23, 0.02)
    env.data.qvel[env._objects.velocities["cube"]] = (0.0, -1.0, 0.0)
    for _ in range(50):
        _, _, terminated, _, info = env.step(env.home)
        if terminated:
            break
    assert env.failure_kind() in ("off_table", "dropped") and info["cost"] == 1


def test_transfer_cube_on_the_other_mat_is_no_success() -> None:
    env = make("TransferCube", horizon=250)
    env.reset(seed=0, options={"goal": 0})
    expert = BimanualExpert(env)
    env._progress.goal = 1  # the person changes their mind; the task does not
    for _ in range(env.horizon):
        action = follow(env, expert.waypoint())
        env._progress.goal = 0
        _, reward, terminated, truncated, info = env.step(action)
        assert reward == 0.0 and not terminated
        env._progress.goal = 1
    assert truncated and info["goal_reached"] == 1 and not info["success"]
    assert env.failure_kind() == "wrong_goal"


def test_peg_dropped_in_the_air() -> None:
    env = make("PegInsertion")
    info = mishandled(env, lambda: env.waypoint().phase == "align", opened)
    assert env.failure_kind() == "dropped" and info["cost"] == 1


def test_peg_breaks_when_pressed_between_the_holes() -> None:
    env = make("PegInsertion")

    def press(action: Array) -> Array:
        """Straight onto the wall between the holes, 4 cm too far."""
        left, rotation = env.waypoint().left, env.rotation("block")
        aside = abs(float(env._tip()[1])) > 0.003
        place = env.position("block") + rotation @ (0.159 + (0.02 if aside else -0.04), 0.0, 0.0)
        return follow(env, BimanualWaypoint(left, present(env, 1, "peg", place, rotation), "press"))

    info = mishandled(env, lambda: env.waypoint().phase == "align" and env._tip()[0] < 0.04, press)
    assert env.failure_kind() == "broken" and info["cost"] == 1


def test_peg_in_the_other_hole_is_no_success() -> None:
    env = make("PegInsertion", horizon=200)
    env.reset(seed=0, options={"goal": 0})
    expert = BimanualExpert(env)
    for _ in range(env.horizon):
        env._progress.goal = 1
        action = expert.act()
        env._progress.goal = 0
        _, _, terminated, truncated, info = env.step(action)
        assert not terminated
    assert truncated and info["goal_reached"] == 1 and env.failure_kind() == "wrong_goal"
    assert np.isclose(env.depth_m(0), 0.0) and env.depth_m(1) >= 0.03


def test_tray_carried_in_haste_loses_the_ball() -> None:
    env = make("TrayCarry")

    def hasty(action: Array) -> Array:
        wanted = env.waypoint()
        return follow(env, replace(wanted, left=replace(wanted.left, pace=1.0), right=replace(wanted.right, pace=1.0)))

    info = mishandled(env, lambda: env.waypoint().phase == "lift", hasty, seed=1)
    assert env.failure_kind() == "ball_off" and info["cost"] == 1


def test_tray_let_go_in_the_air_is_dropped() -> None:
    env = make("TrayCarry")
    info = mishandled(env, lambda: env.waypoint().phase == "carry", opened)
    assert env.failure_kind() in ("dropped", "ball_off") and info["cost"] == 1


def hands_apart(env, by_m: float) -> Callable[[Array], Array]:
    """Both hands move outward by `by_m`, or inward if negative."""

    def apart(action: Array) -> Array:
        wanted = env.waypoint()
        left, right = (
            replace(hand, position=hand.position + ((-by_m, by_m)[side], 0.0, 0.0))
            for side, hand in enumerate((wanted.left, wanted.right))
        )
        return follow(env, replace(wanted, left=left, right=right))

    return apart


def test_wide_box_slips_between_loose_hands_and_drops() -> None:
    env = make("BoxStack")
    info = mishandled(env, lambda: env.waypoint().phase == "carry", hands_apart(env, 0.03))
    assert env.failure_kind() == "dropped" and info["cost"] == 1


def test_wide_box_is_crushed_between_hard_hands() -> None:
    env = make("BoxStack")
    info = mishandled(env, lambda: env.waypoint().phase == "carry", hands_apart(env, -0.1))
    assert env.failure_kind() == "crushed" and info["cost"] == 1


def squeezed(action: Array) -> Array:
    """Both grippers close as hard as they can."""
    action[[6, 13]] = 0.0
    return action


def test_glass_breaks_in_a_hard_grip() -> None:
    env = make("DrawerPlace")
    info = mishandled(env, lambda: env.waypoint().phase == "carry", squeezed)
    assert env.failure_kind() == "broken" and info["cost"] == 1


def test_glass_dropped_beside_the_drawer() -> None:
    env = make("DrawerPlace")
    info = mishandled(env, lambda: env.position("glass")[2] > 0.12, opened)
    assert env.failure_kind() == "dropped" and info["cost"] == 1


def test_drawer_closes_when_nobody_holds_it() -> None:
    env = make("DrawerPlace")
    env.reset(seed=0)
    expert = BimanualExpert(env)
    while env._opened_m() < 0.1:
        env.step(expert.act())
    for _ in range(80):
        env.step(follow(env, BimanualWaypoint(at_home(0, 1.0), at_home(1), "away")))
    assert env._opened_m() < 0.02


def test_the_jar_comes_along_when_only_the_lid_is_pulled() -> None:
    env = make("LidOpen")

    def lift(action: Array) -> Array:
        wanted = env.waypoint()
        up = carry(env, 1, "lid", env.position("lid") + (0.0, 0.0, 0.05), wanted.right.quaternion)
        return follow(env, BimanualWaypoint(at_home(0, 1.0), up, "pull"))

    mishandled(env, lambda: env.gripped(1, "lid"), lift, steps=40)
    assert env.position("jar")[2] > 0.06 and env._seated()
    info = mishandled(
        env,
        lambda: env.gripped(1, "lid"),
        lambda action: opened(lift(action)) if env.position("jar")[2] > 0.1 else lift(action),
    )
    assert env.failure_kind() in ("dropped", "spilt") and info["cost"] == 1


def test_the_seal_holds_the_lid_with_equal_and_opposite_forces() -> None:
    env = make("LidOpen", seal_n=5.0)
    env.reset(seed=0)
    env.step(env.home)
    jar, lid = env.data.xfrc_applied[env._ids["jar"]], env.data.xfrc_applied[env._ids["lid"]]
    np.testing.assert_allclose(jar, -lid)
    np.testing.assert_allclose(jar[:3], [0.0, 0.0, 5.0], atol=0.05)
    assert env._seated()


def test_a_lid_let_go_in_the_air_is_dropped() -> None:
    env = make("LidOpen")
    info = mishandled(env, lambda: env.waypoint().phase == "bring" and env.position("lid")[2] > 0.14, opened)
    assert env.failure_kind() == "dropped" and info["cost"] == 1


def test_a_jar_pushed_over_is_spilt() -> None:
    env = make("LidOpen")
    env.reset(seed=0)
    env.data.qpos[env._objects.places["jar"]][3:] = (np.cos(0.4), np.sin(0.4), 0.0, 0.0)
    for _ in range(40):
        _, _, terminated, _, info = env.step(env.home)
        if terminated:
            break
    assert env.failure_kind() == "spilt" and info["cost"] == 1


def test_pen_dropped_beside_the_cups() -> None:
    env = make("PenPick")
    info = mishandled(env, lambda: env.position("pen")[2] > 0.1, opened)
    assert env.failure_kind() == "dropped" and info["cost"] == 1


def test_a_cup_knocked_over_is_tipped() -> None:
    env = make("PenPick")
    env.reset(seed=0)
    env.data.qpos[env._objects.places["cup1"]][3:] = (np.cos(0.5), np.sin(0.5), 0.0, 0.0)
    for _ in range(40):
        _, _, terminated, _, info = env.step(env.home)
        if terminated:
            break
    assert env.failure_kind() == "tipped" and info["cost"] == 1


def test_a_pen_of_which_nobody_let_go_is_not_in_the_cup() -> None:
    env = make("PenPick", horizon=180)

    def held(action: Array) -> Array:
        action[13] = 0.0
        return action

    info = mishandled(env, lambda: env.waypoint().phase == "let_go", held)
    assert not info["success"] and info["goal_reached"] == -1


def test_plug_bends_when_pressed_beside_the_socket() -> None:
    env = make("PlugSocket")

    def press(action: Array) -> Array:
        """Straight onto the face between the sockets, 4 cm too far."""
        left, rotation = env.waypoint().left, env.rotation("strip")
        aside = abs(float(env._tip()[1])) > 0.003
        place = env.position("strip") + rotation @ (env.entry_m + env.tip_m + (0.02 if aside else -0.04), 0.0, 0.0)
        return follow(env, BimanualWaypoint(left, present(env, 1, "plug", place, rotation), "press"))

    info = mishandled(env, lambda: env.waypoint().phase == "align" and env._tip()[0] < 0.04, press)
    assert env.failure_kind() == "broken" and info["cost"] == 1


def test_clearance_is_what_is_said() -> None:
    """Of the peg in its hole, and of the plug's prongs in their slots."""
    for clearance in (0.001, 0.003):
        env = make("PlugSocket", clearance_m=clearance)
        body = env.model.body("strip").id
        walls = [i for i in range(env.model.ngeom) if env.model.geom_bodyid[i] == body and env.model.geom_contype[i]][
            1:6
        ]
        ends = sorted(env.model.geom_pos[i][1] + side * env.model.geom_size[i][1] for i in walls for side in (-1, 1))
        np.testing.assert_allclose(np.diff(ends)[1::2], 2 * (0.002 + clearance), atol=1e-9)
    for bad in (0.0005, 0.01):
        with pytest.raises(InvalidValueError, match=r"must be 0.001 to 0.003 \[m\]"):
            make("PegInsertion", clearance_m=bad)


def test_beads_poured_beside_the_bowl_are_spilt() -> None:
    env = make("Pour")

    def early(action: Array) -> Array:
        """Turn the jug over where it is."""
        wanted = env.waypoint()
        tilt = about_y(-min(2.0, env.tilt("jug") + 0.4))
        jug = present(env, 1, "jug", env.position("jug"), tilt)
        return follow(env, replace(wanted, right=jug))

    info = mishandled(env, lambda: env.waypoint().phase == "bring" and env.position("jug")[2] > 0.11, early)
    assert env.failure_kind() == "spilt" and info["cost"] == 1
    assert env._counts()[3] >= 2


def test_every_bead_is_counted_once() -> None:
    env = make("Pour")
    observation, _ = env.reset(seed=0)
    np.testing.assert_allclose(observation["environment_state"][-4:], [1.0, 0.0, 0.0, 0.0])
    expert = BimanualExpert(env)
    for _ in range(env.horizon):
        observation, _, terminated, _, info = env.step(expert.act())
        assert env._counts().sum() <= 10
        if terminated:
            break
    assert info["success"] and observation["environment_state"][-4:].max() >= 0.9


def test_towel_tears_between_hands_that_part() -> None:
    env = make("TowelFold")
    info = mishandled(env, lambda: env.waypoint().phase == "fold", hands_apart(env, 0.06))
    assert env.failure_kind() == "torn" and info["cost"] == 1


def test_a_hand_takes_a_corner_only_where_it_closes() -> None:
    """Closed hands that pass over the towel take nothing; one that closes at a corner has it until it opens."""
    env = make("TowelFold")
    env.reset(seed=0)
    for _ in range(60):
        action = follow(env, env.waypoint())
        action[[6, 13]] = 0.0
        env.step(action)
    assert env._held_by(0) == env._held_by(1) == -1
    env.reset(seed=0, options={"goal": 0})
    expert = BimanualExpert(env)
    while env.waypoint().phase == "reach":
        env.step(expert.act())
    assert (env._held_by(0), env._held_by(1)) == (0, 42)
    assert np.linalg.norm(env._vertex(0) - env.tool_position(0)) < 0.02
    env.step(opened(expert.act()))
    env.step(opened(expert.act()))
    assert env._held_by(0) == env._held_by(1) == -1
