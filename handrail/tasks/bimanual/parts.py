"""Words for building scenes: a solid that can be held, a mark on the table that cannot be touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco

from handrail.tasks.bimanual.viperx import OBJECT_COLLISION

BOX, BALL = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_SPHERE
CYLINDER, CAPSULE = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE
GRIPPY, SMOOTH = (1.0, 0.02, 0.001), (0.3, 0.002, 0.0001)  # friction: sliding, torsional, rolling
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
    **geom: Any,
) -> mujoco.MjsGeom:
    """A geom that touches arms, table and other objects; its friction is the one that counts (priority 1)."""
    contype, conaffinity = OBJECT_COLLISION
    return body.add_geom(
        type=kind, size=[*size, 0.0, 0.0][:3], rgba=list(colour), mass=mass, friction=list(friction), condim=condim,
        priority=1, contype=contype, conaffinity=conaffinity, **geom,
    )  # fmt: skip


def mark(
    body: mujoco.MjsBody, kind: mujoco.mjtGeom, size: Sequence[float], colour: Sequence[float], **geom: Any
) -> mujoco.MjsGeom:
    """A geom that is seen and touches nothing."""
    return body.add_geom(
        type=kind, size=[*size, 0.0, 0.0][:3], rgba=list(colour), mass=0.0, contype=0, conaffinity=0, **geom
    )
