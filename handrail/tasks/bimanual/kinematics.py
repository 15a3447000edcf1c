"""Closed-form kinematics of the ViperX 300s: three joints place the wrist, three axes through it turn it (Pieper 1968).

All poses are in the arm's own base frame, x forward and z up; a tool's x axis is its approach, its y axis the one along
which the fingers open. Scalar arithmetic on purpose: one inverse takes some 50 microseconds.
"""

from __future__ import annotations

from math import acos, atan2, cos, hypot, pi, sin

import numpy as np

from handrail.core.values import Array

SHOULDER_M = 0.12705  # height of the shoulder axis over the base
UPPER_M = (0.05955, 0.3)  # shoulder to elbow at rest: forward, up
FOREARM_M = 0.3  # elbow to the wrist's centre
TOOL_M = 0.209744  # wrist's centre to the tool point between the pads (ours: 14 mm behind the finger tips)
LOW = np.array([-3.14158, -1.85005, -1.76278, -3.14158, -1.8675, -3.14158])  # [rad]
HIGH = np.array([3.14158, 1.25664, 1.6057, 3.14158, 2.23402, 3.14158])  # [rad]

Vector = tuple[float, float, float]
ROUNDS = 2  # of correction where the turn was damped
WOUND_RAD = 2.2  # of forearm roll, beyond which the wrist's other turn is taken (ours)
_LOW, _HIGH = LOW.tolist(), HIGH.tolist()
_UPPER_LENGTH = hypot(*UPPER_M)
_UPPER_RISE = atan2(UPPER_M[1], UPPER_M[0])  # elevation of the upper arm at rest [rad]
_REACH = (abs(_UPPER_LENGTH - FOREARM_M) + 0.05, _UPPER_LENGTH + FOREARM_M - 0.002)  # [m] shoulder to wrist
SOFT_SINE = 0.25  # of the wrist angle, below which the forearm's roll follows with damping (ours)


def forward(joints: Array) -> tuple[Array, Array]:
    """Tool position (3,) [m] and rotation (3, 3) for joints (6,) [rad]."""
    waist, shoulder, elbow, roll, wrist, rotate = joints.tolist()
    forearm, _, (x, y, z), (u, v, w) = _axes(waist, shoulder + elbow, roll, wrist)
    out, up = _upper(shoulder)
    c, s = cos(rotate), sin(rotate)
    third = (v * z - w * y, w * x - u * z, u * y - v * x)  # hand x hinge
    centre = (out * cos(waist), out * sin(waist), SHOULDER_M + up)
    position = np.array([a + FOREARM_M * f + TOOL_M * h for a, f, h in zip(centre, forearm, (u, v, w), strict=True)])
    rows = zip((u, v, w), (x, y, z), third, strict=True)
    return position, np.array([(h, c * a + s * b, c * b - s * a) for h, a, b in rows])


def jacobian(joints: Array) -> Array:
    """(6, 6): linear [m/rad], then angular velocity [rad/rad] of the tool per velocity of joints (6,) [rad]."""
    waist, shoulder, elbow, roll, wrist, _ = joints.tolist()
    forearm, aside, hinge, hand = _axes(waist, shoulder + elbow, roll, wrist)
    out, up = _upper(shoulder)
    # where the tool is from each axis
    from_wrist = [TOOL_M * one for one in hand]
    from_elbow = [FOREARM_M * one + more for one, more in zip(forearm, from_wrist, strict=True)]
    upper = (out * cos(waist), out * sin(waist), up)
    from_shoulder = [one + more for one, more in zip(upper, from_elbow, strict=True)]
    axes = ((0.0, 0.0, 1.0), aside, aside, forearm, hinge, hand)
    arms = (from_shoulder, from_shoulder, from_elbow, from_wrist, from_wrist, from_wrist)
    return np.array([
        (y * w - z * v, z * u - x * w, x * v - y * u, x, y, z)
        for (x, y, z), (u, v, w) in zip(axes, arms, strict=True)
    ]).T  # fmt: skip


def _upper(shoulder: float) -> tuple[float, float]:
    """Where the elbow is from the shoulder: outward and up [m]."""
    c, s = cos(shoulder), sin(shoulder)
    return UPPER_M[0] * c + UPPER_M[1] * s, UPPER_M[1] * c - UPPER_M[0] * s


def _axes(waist: float, pitch: float, roll: float, wrist: float) -> tuple[Vector, Vector, Vector, Vector]:
    """Unit vectors: along the forearm, of the arm's hinges, of the wrist's hinge, along the hand."""
    c, s, cp, sp = cos(waist), sin(waist), cos(pitch), sin(pitch)
    cr, sr, cw, sw = cos(roll), sin(roll), cos(wrist), sin(wrist)
    x, y, z = cp * c, cp * s, -sp
    u, v, w = sp * c, sp * s, cp  # across the forearm, in the arm's plane
    hinge = (sr * u - cr * s, sr * v + cr * c, sr * w)
    hand = (cw * x - sw * (cr * u + sr * s), cw * y - sw * (cr * v - sr * c), cw * z - sw * cr * w)
    return (x, y, z), (-s, c, 0.0), hinge, hand


def inverse(position: Array, rotation: Array, near: Array) -> Array:
    """Joints (6,) [rad] that bring the tool to a pose; of the two turns of the wrist, the one nearer to `near` (6,).

    A forearm rolled by more than `WOUND_RAD` changes to the other turn. A pose out of reach is answered with the
    nearest distance of the wrist that is in reach, joints beyond their range with the end of the range: the answer is
    always a valid command.
    """
    aim, rounds = position, 0
    joints, damped = _solve(aim, rotation, near)
    while damped and rounds < ROUNDS:  # it turned otherwise than asked: put the tool, not the wrist, where it was asked
        aim, rounds = aim + position - forward(joints)[0], rounds + 1
        joints, damped = _solve(aim, rotation, near)
    return joints


def _solve(position: Array, rotation: Array, near: Array) -> tuple[Array, bool]:
    """Joints (6,) for the wrist's centre behind the pose, and whether the turn was damped."""
    r = rotation.tolist()
    x, y, z = (along - TOOL_M * row[0] for along, row in zip(position.tolist(), r, strict=True))
    waist = atan2(y, x)
    shoulder, elbow = _place_wrist(hypot(x, y), z - SHOULDER_M)
    roll, wrist, rotate, damped = _turn_wrist(r, waist, shoulder + elbow, near)
    joints = (waist, shoulder, elbow, roll, wrist, rotate)
    return np.array([min(max(joint, low), high) for joint, low, high in zip(joints, _LOW, _HIGH, strict=True)]), damped


def _place_wrist(reach: float, height: float) -> tuple[float, float]:
    """Shoulder and elbow [rad] with the elbow up, by the law of cosines."""
    distance = min(max(hypot(reach, height), _REACH[0]), _REACH[1])
    rise = atan2(height, reach)
    a, b = _UPPER_LENGTH, FOREARM_M
    upper = rise + acos(_unit((a * a + distance * distance - b * b) / (2 * a * distance)))
    fore = rise - acos(_unit((b * b + distance * distance - a * a) / (2 * b * distance)))
    shoulder = _UPPER_RISE - upper
    return shoulder, -fore - shoulder


def _turn_wrist(r: list[list[float]], waist: float, pitch: float, near: Array) -> tuple[float, float, float, bool]:
    """Forearm roll, wrist angle and wrist rotation [rad]: R_forearm^T R = Rx(roll) Ry(wrist) Rx(rotate).

    Where the wrist is nearly straight the first and last axis coincide, and the exact roll may swing by half a turn at
    once: there it moves by a share of the way toward the turn that is less wound, and the other two do what they can.
    """
    cw, sw, cp, sp = cos(waist), sin(waist), cos(pitch), sin(pitch)
    first = [cw * r[0][j] + sw * r[1][j] for j in range(3)]
    m00, m01, m02 = (cp * first[j] - sp * r[2][j] for j in range(3))
    m10, m11, m12 = (cw * r[1][j] - sw * r[0][j] for j in range(3))
    m20 = sp * first[0] + cp * r[2][0]
    was_roll, was_wrist, was_rotate = near.tolist()[3:]
    bend = hypot(m10, m20)
    soft = bend < SOFT_SINE and m00 > 0.0
    best, least = (0.0, 0.0, 0.0), float("inf")
    for sign in (1.0, -1.0):
        wrist = sign * atan2(bend, m00)
        roll = _near(atan2(sign * m10, -sign * m20), was_roll)
        rotate = _near(atan2(sign * m01, sign * m02), was_rotate)
        outside = max(0.0, abs(roll) - WOUND_RAD) + max(0.0, _LOW[4] - wrist, wrist - _HIGH[4])
        away = abs(roll - was_roll) + abs(wrist - was_wrist) + abs(rotate - was_rotate)
        cost = (abs(roll) if soft else away) + 100.0 * outside
        if cost < least:
            best, least = (roll, wrist, rotate), cost
    if not soft:
        return *best, False
    roll = was_roll + (bend / SOFT_SINE) ** 2 * (best[0] - was_roll)
    c, s = cos(roll), sin(roll)
    m21, m22 = (cp * m for m in r[2][1:])
    m21, m22 = m21 + sp * first[1], m22 + sp * first[2]
    n11, n12, n20 = c * m11 + s * m21, c * m12 + s * m22, c * m20 - s * m10
    return roll, atan2(-n20, m00), _near(atan2(-n12, n11), was_rotate), True


def _near(angle: float, reference: float) -> float:
    """The same angle within half a turn of `reference`, or inside (-pi, pi] where that would leave the range."""
    turned = reference + (angle - reference + pi) % (2 * pi) - pi
    return turned if abs(turned) <= pi else (angle + pi) % (2 * pi) - pi


def _unit(value: float) -> float:
    return min(1.0, max(-1.0, value))


def about_x(angle: float) -> Array:
    """Rotation (3, 3) by `angle` [rad] about x."""
    c, s = cos(angle), sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def about_y(angle: float) -> Array:
    """Rotation (3, 3) by `angle` [rad] about y."""
    c, s = cos(angle), sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def about_z(angle: float) -> Array:
    """Rotation (3, 3) by `angle` [rad] about z."""
    c, s = cos(angle), sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def tool_rotation(yaw: float, pitch: float = pi / 2, roll: float = 0.0) -> Array:
    """Rotation (3, 3) of a tool that looks down by `pitch` from the horizontal toward `yaw`, rolled about itself."""
    return about_z(yaw) @ about_y(pitch) @ about_x(roll)
