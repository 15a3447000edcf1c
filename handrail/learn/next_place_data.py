"""What `next_place.NextPlace` learns from: poses of hands and things, and the place to which each hand went next.

The next place of a hand is the farthest one on its way that it reached in a straight line, before its grip changed and
before it waited. Where the hand was *commanded* to be there counts, not where it was seen: a hand that presses against
something is commanded beyond it, and whoever is pulled to the surface lets go. All of it is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array
from handrail.store.trajectories import Trajectories

from .arm_frames import Base, Forward, standing, tools, with_third

if TYPE_CHECKING:
    from .next_place import NextPlaceConfig

UPRIGHT = np.eye(3, dtype=np.float32)
POSE_DIM = 9  # position 3, x axis 3, y axis 3
ARM_JOINTS = 6
STRIDE = 3  # steps between the ends that are tried for a straight line
ROWS = 4096  # at once: bounds the memory
EVERY = 6  # one episode in so many is held out
APPROACH_M, SAME_WAY = 0.015, 0.7  # how a hand comes and goes is judged over so much; the cosine of the same direction
HELD_STEPS, CARRIED_M, SLIP = 8, 0.004, 0.35  # held: it travels so far in so many steps each way, and slips by less
OPENS = 0.02  # of a commanded opening in a step: lets go
LEVER_M = 0.1  # a hand that is moved by d is turned by d / LEVER_M


@dataclass(frozen=True, slots=True)
class Poses:
    """Frames of B moments: hands first, then objects, the room last; and what else there is to see."""

    position: Array  # (B, K, 3) [m]
    rotation: Array  # (B, K, 3, 3), columns are the axes
    rest: Array  # (B, R) openings of the grippers, and what follows the objects' poses

    def rows(self, index: Array) -> Poses:
        return Poses(self.position[index], self.rotation[index], self.rest[index])


@dataclass(frozen=True)
class Scene:
    """Where an observation holds poses, each as position, x axis and y axis (9 numbers).

    Attributes:
        hands: first entry in "state" of each tool's pose.
        grips: entry of each gripper's opening, in "state" and in the action; the six before it are the arm's joints.
        objects: how many poses "environment_state" begins with.
        others: how many numbers follow them.
        centre: (x, y, z) [m] of the room's frame.
    """

    hands: tuple[int, ...]
    grips: tuple[int, ...]
    objects: int
    others: int = 0
    centre: tuple[float, float, float] = (0.0, 0.5, 0.15)

    @property
    def frames(self) -> int:
        """K, the room included."""
        return len(self.hands) + self.objects + 1

    def joints(self, hand: int) -> slice:
        """Of an arm, without its gripper, in "state" and in the action."""
        return slice(self.grips[hand] - ARM_JOINTS, self.grips[hand])

    def standing(self, state: Array, hand: int, forward: Forward) -> Base:
        """Where the arm of a hand stands, from one "state" (S,)."""
        return standing(state, self.joints(hand), self.hands[hand], forward)

    def poses(self, observation: Mapping[str, Array]) -> Poses:
        """Of an observation batch.

        Raises:
            InvalidValueError: "environment_state" has another size.
        """
        state, things = observation["state"], observation["environment_state"]
        split = POSE_DIM * self.objects
        if things.shape[1] != split + self.others:
            raise InvalidValueError(
                f"environment_state has {things.shape[1]} entries, the scene {split + self.others}: describe this task"
            )
        batch, hands = len(state), len(self.hands)
        seen = np.empty((batch, self.frames - 1, POSE_DIM), np.float32)
        for hand, at in enumerate(self.hands):
            seen[:, hand] = state[:, at : at + POSE_DIM]
        seen[:, hands:] = things[:, :split].reshape(batch, self.objects, POSE_DIM)
        position = np.empty((batch, self.frames, 3), np.float32)
        rotation = np.empty((batch, self.frames, 3, 3), np.float32)
        position[:, :-1], position[:, -1] = seen[..., :3], self.centre
        rotation[:, :-1], rotation[:, -1] = with_third(seen[..., 3:6], seen[..., 6:9]), UPRIGHT
        rest = np.concatenate([state[:, list(self.grips)], things[:, split:]], 1)
        return Poses(position, rotation, rest)


@dataclass(frozen=True, slots=True)
class PlaceBatch:
    """Moments, and where the hands went next."""

    poses: Poses
    position: Array  # (B, hands, 3) [m] next
    axes: Array  # (B, hands, 3, 2) x and y axis there


class NextPlaceSampler:
    """Draws moments of successful episodes, or of all where none succeeded, their poses made a little wrong.

    They are wrong in the way in which people are: a hand that is off its way is off along with what it holds, by a
    share of what it moves in the next moments: far where it travels, little where it works. What is learnt is then the
    way back as well.

    Args:
        data: whole episodes.
        scene: where the poses are.
        config: the learner's.
        forward: kinematics of an arm; None takes places as they were seen, not as they were commanded.
    """

    def __init__(
        self, data: Trajectories, scene: Scene, config: NextPlaceConfig, forward: Forward | None = None
    ) -> None:
        well = data.ended_well()
        data = data.pieces(well) if well.any() else data
        self.config, self.scene = config, scene
        self.poses = scene.poses(data.observation)
        hands = range(len(scene.hands))
        steps = np.arange(len(data))
        ways = self.poses.position[:, : len(hands)]
        target = [next_places(ways, hand, data.action[:, grip], data, config) for hand, grip in enumerate(scene.grips)]
        target = np.stack(target, 1)
        at = np.arange(len(hands))
        seen = self.poses.position, self.poses.rotation
        position, rotation = commanded(data, scene, forward) if forward else seen
        self.position, self.axes = position[target, at], rotation[target, at][..., :2]
        self.held = held(self.poses, data, scene)
        soon = np.minimum(steps + config.blur_steps, data.end_of(steps))
        self._travel = np.linalg.norm(self.poses.position[soon] - self.poses.position, axis=2)[:, : len(hands)]
        self._number = np.cumsum(data.last) - data.last  # (N,) which episode

    def part(self, held_out: bool) -> Array:
        """Rows to train on, or those of every sixth episode, which are held out. Of a single episode, all are both."""
        apart = self._number % EVERY == EVERY - 1
        chosen = np.flatnonzero(apart == held_out)
        return chosen if len(chosen) else np.arange(len(self._number))

    def rows(self, index: Array) -> PlaceBatch:
        """The moments at `index` (B,) as they were."""
        return PlaceBatch(self.poses.rows(index), self.position[index], self.axes[index])

    def sample(self, index: Array, rng: np.random.Generator) -> PlaceBatch:
        """`config.batch_size` of the moments at `index`, drawn with replacement and moved."""
        chosen = rng.choice(index, self.config.batch_size)
        found = self.rows(chosen)
        size = self.config.blur * self._travel[chosen] + self.config.blur_m
        return replace(found, poses=moved(found.poses, self.held[chosen], size, rng))


def commanded(data: Trajectories, scene: Scene, forward: Forward) -> tuple[Array, Array]:
    """Where the hands were commanded to be: positions (N, hands, 3) [m] and rotations (N, hands, 3, 3)."""
    found = []
    for hand in range(len(scene.hands)):
        parts = []
        for episode in data.episodes():
            base = scene.standing(data.observation["state"][episode.start], hand, forward)
            parts.append(tools(data.action[episode, scene.joints(hand)], base, forward))
        found.append([np.concatenate(part) for part in zip(*parts, strict=True)])
    position, rotation = zip(*found, strict=True)
    return np.stack(position, 1), np.stack(rotation, 1)


def next_places(ways: Array, hand: int, grip: Array, data: Trajectories, config: NextPlaceConfig) -> Array:
    """The row of each row's next place of a hand: (N,).

    Args:
        ways: (N, hands, 3) [m] positions of all hands.
        grip: (N,) commanded opening of its gripper.
    """
    way = ways[:, hand]
    stops = changes(moving(grip, data, config)) | changes(waiting(ways, hand, data, config))
    rows = np.arange(len(data))
    limit = np.minimum(np.minimum(rows + config.ahead, data.end_of(rows)), _next(stops, data))
    found = rows.copy()
    for begin in range(0, len(data), ROWS):
        part = rows[begin : begin + ROWS]
        found[part] += _straight(way, part, limit[part] - part, config.straight_m)
    return found


def moving(grip: Array, data: Trajectories, config: NextPlaceConfig) -> Array:
    """Whether the commanded opening changes: (N,) bool."""
    step = np.abs(np.diff(grip, prepend=grip[:1]))
    return (step > config.grip_step) & ~_first(data)


def waiting(ways: Array, hand: int, data: Trajectories, config: NextPlaceConfig) -> Array:
    """Whether a hand waits; the last `early` steps count as moving again: (N,) bool.

    It waits where it is slow for `wait` steps or more, unless it goes on as it came and no other hand did anything
    meanwhile: then it was only held up, by friction or by care.

    Args:
        ways: (N, hands, 3) [m] positions of all hands.
    """
    way, others = ways[:, hand], np.delete(ways, hand, axis=1)
    rows, found = np.arange(len(data)), np.zeros(len(data), bool)
    low, high = np.maximum(rows - config.window, _start(data)), np.minimum(rows + config.window, data.end_of(rows))
    slow = np.linalg.norm(way[high] - way[low], axis=1) < config.slow_m * np.maximum(high - low, 1)
    for episode in data.episodes():
        for begin, end in _runs(slow[episode]):
            if end - begin < config.wait:
                continue
            elsewhere = np.linalg.norm(np.ptp(others[episode][begin:end], axis=0), axis=1)  # (hands - 1,)
            if elsewhere.max(initial=0.0) > APPROACH_M or not _goes_on(way[episode], begin, end):
                found[episode.start + begin : episode.start + end - config.early] = True
    return found


def _goes_on(way: Array, begin: int, end: int) -> bool:
    """Whether the way leaves the rows from `begin` up to `end` in about the direction in which it came there."""
    before, after = way[:begin] - way[begin], way[end:] - way[end - 1]
    came = np.flatnonzero(np.linalg.norm(before, axis=1) > APPROACH_M)
    leaves = np.flatnonzero(np.linalg.norm(after, axis=1) > APPROACH_M)
    if not len(came) or not len(leaves):
        return False
    one, other = -before[came[-1]], after[leaves[0]]
    return float(one @ other) > SAME_WAY * float(np.linalg.norm(one) * np.linalg.norm(other))


def _runs(state: Array) -> list[tuple[int, int]]:
    """Begin and end of each run of rows where `state` (N,) holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], state, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def changes(state: Array) -> Array:
    """Rows (N,) whose state differs from that of the row before."""
    return np.diff(state, prepend=state[:1]) != 0


def held(poses: Poses, data: Trajectories, scene: Scene) -> Array:
    """Which object moves with which hand, or did so until the hand opened: (N, hands, objects) bool."""
    rows, hands = np.arange(len(data)), len(scene.hands)
    low, high = np.maximum(rows - HELD_STEPS, _start(data)), np.minimum(rows + HELD_STEPS, data.end_of(rows))
    at, rotation = poses.position, poses.rotation
    objects = at[:, hands:-1]
    found = np.zeros((len(data), hands, scene.objects), bool)
    travel = np.linalg.norm(objects[high] - objects[low], axis=2)
    for hand in range(hands):
        seen = np.einsum("bij,bki->bkj", rotation[:, hand], objects - at[:, hand, None])
        slip = np.linalg.norm(seen[high] - seen[low], axis=2)
        together = (travel > CARRIED_M) & (slip < SLIP * travel)
        opens = np.diff(data.action[:, scene.grips[hand]], prepend=1.0) > OPENS
        let_go = np.maximum.accumulate(np.where(opens | _first(data), rows, -1))
        seized = np.maximum.accumulate(np.where(together, rows[:, None], -1), axis=0)
        found[:, hand] = seized >= let_go[:, None]
    return found


def moved(poses: Poses, held: Array, size: Array, rng: np.random.Generator) -> Poses:
    """Every hand moved and turned at random by about `size` (B, hands) [m], and what it holds (B, hands, objects)."""
    position, rotation, hands = poses.position.copy(), poses.rotation.copy(), size.shape[1]
    for hand in range(hands):
        shift, turn = (size[:, hand, None] * rng.standard_normal((2, len(size), 3))).astype(np.float32)
        centre = position[:, hand].copy()
        along = np.zeros(position.shape[:2], bool)
        along[:, hand] = True
        along[:, hands:-1] = held[:, hand]
        spin = turned_by(turn / LEVER_M)
        arm = np.einsum("bij,bkj->bki", spin, position - centre[:, None]) + centre[:, None] + shift[:, None]
        position = np.where(along[..., None], arm, position)
        rotation = np.where(along[..., None, None], np.einsum("bij,bkjl->bkil", spin, rotation), rotation)
    return Poses(position, rotation, poses.rest)


def turned_by(vector: Array) -> Array:
    """Rotations (B, 3, 3) by rotation vectors (B, 3) [rad] (Rodrigues)."""
    angle = np.linalg.norm(vector, axis=1)[:, None, None]
    x, y, z = (vector / np.maximum(angle[:, 0], 1e-9)).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    turn = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    return turn.astype(np.float32)


def _straight(way: Array, rows: Array, limit: Array, within: float) -> Array:
    """How many steps from each row (B,) the way stays within so many metres of a straight line, at most `limit` (B,).

    Ends are tried from the farthest on, every `STRIDE` steps, and one is good if the way neither leaves the line to it
    nor comes before its beginning or beyond its end by more.
    """
    found = np.zeros(len(rows), np.int64)
    end, open_ = limit.copy(), np.flatnonzero(limit > 0)
    while len(open_):
        longest = int(end[open_].max())
        ahead = np.minimum(np.arange(longest + 1), end[open_, None])  # (O, L)
        path = (way[rows[open_, None] + ahead] - way[rows[open_], None]).astype(np.float64)
        goal = path[:, -1]
        length = np.linalg.norm(goal, axis=1)
        along = np.einsum("bli,bi->bl", path, goal / np.maximum(length, 1e-9)[:, None])
        off = np.sqrt(np.maximum(np.square(path).sum(2) - np.square(along), 0.0)).max(1)
        good = (off < within) & (-along.min(1) < within) & (along.max(1) - length < within)
        found[open_[good]] = end[open_[good]]
        open_ = open_[~good]
        end[open_] = (end[open_] - 1) // STRIDE * STRIDE
        open_ = open_[end[open_] > 0]
    return found


def _first(data: Trajectories) -> Array:
    """Whether a row begins an episode: (N,) bool."""
    return np.append(True, data.last[:-1])


def _start(data: Trajectories) -> Array:
    """The first row of each row's episode: (N,)."""
    return np.maximum.accumulate(np.where(_first(data), np.arange(len(data)), 0))


def _next(stops: Array, data: Trajectories) -> Array:
    """The next row after each row that is a stop or ends the episode: (N,)."""
    rows = np.arange(len(data))
    stop = np.minimum.accumulate(np.where(stops, rows, len(data))[::-1])[::-1]
    return np.minimum(np.append(stop[1:], len(data)), data.end_of(rows))
