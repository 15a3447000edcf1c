"""The next place of a hand on ways made by hand: where a line ends, a grip changes, or the hand waits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array
from handrail.learn.next_place import NextPlaceConfig
from handrail.learn.next_place_data import NextPlaceSampler, Poses, Scene, held, moved, next_places, turned_by, waiting
from handrail.store.trajectories import Trajectories

CONFIG = NextPlaceConfig(wait=10, early=3, window=2, blur=0.0)
SCENE = Scene(hands=(2, 11), grips=(0, 1), objects=1, centre=(0.0, 0.0, 0.0))
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
STEP_M = 0.004


def line(*corners: tuple[float, float, float]) -> Array:
    """Positions (N, 3) along straight legs, 4 mm a step."""
    legs = [
        np.linspace(a, b, round(np.linalg.norm(np.subtract(b, a)) / STEP_M), endpoint=False)
        for a, b in pairwise(corners)
    ]
    return np.concatenate([*legs, [corners[-1]]]).astype(np.float32)


def episode(left: Array, thing: Array | None = None, grip: Array | None = None, reward: float = 1.0) -> Trajectories:
    """The left hand goes along `left` (N, 3), the right stands; one object at `thing`; openings `grip` (N,)."""
    count = len(left)
    opening = np.ones(count) if grip is None else grip
    thing = np.tile([0.3, 0.0, 0.0], (count, 1)) if thing is None else thing
    axes, far = np.tile(UPRIGHT, (count, 1)), np.tile([0.0, 1.0, 0.0], (count, 1))
    state = np.concatenate([opening[:, None], np.ones((count, 1)), left, axes, far, axes], 1).astype(np.float32)
    things = np.concatenate([thing, axes], 1).astype(np.float32)
    columns = {"state": state, "environment_state": things}
    action = np.stack([opening, np.ones(count)], 1).astype(np.float32)
    last = np.arange(count) == count - 1
    none = np.zeros(count, np.float32)
    return Trajectories(columns, columns, action, action, reward * last, none, last, last, np.zeros(count, np.int64))


def next_of(data: Trajectories, config: NextPlaceConfig = CONFIG) -> Array:
    return next_places(hands(data), 0, data.action[:, 0], data, config)


def hands(data: Trajectories) -> Array:
    return SCENE.poses(data.observation).position[:, :2]


def test_a_line_ends_at_its_corner() -> None:
    way = line((0, 0, 0), (0.2, 0, 0), (0.2, 0.2, 0))
    found, corner = next_of(episode(way)), 50
    # a straight line may cut the corner by as much as it may leave the way
    assert (np.linalg.norm(way[found[: corner - 3]] - way[corner], axis=1) < 0.03).all()
    assert found[0] >= corner
    assert (found[corner + 5 :] == len(way) - 1).all()


def test_it_is_ahead_by_so_many_steps_at_most() -> None:
    way = line((0, 0, 0), (0.4, 0, 0))
    assert next_of(episode(way), replace(CONFIG, ahead=20))[:10].tolist() == list(range(20, 30))


def test_a_way_back_is_not_straight() -> None:
    way = line((0, 0, 0), (0.1, 0, 0), (0, 0, 0))
    found = next_of(episode(way))
    assert found[0] == pytest.approx(25, abs=3)
    assert (found[28:] == len(way) - 1).all()


def test_a_grip_that_changes_ends_the_line() -> None:
    way, grip = line((0, 0, 0), (0.2, 0, 0)), np.ones(51)
    grip[25:30], grip[30:] = np.linspace(0.9, 0.5, 5), 0.4
    found = next_of(episode(way, grip=grip))
    assert (found[:25] == 25).all()
    assert (found[31:] == 50).all()


def stopped(then: tuple[float, float, float]) -> Trajectories:
    """The left hand comes 10 cm along x, stays for 30 steps, and goes on to `then`."""
    way = np.concatenate([line((0, 0, 0), (0.1, 0, 0)), np.tile([0.1, 0, 0], (30, 1)), line((0.1, 0, 0), then)])
    return episode(way.astype(np.float32))


def test_a_wait_ends_the_line_and_its_end_belongs_to_what_follows() -> None:
    data = stopped((0.1, 0.1, 0.0))
    way, still = hands(data)[:, 0], np.flatnonzero(waiting(hands(data), 0, data, CONFIG))
    assert still[0] == pytest.approx(25, abs=6) and still[-1] == pytest.approx(55 - CONFIG.early, abs=6)
    found = next_of(data)
    np.testing.assert_allclose(way[found[: still[-1]]], np.tile([0.1, 0, 0], (still[-1], 1)), atol=0.02)
    assert (found[still[-1] + 1 :] == len(way) - 1).all()
    assert not waiting(hands(data), 0, data, replace(CONFIG, wait=60)).any()


def test_what_goes_on_as_it_came_was_held_up_unless_it_waited_for_the_other_hand() -> None:
    data = stopped((0.2, 0.0, 0.0))
    assert not waiting(hands(data), 0, data, CONFIG).any()
    assert (next_of(data) == len(data) - 1).all()
    busy = data.observation["state"].copy()
    busy[30:45, 11] = np.linspace(0.0, 0.1, 15)  # the right hand's x
    busy[45:, 11] = 0.1
    other = replace(data, observation=data.observation | {"state": busy})
    assert waiting(hands(other), 0, other, CONFIG)[30:45].all()


def test_nothing_is_seen_beyond_the_end_of_an_episode() -> None:
    one, two = episode(line((0, 0, 0), (0.1, 0, 0))), episode(line((0.1, 0, 0), (0.3, 0, 0)))
    both = replace(
        one,
        **{name: np.concatenate([getattr(one, name), getattr(two, name)]) for name in ("action", "reward", "last")},
        observation={key: np.concatenate([one.observation[key], two.observation[key]]) for key in one.observation},
    )
    assert (next_of(both)[:26] == 25).all()
    assert (next_of(both)[26:] == 76).all()


def test_what_moves_with_a_hand_is_held_until_it_opens() -> None:
    way = np.concatenate([line((0, 0, 0), (0.3, 0, 0)), np.tile([0.3, 0, 0], (20, 1)), line((0.3, 0, 0), (0.0, 0, 0))])
    thing, grip = way.copy(), np.zeros(len(way))
    thing[:, 2] -= 0.02
    thing[76 + 20 :] = thing[76 + 19]  # it stays where it was let go
    grip[76 + 20 :] = 1.0
    data = episode(way.astype(np.float32), thing, grip)
    found = held(SCENE.poses(data.observation), data, SCENE)
    assert found[5:95, 0, 0].all()
    assert not found[105:, 0, 0].any()
    assert not found[:, 1].any()


def test_a_hand_moves_with_what_it_holds_and_nothing_else_does() -> None:
    rng = np.random.default_rng(0)
    position = rng.normal(size=(500, 4, 3)).astype(np.float32)
    rotation = turned_by(rng.normal(size=(2000, 3))).reshape(500, 4, 3, 3)
    poses = Poses(position, rotation, np.zeros((500, 2), np.float32))
    holds = np.zeros((500, 2, 1), bool)
    holds[:, 0] = True
    after = moved(poses, holds, np.tile([0.02, 0.0], (500, 1)), rng)

    def seen(p: Poses) -> tuple[Array, Array]:
        away, turned = p.position[:, 2] - p.position[:, 0], np.swapaxes(p.rotation[:, 0], 1, 2)
        return (turned @ away[..., None])[..., 0], turned @ p.rotation[:, 2]

    for before, now in zip(seen(poses), seen(after), strict=True):
        np.testing.assert_allclose(now, before, atol=1e-5)
    np.testing.assert_array_equal(after.position[:, [1, 3]], poses.position[:, [1, 3]])
    np.testing.assert_array_equal(after.rotation[:, [1, 3]], poses.rotation[:, [1, 3]])
    assert np.std(after.position[:, 0] - poses.position[:, 0]) == pytest.approx(0.02, rel=0.1)


def test_turns_are_rodrigues() -> None:
    quarter = turned_by(np.array([[0.0, 0.0, np.pi / 2], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(quarter[0] @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(quarter[1], np.eye(3), atol=1e-6)


def test_only_successes_are_drawn_and_every_sixth_is_kept() -> None:
    parts = [episode(line((0, 0, 0), (0.1, 0, 0)), reward=float(number != 1)) for number in range(13)]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("action", "proposed", "reward", "cost", "terminated", "last", "authority")
    }
    seen = {key: np.concatenate([part.observation[key] for part in parts]) for key in parts[0].observation}
    data = Trajectories(observation=seen, next_observation=seen, **columns)
    sampler = NextPlaceSampler(data, SCENE, CONFIG)
    assert len(sampler.position) == 12 * 26
    assert len(sampler.part(held_out=True)) == 2 * 26
    assert not set(sampler.part(held_out=True)) & set(sampler.part(held_out=False))
    lost = replace(data, reward=np.zeros_like(data.reward))
    assert len(NextPlaceSampler(lost, SCENE, CONFIG).position) == 13 * 26


def test_a_place_is_where_the_hand_was_commanded_to_be() -> None:
    """The arm stands aside and turned; its tool is where its first three joints say, and stops at a wall."""
    scene = Scene(hands=(14, 23), grips=(6, 13), objects=1, centre=(0.0, 0.0, 0.0))
    turn, origin = turned_by(np.array([[0.0, 0.0, np.pi / 2]]))[0], np.array([0.5, -0.2, 0.1], np.float32)

    def forward(joints: Array) -> tuple[Array, Array]:
        return joints[:3], turned_by(joints[None, 3:6])[0]

    meant = np.linspace((0.0, 0.0, 0.0), (0.0, 0.1, 0.0), 51)  # beyond the wall at 8 cm
    joints = np.concatenate([meant, np.tile([0.0, 0.0, 0.3], (51, 1))], 1).astype(np.float32)
    seen = joints.copy()
    seen[:, 1] = np.minimum(seen[:, 1], 0.08)

    def world(joints: Array) -> tuple[Array, Array]:
        return origin + joints[:, :3] @ turn.T, turn @ turned_by(joints[:, 3:])

    at, axes = world(seen)
    pose = np.concatenate([at, axes[..., 0], axes[..., 1]], 1)
    still = np.concatenate([np.zeros((51, 6)), np.ones((51, 1))], 1)
    state = np.concatenate(
        [seen, np.ones((51, 1)), still, pose, np.tile([*origin, *turn[:, 0], *turn[:, 1]], (51, 1))], 1
    )
    things, none = np.tile([0.3, 0.0, 0.0, *UPRIGHT], (51, 1)), np.zeros(51, np.float32)
    columns = {"state": state.astype(np.float32), "environment_state": things.astype(np.float32)}
    action, last = np.concatenate([joints, np.ones((51, 1)), still], 1).astype(np.float32), np.arange(51) == 50
    data = Trajectories(columns, columns, action, action, last * 1.0, none, last, last, np.zeros(51, np.int64))

    sampler = NextPlaceSampler(data, scene, CONFIG, forward)
    position, rotation = world(joints[-1:])
    np.testing.assert_allclose(sampler.position[0, 0], position[0], atol=1e-5)
    np.testing.assert_allclose(sampler.axes[0, 0], rotation[0, :, :2], atol=1e-5)
    np.testing.assert_allclose(NextPlaceSampler(data, scene, CONFIG).position[0, 0], at[-1], atol=1e-5)


def test_a_scene_says_what_does_not_fit() -> None:
    data = episode(line((0, 0, 0), (0.1, 0, 0)))
    with pytest.raises(InvalidValueError, match="environment_state has 9 entries, the scene 18: describe this task"):
        replace(SCENE, objects=2).poses(data.observation)
