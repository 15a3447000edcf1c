"""Simulated leader arms: light torque-driven replicas of the followers, for a simulated person to hold."""

from __future__ import annotations

from functools import lru_cache

import mujoco
import numpy as np

from handrail.core.clock import SECOND_NS
from handrail.core.errors import InvalidValueError, require_finite
from handrail.core.values import Array
from handrail.operators.hand import MASS_KG
from handrail.operators.leaders import DIM, PERIOD_NS
from handrail.tasks.bimanual.viperx import SIDES, scene

ARMS = tuple(f"vx300s_{side}" for side in SIDES)
LINK_SCALE = 0.2  # a leader's links weigh a fifth of the follower's: 0.54 kg move with a hand (ours)
ARMATURE = (0.01, 0.01, 0.01, 0.003, 0.003, 0.002)  # [kg m^2] direct drives of low gear ratio (ours)
FRICTION = (0.1, 0.1, 0.1, 0.02, 0.02, 0.02)  # [N m s/rad] of the bearings, viscous (ours)
TRIGGER_INERTIA, TRIGGER_FRICTION = 0.002, 0.005  # [kg m^2], [N m s/rad] (ours)
HAND_RADIUS_M = 0.04  # a hand is a ball of this size around the tool point (ours)


class SimulatedLeaders:
    """Both leader arms in a MuJoCo model of their own, with the mass of a hand on each.

    `step` integrates one period under three joint torques: what the device was told (`apply`), what compensates the
    links' weight (`qfrc_bias`), and what the hands do (`hand_torque`). The person carries their hands' weight.
    """

    def __init__(self, hand_kg: float = MASS_KG) -> None:
        self.model = leader_model(hand_kg)
        self.data = mujoco.MjData(self.model)
        self.sites = tuple(self.model.site(f"{side}_tool").id for side in SIDES)
        self.hand_torque = np.zeros(DIM)  # of whoever holds the arms
        self.reset(np.zeros(DIM))

    def reset(self, q: Array) -> None:
        """Rest at joint positions (14,), torques off."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = np.clip(require_finite("leader joints", q), *self.model.jnt_range.T)
        self._torque = np.zeros(DIM)
        self.hand_torque = np.zeros(DIM)
        mujoco.mj_step1(self.model, self.data)

    def read(self) -> tuple[Array, Array]:
        return self.data.qpos.copy(), self.data.qvel.copy()

    def apply(self, torque: Array) -> None:
        self._torque = np.array(torque, dtype=np.float64)

    def step(self) -> None:
        """One period of 2 ms; positions, Jacobians and weight are of the new state afterwards."""
        data = self.data
        data.ctrl[:] = self._torque + data.qfrc_bias - data.qfrc_gravcomp
        data.qfrc_applied[:] = self.hand_torque
        mujoco.mj_step2(self.model, data)
        mujoco.mj_step1(self.model, data)

    def tool(self, side: int) -> tuple[Array, Array]:
        """Position (3,) [m] and rotation (3, 3) of what the hand holds, in the frame of the followers' world."""
        site = self.sites[side]
        return self.data.site_xpos[site], self.data.site_xmat[site].reshape(3, 3)

    def jacobian(self, side: int) -> Array:
        """(6, 14): linear, then angular velocity of the tool per joint velocity."""
        jacobian = np.empty((6, DIM))
        mujoco.mj_jacSite(self.model, self.data, jacobian[:3], jacobian[3:], self.sites[side])
        return jacobian


@lru_cache(maxsize=4)
def leader_model(hand_kg: float) -> mujoco.MjModel:
    """The followers' arms without contacts, servos, fingers and most of their mass, driven by torque motors.

    Raises:
        InvalidValueError: `hand_kg` is negative.
        HandrailError: gym-aloha is not installed.
    """
    if hand_kg < 0.0:
        raise InvalidValueError(f"hand_kg is {hand_kg}, must be >= 0: a measured hand and forearm is {MASS_KG}")
    spec = scene()
    _strip(spec)
    for name, side in zip(ARMS, SIDES, strict=True):
        _lighten(spec, name)
        _hold(spec, name, f"{side}_tool", hand_kg)
    for joint in spec.joints:
        motor = spec.add_actuator(name=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=joint.name)
        motor.set_to_motor()
    spec.option.timestep = PERIOD_NS / SECOND_NS
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    return spec.compile()


def _strip(spec: mujoco.MjSpec) -> None:
    """Leave only the arms' links and joints."""
    for body in list(spec.worldbody.bodies):
        if body.name not in ARMS:
            spec.delete(body)
    for name in ARMS:
        for body in list(spec.body(f"{name}/gripper_link").bodies):
            spec.delete(body)
    for parts in (spec.geoms, spec.actuators, spec.equalities, spec.cameras, spec.lights, spec.meshes):
        for part in list(parts):
            spec.delete(part)


def _lighten(spec: mujoco.MjSpec, name: str) -> None:
    for body in spec.bodies:
        if body.name.startswith(f"{name}/"):
            body.mass, body.inertia = LINK_SCALE * body.mass, LINK_SCALE * body.inertia
            body.gravcomp = 0.0
    joints = [joint for joint in spec.joints if joint.name.startswith(f"{name}/")]
    for joint, armature, friction in zip(joints, ARMATURE, FRICTION, strict=True):
        joint.armature, joint.damping = armature, [friction, 0.0, 0.0]


def _hold(spec: mujoco.MjSpec, name: str, site: str, hand_kg: float) -> None:
    """A trigger under the finger, and a hand around the tool point whose weight its owner carries."""
    gripper = spec.body(f"{name}/gripper_link")
    trigger = gripper.add_body(name=f"{name}/trigger")
    trigger.explicitinertial, trigger.mass, trigger.inertia = True, 1e-4, [1e-8] * 3
    trigger.add_joint(
        name=f"{name}/trigger", axis=[0, 1, 0], limited=mujoco.mjtLimited.mjLIMITED_TRUE, range=[0.0, 1.0],
        armature=TRIGGER_INERTIA, damping=[TRIGGER_FRICTION, 0.0, 0.0],
    )  # fmt: skip
    hand = gripper.add_body(name=f"{name}/hand", pos=spec.site(site).pos, gravcomp=1.0)
    hand.explicitinertial, hand.mass = True, max(hand_kg, 1e-6)
    hand.inertia = [max(0.4 * hand_kg * HAND_RADIUS_M**2, 1e-12)] * 3
