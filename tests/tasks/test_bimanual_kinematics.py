"""Closed-form kinematics against MuJoCo's own, there and back."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from handrail.tasks.bimanual.kinematics import HIGH, LOW, forward, inverse, jacobian, tool_rotation
from handrail.tasks.bimanual.viperx import SIDES, find_arm, scene


@pytest.fixture(scope="module")
def two_arms():
    model = scene().compile()
    return model, mujoco.MjData(model), [find_arm(model, side) for side in SIDES]


def test_forward_is_where_mujoco_puts_the_tool(two_arms) -> None:
    model, data, arms = two_arms
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints = rng.uniform(LOW, HIGH, (2, 6))
        for arm, values in zip(arms, joints, strict=True):
            data.qpos[arm.joints] = values
        mujoco.mj_kinematics(model, data)
        for arm, values in zip(arms, joints, strict=True):
            position, rotation = arm.tool_pose(values)
            np.testing.assert_allclose(position, data.site_xpos[arm.site], atol=1e-6)
            np.testing.assert_allclose(rotation.ravel(), data.site_xmat[arm.site], atol=1e-6)


def test_inverse_comes_back_to_the_pose(two_arms) -> None:
    _, _, (left, right) = two_arms
    rng = np.random.default_rng(1)
    for _ in range(25):
        x, y, z = rng.uniform([-0.05, 0.35, 0.02], [0.1, 0.65, 0.2])
        yaw, pitch = rng.uniform(-0.5, 0.5), rng.uniform(0.9, np.pi / 2)
        for arm, sign, turn in ((left, -1.0, 0.0), (right, 1.0, np.pi)):
            goal, rotation = np.array([sign * (x + 0.1), y, z]), tool_rotation(turn + yaw, pitch)
            joints = np.zeros(6)
            for _ in range(100):  # near a straight wrist the roll comes step by step
                joints = arm.reach_for(goal, rotation, joints)
            position, reached = arm.tool_pose(joints)
            np.testing.assert_allclose(position, goal, atol=1e-6)
            np.testing.assert_allclose(reached, rotation, atol=1e-6)


def test_inverse_stays_on_the_turn_of_the_wrist_that_is_near() -> None:
    """Both turns reach the pose; a path through it must not jump from one to the other."""
    near = np.array([0.1, -0.3, 0.5, 0.3, 1.2, -0.2])
    position, rotation = forward(near)
    np.testing.assert_allclose(inverse(position, rotation, near), near, atol=1e-9)
    other = np.array([*near[:3], near[3] - np.pi, -near[4], near[5] + np.pi])
    flipped, pose = forward(other)
    np.testing.assert_allclose(flipped, position, atol=1e-9)
    np.testing.assert_allclose(pose, rotation, atol=1e-9)


def test_a_wound_forearm_changes_to_the_other_turn() -> None:
    wound = np.array([0.0, -0.3, 0.5, 2.6, 1.0, 0.2])
    joints = inverse(*forward(wound), wound)
    np.testing.assert_allclose(joints[3:], [2.6 - np.pi, -1.0, 0.2 + np.pi - 2 * np.pi], atol=1e-9)


def test_roll_does_not_swing_where_the_wrist_is_nearly_straight() -> None:
    """A tool that passes the straight wrist 3 degrees aside, where the exact roll turns by half a circle."""
    joints = np.array([0.0, -0.3, 0.5, 0.0, 0.4, 0.0])
    position, _ = forward(joints)
    for _ in range(20):
        joints = inverse(position, tool_rotation(0.05, 0.6), joints)
    for pitch in np.linspace(0.6, -0.2, 60):
        wanted = tool_rotation(0.05, pitch)
        before, joints = joints, inverse(position, wanted, joints)
        assert np.abs(joints - before).max() < 0.35
        reached, rotation = forward(joints)
        assert np.linalg.norm(reached - position) < 0.015
        assert np.arccos(np.clip((np.trace(rotation.T @ wanted) - 1) / 2, -1, 1)) < 0.15
    for _ in range(100):
        joints = inverse(position, wanted, joints)
    np.testing.assert_allclose(forward(joints)[1], wanted, atol=1e-6)


def test_straight_wrist_keeps_its_roll() -> None:
    straight = np.array([0.2, -0.2, 0.4, 0.7, 0.0, -0.3])
    np.testing.assert_allclose(inverse(*forward(straight), straight), straight, atol=1e-9)


def test_out_of_reach_is_answered_with_a_valid_command() -> None:
    far = inverse(np.array([3.0, 0.0, 0.5]), tool_rotation(0.0), np.zeros(6))
    assert np.all((far >= LOW) & (far <= HIGH))
    assert np.linalg.norm(forward(far)[0][:2]) > 0.55


def test_the_jacobian_is_mujocos(two_arms) -> None:
    model, data, arms = two_arms
    rng = np.random.default_rng(2)
    for _ in range(20):
        for arm in arms:
            joints = rng.uniform(LOW, HIGH)
            data.qpos[arm.joints] = joints
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            expected = np.empty((6, model.nv))
            mujoco.mj_jacSite(model, data, expected[:3], expected[3:], arm.site)
            turn = np.kron(np.eye(2), arm.base_rotation)
            np.testing.assert_allclose(turn @ jacobian(joints), expected[:, arm.dofs], atol=1e-6)
