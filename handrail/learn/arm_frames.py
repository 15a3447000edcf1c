"""Where an arm's tool is in the world, for joints that were commanded rather than seen.

An observation says where a tool is and how its joints stand; forward kinematics then says where the arm stands, and
with that where any other joints would put the tool. Nothing about the room needs to be known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from handrail.core.values import Array

Forward = Callable[[Array], tuple[Array, Array]]
"""Joints (J,) [rad] -> tool position (3,) [m] and rotation (3, 3) in the arm's own frame."""
YZX, ZXY = np.array([1, 2, 0]), np.array([2, 0, 1])


class Base(NamedTuple):
    """Where an arm stands."""

    origin: Array  # (3,) [m]
    axes: Array  # (3, 3) from its frame to the world's


def standing(state: Array, joints: slice, tool: int, forward: Forward) -> Base:
    """Where an arm stands; a `state` (S,) holds its joints and, from entry `tool` on, its tool's position and axes."""
    at, turn = forward(state[joints])
    axes = with_third(state[tool + 3 : tool + 6], state[tool + 6 : tool + 9]) @ turn.T
    return Base(state[tool : tool + 3] - axes @ at, axes)


def tools(joints: Array, base: Base, forward: Forward) -> tuple[Array, Array]:
    """Positions (N, 3) [m] and rotations (N, 3, 3) of a tool in the world, for joints (N, J)."""
    found = [forward(row) for row in joints]
    at, turn = (np.array(part, np.float32) for part in zip(*found, strict=True))
    return base.origin + at @ base.axes.T, base.axes @ turn


def with_third(x: Array, y: Array) -> Array:
    """Rotations (..., 3, 3) of given x and y axes (..., 3), which `np.cross` is slow at for a few rows."""
    found = np.empty((*x.shape, 3), x.dtype)
    found[..., 0], found[..., 1] = x, y
    found[..., 2] = x[..., YZX] * y[..., ZXY] - x[..., ZXY] * y[..., YZX]
    return found
