"""Words for building scenes: a solid that can be held, a mark on the table that cannot be touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from handrail.tasks.bimanual.viperx import OBJECT_COLLISION

BOX, BALL = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_SPHERE
CYLINDER, CAPSULE = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE
GRIPPY, SMOOTH = (1.0, 0.02, 0.001), (0.3, 0.002, 0.0001)  # friction: sliding, torsional, rolling
CONTACT_S = 0.005  # stiff: MuJoCo leaves out the accelerations of a turning arm, and what it holds slips in proportion
GOAL_COLOURS = ((0.20, 0.55, 0.85, 1.0), (0.90, 0.60, 0.15, 1.0), (0.45, 0.70, 0.30, 1.0))


def free_body(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    """A body that moves freely; its place is drawn at reset."""
    body = spec.worldbody.add_body(name=name, pos=[0.0, 0.5, 0.1])
    body.add_freejoint(name=name)
    return body


def solid(
    body: mujoco.MjsBody,
    kind: mujoco.mjtGeom,
    size: Sequence[float],
    colour: Sequence[float],
    mass: float = 0.0,
    friction: Sequence[float] = GRIPPY,
    condim: int = 4,
    priority: int = 1,
    **geom: Any,
) -> mujoco.MjsGeom:
    """A geom that touches arms, table and other objects; its friction is the one that counts (priority)."""
    contype, conaffinity = OBJECT_COLLISION
    return body.add_geom(
        type=kind, size=[*size, 0.0, 0.0][:3], rgba=list(colour), mass=mass, friction=list(friction), condim=condim,
        priority=priority, solref=[CONTACT_S, 1.0], solimp=[0.95, 0.99, 0.001, 0.5, 2.0],
        contype=contype, conaffinity=conaffinity, **geom,
    )  # fmt: skip


def cup(
    body: mujoco.MjsBody, radius: float, height: float, colour: Sequence[float], mass: float, sides: int = 8
) -> None:
    """A floor and `sides` walls whose inner faces touch a circle of `radius`; the body's origin is its middle."""
    wall, half = 0.0015, height / 2
    solid(body, CYLINDER, [radius, 2 * wall], colour, mass=mass / 2, pos=[0, 0, 2 * wall - half])
    for side in range(sides):
        angle = 2 * np.pi * side / sides
        outward = (radius + wall) * np.array([np.cos(angle), np.sin(angle), 0.0])
        width = (radius + 2 * wall) * np.tan(np.pi / sides)
        turn = [np.cos(angle / 2), 0, 0, np.sin(angle / 2)]
        outward[2] = 0.5 * wall  # the floor alone stands on the table
        solid(body, BOX, [wall, width, half - 0.5 * wall], colour, mass=mass / 2 / sides, pos=outward, quat=turn)


def mark(
    body: mujoco.MjsBody, kind: mujoco.mjtGeom, size: Sequence[float], colour: Sequence[float], **geom: Any
) -> mujoco.MjsGeom:
    """A geom that is seen and touches nothing."""
    return body.add_geom(
        type=kind, size=[*size, 0.0, 0.0][:3], rgba=list(colour), mass=0.0, contype=0, conaffinity=0, **geom
    )
