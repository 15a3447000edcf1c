"""TubeInsertion: take a test tube from a rack that stands somewhere else every time, and push it into a tight hole."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.values import Array
from handrail.tasks.base import Truth
from handrail.tasks.hil.panda import PandaTask

TUBE_RADIUS_M = 0.008
CLEARANCE_M = 0.001  # radial
TIP_M = 0.045  # tube centre to the lowest point of its round bottom
CAP_M = 0.037  # tube centre to the middle of the cap, where it is gripped
HOLE_TOP_M = 0.035  # where the tight part begins
FUNNEL_M = 0.008  # width and height of the lead-in above it
INSERTED_M = 0.020
HOLE = np.array([0.5, 0.06])  # [m]
RACK = np.array([0.47, -0.06])  # [m] centre of the range of the rack
RACK_RANGE = np.array([0.03, 0.03])
RACK_TURN = np.deg2rad(25.0)
RACK_TOP_M = 0.035
RIM_M = 0.035  # radius of the block around the hole
LYING_RAD = np.deg2rad(53.0)


class TubeInsertion(PandaTask):
    """Grasp the tube by its cap, lift it out of the rack, and push it >= 20 mm into a hole with 1 mm radial clearance
    and an 8 mm lead-in.

    The scene is ours. The rack's place (+-3 cm) and turn (+-25 degrees) are drawn at reset; the hole is fixed; the tube
    sits loosely in the rack, and slips in the grip. It gets *stuck* on the rim, *jams* when it enters tilted, and
    *drops* when let go: a tube lying anywhere ends the episode with cost 1, for a person would have to pick it up.
    """

    name = "TubeInsertion"
    instruction = "insert the tube into the hole"
    action_scale = np.array([0.03, 0.03, 0.03, 0.25])
    home = np.array([0.0, 0.04, 0.0, -2.41, 0.0, 2.45, 0.785])
    object_dim = 7

    def __init__(self, **options: Any) -> None:
        model = mujoco.MjModel.from_xml_string(*_scene())
        super().__init__(model, mujoco.MjData(model), **options)
        self._tube_body = model.body("tube").id
        self._tube_adr = model.joint("tube").qposadr[0]
        self._rack_mocap = model.body("rack").mocapid[0]
        self._tube = frozenset({model.geom("tube").id, model.geom("cap").id})

    # -- where things are ----------------------------------------------------------------------------------------------

    @property
    def object_position(self) -> Array:
        """Centre of the tube (3,) [m]."""
        return self.data.qpos[self._tube_adr : self._tube_adr + 3]

    @property
    def tube_axis(self) -> Array:
        """Unit vector (3,) from the tube's bottom to its cap."""
        return _rotation(self.data.qpos[self._tube_adr + 3 : self._tube_adr + 7])[:, 2]

    @property
    def tube_yaw(self) -> float:
        """Turn of the cap about the vertical [rad]."""
        side = _rotation(self.data.qpos[self._tube_adr + 3 : self._tube_adr + 7])[:, 0]
        return float(np.arctan2(side[1], side[0]))

    @property
    def tip(self) -> Array:
        """Lowest point of the tube (3,) [m]."""
        return self.object_position - TIP_M * self.tube_axis

    def depth_m(self) -> float:
        """How deep the tip is in the hole [m]; 0 outside."""
        offset = float(np.linalg.norm(self.tip[:2] - HOLE))
        return max(0.0, HOLE_TOP_M - float(self.tip[2])) if offset < TUBE_RADIUS_M else 0.0

    # -- the task ------------------------------------------------------------------------------------------------------

    def _reset_scene(self, rng: np.random.Generator) -> None:
        place = RACK + rng.uniform(-1, 1, 2) * RACK_RANGE
        yaw = float(rng.uniform(-RACK_TURN, RACK_TURN))
        turn = np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])
        self.data.mocap_pos[self._rack_mocap] = (*place, 0.0)
        self.data.mocap_quat[self._rack_mocap] = turn
        self.data.qpos[self._tube_adr : self._tube_adr + 7] = (*place, TIP_M + 0.011, *turn)
        self.data.qpos[:7] += rng.normal(0.0, 0.01, 7)

    def _object_pose(self, bias_m: Array, bias_rad: float) -> Array:
        """Position 3, cos and sin of twice the cap's turn (a half turn is the same), horizontal part of the axis 2."""
        turn = 2.0 * (self.tube_yaw + bias_rad)
        return np.array([*(self.object_position + bias_m), np.cos(turn), np.sin(turn), *self.tube_axis[:2]])

    def _goal_met(self) -> bool:
        return self.depth_m() >= INSERTED_M

    def _tipping_margin_m(self) -> float:
        """How far the cap may still swing before the tube lies [m]."""
        tilt = float(np.arccos(np.clip(self.tube_axis[2], -1.0, 1.0)))
        return CAP_M * (LYING_RAD - tilt)

    def _failure(self) -> str:
        lying = self.tube_axis[2] < np.cos(LYING_RAD)
        return "dropped" if lying and not self._gripped(self._tube) else ""

    def _blocked(self) -> bool:
        """The tip stands on the rim."""
        on_top = abs(float(self.tip[2]) - HOLE_TOP_M - FUNNEL_M / 2) < 0.008
        return on_top and TUBE_RADIUS_M < float(np.linalg.norm(self.tip[:2] - HOLE)) < RIM_M

    def _excuse(self) -> str:
        if self.depth_m() > 0.002:
            return "jammed"
        if self._progress.blocked >= self.hold_steps:
            return "stuck"
        return "not_inserted" if self.lifted else "not_grasped"

    @property
    def lifted(self) -> bool:
        return bool(self.tip[2] > RACK_TOP_M - 0.005)

    def phase(self) -> str:
        """reach, lift, carry or insert."""
        if not (self.gripper_closed and self._gripped(self._tube)):
            return "reach"
        offset = np.linalg.norm(self.tip[:2] - HOLE)
        if offset < 0.012:
            return "insert"
        return "carry" if self.tip[2] > HOLE_TOP_M + FUNNEL_M + 0.004 else "lift"

    def privileged(self) -> Truth:
        phase = self.phase()
        offset = float(np.linalg.norm(self.tip[:2] - HOLE))
        cap = self.object_position + CAP_M * self.tube_axis
        reach = float(np.linalg.norm(self.tool_position - cap))
        progress, distance = {
            "reach": (0.3 * np.exp(-reach / 0.1), reach),
            "lift": (0.3 + 0.2 * np.clip(self.tip[2] / (HOLE_TOP_M + FUNNEL_M + 0.005), 0, 1), offset),
            "carry": (0.5 + 0.2 * np.exp(-offset / 0.1), offset),
            "insert": (0.7 + 0.3 * np.clip(self.depth_m() / INSERTED_M, 0, 1), offset),
        }[phase]
        if self.depth_m() > 0.002:
            progress = max(progress, 0.7 + 0.3 * min(1.0, self.depth_m() / INSERTED_M))
        held_high = phase in ("carry", "lift")
        return Truth(
            progress=float(progress),
            tool_position=self.tool_position.copy(),
            tool_yaw=self.tool_yaw,
            goal_distance_m=float(distance),
            failure_margin_m=float("inf") if held_high or self.depth_m() > 0.005 else self._tipping_margin_m(),
            contact_force_n=self._contact_force(self._tube),
            phase=phase,
        )


def _rotation(quaternion: Array) -> Array:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


@cache
def _scene() -> tuple[str, dict[str, bytes]]:
    """gym-hil's Panda with our rack, tube and hole: MJCF and the meshes it refers to."""
    robot = _assets() / "panda.xml"
    spec = mujoco.MjSpec.from_file(str(robot))
    assets = {
        path.relative_to(_assets()).as_posix(): path.read_bytes()
        for path in _assets().rglob("*")
        if path.suffix in (".stl", ".obj")
    }
    spec.option.timestep = 0.002
    spec.option.noslip_iterations = 5
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.stat.center, spec.stat.extent = [0.4, 0.0, 0.2], 0.8
    spec.visual.headlight.ambient = [0.4] * 3
    world = spec.worldbody
    world.add_light(pos=[0.2, 0, 2.5], dir=[0.1, 0, -1], diffuse=[0.35] * 3)
    world.add_camera(name="front", pos=[1.0, 0.0, 0.42], quat=[0.5963678, 0.3799282, 0.3799282, 0.5963678], fovy=40)
    world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[20, 20, 0.01], rgba=[0.82, 0.84, 0.87, 1])
    _add_rack(world)
    _add_tube(world)
    _add_hole(world)
    return spec.to_xml(), assets


def _assets() -> Path:
    found = find_spec("gym_hil")  # its files only: importing it loads input libraries
    if found is None or not found.submodule_search_locations:
        raise HandrailError("gym-hil is not installed, TubeInsertion needs its Panda: pip install 'handrail[sim]'")
    return Path(found.submodule_search_locations[0]) / "assets"


def _add_rack(world: mujoco.MjsBody) -> None:
    """A square socket 2.5 mm wider than the tube on every side, on a base."""
    rack = world.add_body(name="rack", mocap=True, pos=[*RACK, 0.0])
    inner, wall, half = TUBE_RADIUS_M + 0.0025, 0.006, RACK_TOP_M / 2
    box, colour = mujoco.mjtGeom.mjGEOM_BOX, [0.25, 0.45, 0.70, 1]
    rack.add_geom(type=box, size=[0.03, 0.03, 0.005], pos=[0, 0, 0.005], rgba=colour)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        size = [wall if x else inner + 2 * wall, wall if y else inner + 2 * wall, half]
        rack.add_geom(
            type=box,
            size=size,
            pos=[x * (inner + wall), y * (inner + wall), half],
            rgba=colour,
            friction=[0.3, 0.005, 0.0001],
        )


def _add_tube(world: mujoco.MjsBody) -> None:
    """A round-bottomed tube; its cap has flats for the gripper and a rubber sleeve that resists twisting."""
    tube = world.add_body(name="tube", pos=[*RACK, TIP_M + 0.011])
    tube.add_freejoint(name="tube")
    slippery = [0.3, 0.002, 0.0001]
    tube.add_geom(
        name="tube", type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[0, 0, TUBE_RADIUS_M - TIP_M, 0, 0, CAP_M - 0.015],
        size=[TUBE_RADIUS_M, 0, 0], mass=0.02, rgba=[0.85, 0.35, 0.25, 1], friction=slippery, condim=4,
    )  # fmt: skip
    tube.add_geom(
        name="cap", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.013, 0.010, 0.014], pos=[0, 0, CAP_M],
        mass=0.015, rgba=[0.95, 0.75, 0.2, 1], friction=[1.0, 0.1, 0.001], priority=2, condim=4,
    )  # fmt: skip


def _add_hole(world: mujoco.MjsBody) -> None:
    """Eight walls whose inner faces touch a circle of the tube's radius plus the clearance; a lead-in at 45 degrees."""
    block = world.add_body(name="hole", pos=[*HOLE, 0.0])
    apothem, half, sides, thick, lip = TUBE_RADIUS_M + CLEARANCE_M, HOLE_TOP_M / 2, 8, 0.012, 0.0015
    look = {"type": mujoco.mjtGeom.mjGEOM_BOX, "rgba": [0.3, 0.6, 0.4, 1], "friction": [0.3, 0.005, 0.0001]}
    for side in range(sides):
        angle = 2 * np.pi * side / sides
        outward = np.array([np.cos(angle), np.sin(angle), 0.0])
        turn = np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])
        half_width = np.tan(np.pi / sides)
        block.add_geom(
            name=f"wall{side}",
            size=[thick, (apothem + 2 * thick) * half_width, half],
            pos=(apothem + thick) * outward + (0, 0, half),
            quat=turn,
            **look,
        )
        slope = np.empty(4)
        mujoco.mju_mulQuat(slope, turn, np.array([np.cos(np.pi / 8), 0.0, -np.sin(np.pi / 8), 0.0]))
        inward = (np.array([0.0, 0.0, 1.0]) - outward) / np.sqrt(2.0)
        middle = (apothem + FUNNEL_M / 2) * outward + (0, 0, HOLE_TOP_M + FUNNEL_M / 2)
        block.add_geom(
            name=f"lip{side}",
            size=[FUNNEL_M / np.sqrt(2.0), (apothem + FUNNEL_M) * half_width, lip],
            pos=middle - lip * inward,
            quat=slope,
            **look,
        )
