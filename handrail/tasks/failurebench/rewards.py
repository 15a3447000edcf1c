"""Meta-World's v2 rewards of push, soccer and push-wall as plain arithmetic on what is read after a step.

The same numbers as stock to the last digits (a test compares), without its NumPy temporaries.
"""

from __future__ import annotations

import math
from typing import NamedTuple

Point = tuple[float, float, float]

CAGE_Y_M = 0.05  # farthest a pad may be from the object in a good cage
CAGE_XZ_M = 0.005
PUCK_RADIUS_M = 0.015  # as the reward sees it; the geom has 0.02
BALL_RADIUS_M = 0.013  # as the reward sees it; the geom has 0.026
PUSH_RADIUS_M = 0.05
SOCCER_RADIUS_M = 0.07
WALL_RADIUS_M = 0.07  # of success; the reward's own is PUSH_RADIUS_M
SIDEWAYS = 3.0  # weight of x in soccer's and push-wall's distances


class Reading(NamedTuple):
    """What is read from the physics after a step; positions [m] in the world."""

    hand: Point
    opening: float  # of the gripper, in [0, 1]
    object: Point
    quaternion: tuple[float, float, float, float]  # of the object: x, y, z, w
    tool: Point  # between the finger tips
    left_pad_y: float
    right_pad_y: float


class Start(NamedTuple):
    """What stays the same through an episode."""

    object: Point
    goal: Point
    tool: Point


class Score(NamedTuple):
    """Stock's reward and the terms that its `info` shows."""

    reward: float
    success: bool
    tool_to_object: float
    grasp: float
    in_place: float
    object_to_target: float


def push(now: Reading, start: Start, effort: float) -> Score:
    """Reward of push-v3."""
    to_object = math.dist(now.object, now.tool)
    to_target = math.dist(now.object, start.goal)
    in_place = tolerance(to_target, 0.0, PUSH_RADIUS_M, math.dist(start.object, start.goal))
    grasp = puck_grasp(now, start, effort)
    reward = 2.0 * grasp
    if to_object < 0.02 and now.opening > 0.0:
        reward += 1.0 + reward + 5.0 * in_place
    if to_target < PUSH_RADIUS_M:
        reward = 10.0
    return Score(reward, to_target <= PUSH_RADIUS_M, to_object, grasp, in_place, to_target)


def push_wall(now: Reading, start: Start, effort: float, midpoint_x: float) -> Score:
    """Reward of push-wall-v3, which leads the puck past a midpoint beside the wall (stock: x = -0.05)."""
    thing = now.object
    midpoint = (midpoint_x, 0.77, thing[2])
    to_object = math.dist(thing, now.tool)
    to_target = math.dist(thing, start.goal)
    past_wall = tolerance(stretched(thing, midpoint), 0.0, PUSH_RADIUS_M, stretched(start.object, midpoint))
    in_place = tolerance(to_target, 0.0, PUSH_RADIUS_M, math.dist(start.object, start.goal))
    grasp = puck_grasp(now, start, effort)
    reward = 2.0 * grasp
    if to_object < 0.02 and now.opening > 0.0:
        reward += 5.0 + 3.0 * in_place if thing[1] > 0.75 else 1.0 + 4.0 * past_wall
    if to_target < PUSH_RADIUS_M:
        reward = 10.0
    return Score(reward, to_target <= WALL_RADIUS_M, to_object, grasp, in_place, to_target)


def soccer(now: Reading, start: Start, effort: float) -> Score:
    """Reward of soccer-v3."""
    ball, goal = now.object, start.goal
    to_object = math.dist(ball, now.tool)
    to_target = stretched(ball, goal)
    in_place = tolerance(to_target, 0.0, SOCCER_RADIUS_M, stretched(ball, start.object))
    line = goal[1] - 0.1
    if ball[1] > line and abs(ball[0] - goal[0]) > 0.10:  # beside the goal
        in_place = min(1.0, max(0.0, in_place - 2.0 * ((ball[1] - line) / (1.0 - line))))
    grasp = ball_grasp(now, start)
    reward = 10.0 if to_target < SOCCER_RADIUS_M else 3.0 * grasp + 6.5 * in_place
    distance = math.dist(ball, goal)
    return Score(reward, distance <= SOCCER_RADIUS_M, to_object, grasp, in_place, distance)


def puck_grasp(now: Reading, start: Start, effort: float) -> float:
    """How well the puck is caged and gripped: Meta-World's caging reward, high density."""
    y, y0 = now.object[1], start.object[1]
    left = tolerance(abs(now.left_pad_y - y), PUCK_RADIUS_M, CAGE_Y_M, abs(abs(now.left_pad_y - y0) - CAGE_Y_M))
    right = tolerance(abs(now.right_pad_y - y), PUCK_RADIUS_M, CAGE_Y_M, abs(abs(now.right_pad_y - y0) - CAGE_Y_M))
    caging = hamacher(hamacher(left, right), cage_xz(now, start))
    gripping = min(max(0.0, effort), 1.0) if caging > 0.97 else 0.0
    return (hamacher(caging, gripping) + caging) / 2.0


def ball_grasp(now: Reading, start: Start) -> float:
    """How well the ball is caged and gripped: soccer-v3's own caging reward.

    Its margins come from the present pads: stock keeps views of their positions, not copies.
    """
    y = now.object[1]
    left_gap, right_gap = now.left_pad_y - y, y - now.right_pad_y
    left_margin, right_margin = abs(abs(left_gap) - CAGE_Y_M), abs(abs(right_gap) - CAGE_Y_M)
    caging_y = hamacher(
        tolerance(right_gap, BALL_RADIUS_M, CAGE_Y_M, right_margin),
        tolerance(left_gap, BALL_RADIUS_M, CAGE_Y_M, left_margin),
    )
    gripping = hamacher(
        tolerance(right_gap, BALL_RADIUS_M, BALL_RADIUS_M + 0.01, right_margin),
        tolerance(left_gap, BALL_RADIUS_M, BALL_RADIUS_M + 0.01, left_margin),
    )
    caging = hamacher(caging_y, cage_xz(now, start))
    return (caging + (gripping if caging > 0.95 else 0.0)) / 2.0


def cage_xz(now: Reading, start: Start) -> float:
    """How close the tool is to the object in x and z, against where the two started."""
    apart = math.hypot(now.tool[0] - now.object[0], now.tool[2] - now.object[2])
    apart_at_start = math.hypot(start.object[0] - start.tool[0], start.object[2] - start.tool[2])
    return tolerance(apart, 0.0, CAGE_XZ_M, apart_at_start - CAGE_XZ_M)


def stretched(one: Point, other: Point) -> float:
    """Distance in which x counts `SIDEWAYS` times."""
    return math.hypot(SIDEWAYS * (one[0] - other[0]), one[1] - other[1], one[2] - other[2])


def tolerance(x: float, lower: float, upper: float, margin: float) -> float:
    """1 inside [lower, upper], falling to 0.1 at `margin` outside: dm_control's, with the long tail."""
    if lower <= x <= upper:
        return 1.0
    if margin == 0.0:
        return 0.0
    beyond = 3.0 * ((lower - x) if x < lower else (x - upper)) / margin
    return 1.0 / (beyond * beyond + 1.0)


def hamacher(a: float, b: float) -> float:
    """Hamacher's product of two truth values in [0, 1]."""
    below = a + b - a * b
    return a * b / below if below > 0.0 else 0.0
