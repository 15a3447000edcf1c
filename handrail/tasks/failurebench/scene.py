"""Stock Meta-World scenes, loaded from the installed package, and what FailureBench draws and adds in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np

from handrail.core.values import Array

ASSETS = "assets/sawyer_xyz"
SCENE_CAMERA = "scene"
EYE, LOOKED_AT = (0.82, 1.22, 0.82), (-0.07, 0.69, 0.06)
WELD_DATA = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
"""What Meta-World's `reset_mocap_welds` writes: the hand hangs on the mocap body, not on where it was compiled."""

LINE_M = 0.005  # half the width of a drawn line
LINE_RGBA = (0.9, 0.05, 0.05, 1.0)
VASE_GEOM = "vase"
ARM_CONTACT_BIT = 8  # of contype and conaffinity; Meta-World uses 1, 2 and 4
GLAZE = (0.13, 0.3, 0.55, 1.0)
BAND = (0.95, 0.93, 0.86, 1.0)
VASE_PARTS = (  # shape, height of its middle, half width and half height (parts of the vase's), colour
    (mujoco.mjtGeom.mjGEOM_CYLINDER, 0.025, (0.50, 0.025), BAND),  # foot
    (mujoco.mjtGeom.mjGEOM_ELLIPSOID, 0.40, (1.0, 0.38), GLAZE),  # belly
    (mujoco.mjtGeom.mjGEOM_CYLINDER, 0.40, (1.0, 0.012), BAND),  # a painted line
    (mujoco.mjtGeom.mjGEOM_CYLINDER, 0.82, (0.38, 0.16), GLAZE),  # neck
    (mujoco.mjtGeom.mjGEOM_CYLINDER, 0.985, (0.50, 0.015), BAND),  # lip
)


def load(xml: str) -> mujoco.MjSpec:
    """The stock scene `xml` of the installed Meta-World, open for additions, with a camera a person can read it from.

    Raises:
        ModuleNotFoundError: Meta-World is not installed (`pip install "handrail[sim]"`).
    """
    package = find_spec("metaworld")  # found, not imported: importing builds every benchmark of it
    if package is None or package.origin is None:
        raise ModuleNotFoundError("metaworld is not installed, FailureBench needs its scenes: install handrail[sim]")
    spec = mujoco.MjSpec.from_file(str(Path(package.origin).parent / ASSETS / xml))
    spec.worldbody.add_camera(name=SCENE_CAMERA, pos=EYE, xyaxes=_facing(EYE, LOOKED_AT), fovy=44.0)
    return spec


def _facing(eye: Sequence[float], target: Sequence[float]) -> Array:
    """Camera axes x and y (6,) of an upright look from `eye` at `target`."""
    back = np.subtract(eye, target)
    right = np.cross((0.0, 0.0, 1.0), back)
    return np.concatenate(
        [right / np.linalg.norm(right), np.cross(back, right) / np.linalg.norm(np.cross(back, right))]
    )


def compiled(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile a scene and reset its mocap welds, as stock does."""
    model = spec.compile()
    model.eq_data[model.eq_type == mujoco.mjtEq.mjEQ_WELD] = WELD_DATA
    return model


def draw_rectangle(spec: mujoco.MjSpec, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Draw the outline of `x` times `y` [m] on the table; sites touch nothing."""
    middle, half = ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2), ((x[1] - x[0]) / 2, (y[1] - y[0]) / 2)
    for side, edge in enumerate(x):
        _line(spec, f"boundary_x{side}", (edge, middle[1]), (LINE_M, half[1] + LINE_M))
    for side, edge in enumerate(y):
        _line(spec, f"boundary_y{side}", (middle[0], edge), (half[0] + LINE_M, LINE_M))


def _line(spec: mujoco.MjSpec, name: str, centre: tuple[float, float], half: tuple[float, float]) -> None:
    spec.worldbody.add_site(
        name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=(*centre, 0.002), size=(*half, 0.001), rgba=LINE_RGBA
    )


def add_vase(spec: mujoco.MjSpec, centre: tuple[float, float], radius_m: float, height_m: float) -> None:
    """Stand a vase on the table: an invisible cylinder that objects and the whole arm collide with, and its looks.

    The looks stay inside the cylinder, so that nothing touches what cannot be seen by more than the neck's hollow.
    """
    vase = spec.worldbody.add_body(name="vase", pos=(*centre, 0.0))
    vase.add_geom(
        name=VASE_GEOM,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=(0.0, 0.0, height_m / 2),
        size=(radius_m, height_m / 2, 0.0),
        rgba=(0.0, 0.0, 0.0, 0.0),
        group=4,
        contype=0,
        conaffinity=1 | ARM_CONTACT_BIT,
    )
    for shape, height, (width, half_height), rgba in VASE_PARTS:
        size = (width * radius_m, half_height * height_m, 0.0)
        if shape == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            size = (size[0], size[0], size[1])
        vase.add_geom(
            type=shape, pos=(0.0, 0.0, height * height_m), size=size, rgba=rgba, contype=0, conaffinity=0, group=1
        )


def arm_geoms(spec: mujoco.MjSpec) -> list[mujoco.MjsGeom]:
    """What can be seen of the Sawyer from its first moving link to its finger pads: link meshes and gripper boxes."""
    return [geom for geom in spec.body("right_l0").find_all("geom") if geom.rgba[3] > 0.0]


def gap_m(model: mujoco.MjModel, data: mujoco.MjData, one: int, other: int, reach_m: float) -> float:
    """Signed distance [m] between two geoms, at most `reach_m`.

    MuJoCo answers exactly 0 when its search does not converge, which happens on link meshes far away: that is no touch.
    """
    gap = mujoco.mj_geomDistance(model, data, one, other, reach_m, None)
    return reach_m if gap == 0.0 else gap


def quaternion(matrix: Sequence[float]) -> tuple[float, float, float, float]:
    """Rotation matrix (9,), row by row -> quaternion x, y, z, w with the sign that SciPy's `as_quat` gives.

    Shepperd's method: the largest of the diagonal and the trace decides which component is found first.
    """
    a, b, c, d, e, f, g, h, i = matrix
    trace = a + e + i
    if trace > a and trace > e and trace > i:
        x, y, z, w = h - f, c - g, d - b, 1.0 + trace
    elif a >= e and a >= i:
        x, y, z, w = 1.0 - trace + 2.0 * a, d + b, g + c, h - f
    elif e >= i:
        x, y, z, w = d + b, 1.0 - trace + 2.0 * e, h + f, c - g
    else:
        x, y, z, w = g + c, h + f, 1.0 - trace + 2.0 * i, d - b
    length = math.sqrt(x * x + y * y + z * z + w * w)
    return x / length, y / length, z / length, w / length


def turned(quat: Sequence[float], yaw: float) -> tuple[float, float, float, float]:
    """`quat` (x, y, z, w) turned by `yaw` [rad] about the vertical, in the sign of the original."""
    x, y, z, w = quat
    s, c = math.sin(yaw / 2), math.cos(yaw / 2)
    return c * x - s * y, c * y + s * x, c * z + s * w, c * w - s * z
