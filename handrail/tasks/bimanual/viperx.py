"""The scene that all bimanual tasks share: gym-aloha's two ViperX arms across a table, ready for objects to be added.

Bodies, joints, meshes and inertias are gym-aloha's. Ours: position servos with damping instead of its dry friction
of up to 60 N m (which leaves the tool centimetres off and cannot be back-driven), gravity compensation, boxes
instead of meshes where fingers and palms touch things, and a gripper whose force grows with the squeeze up to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.values import Array
from handrail.tasks.bimanual.kinematics import TOOL_M, forward, inverse

SIDES = ("left", "right")
TABLE_LOW, TABLE_HIGH = np.array([-0.6096, 0.219]), np.array([0.6096, 0.981])  # [m] the table's top, at z = 0
SERVOS = (  # joint, stiffness [N m/rad], damping [N m s/rad], torque limit [N m]
    ("waist", 500.0, 22.0, 80.0),
    ("shoulder", 700.0, 32.0, 100.0),
    ("elbow", 400.0, 20.0, 80.0),
    ("forearm_roll", 60.0, 3.0, 20.0),
    ("wrist_angle", 60.0, 3.0, 20.0),
    ("wrist_rotate", 30.0, 1.5, 10.0),
)
ARMATURE = (0.12, 0.12, 0.12, 0.03, 0.03, 0.015)  # [kg m^2] reflected rotor inertia
FINGER_CLOSED_M, FINGER_TRAVEL_M = 0.0224, 0.0346  # joint where the pads meet; from there to fully open
FINGER_STIFFNESS, FINGER_DAMPING, FINGER_FORCE_N = 1000.0, 20.0, 12.0  # [N/m], [N s/m], [N] a finger
PAD_HALF_M = (0.027, 0.004, 0.010)
PAD_FRICTION = (1.0, 0.01, 0.001)
ARM_COLLISION = {"left": (2, 5), "right": (4, 3)}  # contype, conaffinity: an arm never meets itself
OBJECT_COLLISION = (1, 7)


@dataclass(frozen=True)
class Arm:
    """Where one arm is in the model's arrays."""

    side: str
    base_position: Array  # (3,) [m]
    base_rotation: Array  # (3, 3)
    joints: Array  # (6,) indices into qpos
    dofs: Array  # (6,) indices into qvel
    fingers: Array  # (2,) indices into qpos
    finger_dofs: Array  # (2,)
    servos: slice  # six entries of ctrl
    finger_servos: Array  # (2,) indices into ctrl
    site: int  # the tool
    finger_bodies: tuple[int, int]
    bodies: frozenset[int]  # every body of the arm

    def reach_for(self, position: Array, rotation: Array, near: Array) -> Array:
        """Joints (6,) [rad] that bring the tool to a world pose; see `kinematics.inverse`."""
        return inverse(self.base_rotation.T @ (position - self.base_position), self.base_rotation.T @ rotation, near)

    def tool_pose(self, joints: Array) -> tuple[Array, Array]:
        """World position (3,) and rotation (3, 3) of the tool at joints (6,) [rad]."""
        position, rotation = forward(joints)
        return self.base_position + self.base_rotation @ position, self.base_rotation @ rotation


def finger_joint(opening: float) -> float:
    """Finger joint [m] for a normalised opening: 0 pads together, 1 open (69 mm between them)."""
    return FINGER_CLOSED_M + FINGER_TRAVEL_M * opening


def scene() -> mujoco.MjSpec:
    """Two arms and a table.

    Raises:
        HandrailError: gym-aloha is not installed.
    """
    spec = mujoco.MjSpec.from_file(str(_assets() / "bimanual_viperx_transfer_cube.xml"))
    spec.delete(spec.body("box"))
    for key in list(spec.keys):
        spec.delete(key)
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    spec.compiler.inertiagrouprange = [0, 5]
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.option.iterations = 20
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0
    for side in SIDES:
        _outfit(spec, f"vx300s_{side}", side)
    _furnish(spec)
    return spec


def find_arm(model: mujoco.MjModel, side: str) -> Arm:
    """Locate one arm in a compiled model."""
    name = f"vx300s_{side}"
    joints = [model.joint(f"{name}/{servo[0]}") for servo in SERVOS]
    fingers = [model.joint(f"{name}/{finger}_finger") for finger in SIDES]
    base = model.body(name)
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, base.quat)
    first = model.actuator(f"{name}/waist").id
    return Arm(
        side=side,
        base_position=base.pos.copy(),
        base_rotation=rotation.reshape(3, 3),
        joints=np.array([joint.qposadr[0] for joint in joints]),
        dofs=np.array([joint.dofadr[0] for joint in joints]),
        fingers=np.array([finger.qposadr[0] for finger in fingers]),
        finger_dofs=np.array([finger.dofadr[0] for finger in fingers]),
        servos=slice(first, first + 6),
        finger_servos=np.array([model.actuator(f"{name}/{finger}_finger").id for finger in SIDES]),
        site=model.site(f"{side}_tool").id,
        finger_bodies=tuple(model.body(f"{name}/{finger}_finger_link").id for finger in SIDES),
        bodies=frozenset(body for body in range(model.nbody) if model.body_rootid[body] == base.id),
    )


def _assets() -> Path:
    found = find_spec("gym_aloha")  # its files only: importing it loads dm_control
    if found is None or not found.submodule_search_locations:
        raise HandrailError("gym-aloha is not installed, the bimanual tasks need its arms: pip install 'handrail[sim]'")
    return Path(found.submodule_search_locations[0]) / "assets"


def _outfit(spec: mujoco.MjSpec, name: str, side: str) -> None:
    """Servos, damping, gravity compensation, pads, palm and tool site of one arm."""
    for body in spec.bodies:
        if body.name.startswith(f"{name}/"):
            body.gravcomp = 1.0
    for (joint_name, stiffness, damping, limit), armature in zip(SERVOS, ARMATURE, strict=True):
        joint = spec.joint(f"{name}/{joint_name}")
        joint.frictionloss, joint.armature = 0.0, armature
        _add_servo(spec, joint, stiffness, damping, limit)
    for finger, sign in (("left", 1.0), ("right", -1.0)):
        joint = spec.joint(f"{name}/{finger}_finger")
        joint.frictionloss, joint.armature = 0.0, 0.2
        ends = sorted((sign * finger_joint(0.0), sign * finger_joint(1.0)))
        joint.range = ends
        _add_servo(spec, joint, FINGER_STIFFNESS, FINGER_DAMPING, FINGER_FORCE_N)
        _add_pads(spec.body(f"{name}/{finger}_finger_link"), side, sign)
    coupling = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1=f"{name}/right_finger", name2=f"{name}/left_finger", name=f"{side}_fingers"
    )
    coupling.data[:2] = (0.0, -1.0)  # one motor moves both fingers: what they hold cannot drift sideways
    gripper = spec.body(f"{name}/gripper_link")
    gripper.add_site(name=f"{side}_tool", pos=[TOOL_M - 0.069744, 0, 0], size=[0.004] * 3, rgba=[0, 0, 0, 0])
    _add_touching(gripper, side, name=f"{side}_palm", size=[0.034, 0.04, 0.03], pos=[0.03, 0, 0])


def _add_servo(spec: mujoco.MjSpec, joint: mujoco.MjsJoint, stiffness: float, damping: float, limit: float) -> None:
    servo = spec.add_actuator(name=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=joint.name)
    servo.set_to_position(kp=stiffness, kv=damping)
    servo.forcelimited, servo.forcerange = True, [-limit, limit]


def _add_pads(finger: mujoco.MjsBody, side: str, sign: float) -> None:
    """The inner pad, as wide as the finger near its tip, and the broad root behind it."""
    middle = -sign * (FINGER_CLOSED_M - PAD_HALF_M[1])
    tip = 0.1537 - 0.0687  # [m] end of the finger in its own frame
    pad = {"friction": list(PAD_FRICTION), "condim": 4}
    _add_touching(finger, side, size=list(PAD_HALF_M), pos=[tip - PAD_HALF_M[0], middle, 0], **pad)
    _add_touching(finger, side, size=[0.018, 0.004, 0.025], pos=[0.013, middle, 0], **pad)


def _add_touching(body: mujoco.MjsBody, side: str, **geom: object) -> None:
    """An invisible box that stands in for a mesh in contacts; it adds no mass."""
    contype, conaffinity = ARM_COLLISION[side]
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, contype=contype, conaffinity=conaffinity, group=4, mass=0.0,
        rgba=[0, 1, 0, 0.3], **geom,
    )  # fmt: skip


def _furnish(spec: mujoco.MjSpec) -> None:
    """The table's contact box, light, and cameras that a person can read."""
    world = spec.worldbody
    contype, conaffinity = OBJECT_COLLISION
    middle, half = (TABLE_LOW + TABLE_HIGH) / 2, (TABLE_HIGH - TABLE_LOW) / 2
    world.add_geom(
        name="table_top", type=mujoco.mjtGeom.mjGEOM_BOX, pos=[*middle, -0.05], size=[*half, 0.05],
        contype=contype, conaffinity=conaffinity, group=4, friction=[0.8, 0.005, 0.0001], condim=4,
    )  # fmt: skip
    spec.geom("table").rgba = [0.62, 0.55, 0.47, 1]
    spec.visual.headlight.ambient = [0.35] * 3
    spec.stat.center, spec.stat.extent = [0.0, 0.55, 0.15], 1.2
    world.add_geom(
        name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1], pos=[0, 0, -0.75], contype=0, conaffinity=0,
        rgba=[0.82, 0.84, 0.87, 1],
    )  # fmt: skip
    for name, eye, look, fovy in (
        ("front", (0.0, -0.25, 0.66), (0.0, 0.5, 0.12), 46.0),
        ("above", (0.0, 0.38, 1.25), (0.0, 0.5, 0.0), 45.0),
    ):
        back = np.array(eye) - look
        back /= np.linalg.norm(back)
        right = np.array([1.0, 0.0, 0.0])
        world.add_camera(name=name, pos=list(eye), xyaxes=[*right, *np.cross(back, right)], fovy=fovy)
