"""Simulated leaders: a replica of the followers' kinematics, light, weightless in the hand, fast."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from handrail.core.errors import InvalidValueError, NonFiniteError
from handrail.operators.hand import MASS_KG
from handrail.operators.leaders import DIM
from handrail.operators.replicas import LINK_SCALE, SimulatedLeaders, leader_model
from handrail.tasks.bimanual.viperx import SERVOS, SIDES, find_arm, scene

HOME = np.tile([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5], 2)


@pytest.fixture(scope="module")
def leaders() -> SimulatedLeaders:
    return SimulatedLeaders()


def test_joints_are_in_the_order_of_the_action(leaders: SimulatedLeaders) -> None:
    names = [leaders.model.joint(i).name for i in range(leaders.model.njnt)]
    parts = [*(servo[0] for servo in SERVOS), "trigger"]
    assert names == [f"vx300s_{side}/{part}" for side in SIDES for part in parts]
    assert (leaders.model.nq, leaders.model.nv, leaders.model.nu) == (DIM, DIM, DIM)


def test_the_hand_is_where_the_followers_tool_would_be(leaders: SimulatedLeaders) -> None:
    model = scene().compile()
    rng = np.random.default_rng(0)
    for _ in range(5):
        q = rng.uniform(*leaders.model.jnt_range.T)
        leaders.reset(q)
        for side, name in enumerate(SIDES):
            position, rotation = find_arm(model, name).tool_pose(q[7 * side : 7 * side + 6])
            np.testing.assert_allclose(leaders.tool(side)[0], position, atol=1e-4)
            np.testing.assert_allclose(leaders.tool(side)[1], rotation, atol=1e-4)


def test_links_weigh_a_fifth_and_a_hand_is_on_each(leaders: SimulatedLeaders) -> None:
    follower = scene().compile()
    for side in SIDES:
        body = f"vx300s_{side}/upper_arm_link"
        assert leaders.model.body(body).mass == pytest.approx(LINK_SCALE * follower.body(body).mass)
        assert leaders.model.body(f"vx300s_{side}/hand").mass == pytest.approx(MASS_KG)
    assert leaders.model.ngeom == 0


def test_weight_is_compensated(leaders: SimulatedLeaders) -> None:
    leaders.reset(HOME)
    for _ in range(1000):
        leaders.step()
    np.testing.assert_allclose(leaders.read()[0], HOME, atol=1e-9)
    assert np.abs(leaders.data.qfrc_bias).max() > 1.0  # there is a weight to compensate


def test_a_torque_accelerates_by_the_inertia_it_meets(leaders: SimulatedLeaders) -> None:
    leaders.reset(HOME)
    mass = np.zeros((DIM, DIM))
    mujoco.mj_fullM(leaders.model, mass, leaders.data.qM)
    torque = np.tile([0.4, 0.4, 0.4, 0.05, 0.05, 0.05, 0.01], 2)
    leaders.apply(torque)
    leaders.step()
    implicit = mass + 0.002 * np.diag(leaders.model.dof_damping)
    np.testing.assert_allclose(leaders.read()[1], 0.002 * np.linalg.solve(implicit, torque), rtol=1e-3)


def test_hand_and_device_torques_add(leaders: SimulatedLeaders) -> None:
    torque = np.tile([0.4, -0.4, 0.4, 0.05, 0.05, -0.05, 0.01], 2)
    ends = []
    for device, hand in ((1.0, 0.0), (0.0, 1.0), (0.25, 0.75)):
        leaders.reset(HOME)
        for _ in range(50):
            leaders.apply(device * torque)
            leaders.hand_torque = hand * torque
            leaders.step()
        ends.append(leaders.read()[0])
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-9)
    np.testing.assert_allclose(ends[2], ends[0], atol=1e-9)


def test_jacobian_is_the_derivative_of_the_tool(leaders: SimulatedLeaders) -> None:
    leaders.reset(HOME)
    jacobian = leaders.jacobian(1)
    here = leaders.tool(1)[0].copy()
    for joint in range(DIM):
        moved = HOME.copy()
        moved[joint] += 1e-6
        leaders.reset(moved)
        np.testing.assert_allclose((leaders.tool(1)[0] - here) / 1e-6, jacobian[:3, joint], atol=1e-5)


def test_what_cannot_be_is_refused(leaders: SimulatedLeaders) -> None:
    with pytest.raises(InvalidValueError, match=r"hand_kg is -1.0, must be >= 0: a measured hand and forearm is 0.55"):
        leader_model(-1.0)
    with pytest.raises(NonFiniteError, match="leader joints holds nan"):
        leaders.reset(np.full(DIM, np.nan))
