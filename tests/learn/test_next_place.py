"""Next places: learnt relative to a thing, with an honest idea of their error; saved and gone on with exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.values import Array
from handrail.learn.next_place import NextPlace, NextPlaceConfig
from handrail.learn.next_place_data import PlaceBatch, Poses, Scene, turned_by

SCENE = Scene(hands=(2, 11), grips=(0, 1), objects=2, others=1, centre=(0.0, 0.0, 0.0))
CONFIG = NextPlaceConfig(updates=600, batch_size=64, hidden=(64, 64), feature_noise=0.0)
HANDLE = np.array([0.02, 0.03, 0.04])


def moments(count: int, rng: np.random.Generator, noise_m: float = 0.0, told: bool = True) -> PlaceBatch:
    """The left hand goes to the handle of the first thing and turns as it is turned; the right stays where it is.

    With the number beside the poses above 0 it goes to the other thing's handle; untold, either is as likely.
    """
    position = rng.uniform(-0.2, 0.2, (count, 5, 3))
    position[:, 4] = 0.0
    rotation = turned_by(rng.normal(0.0, 0.6, (5 * count, 3))).reshape(count, 5, 3, 3)
    rotation[:, 4] = np.eye(3)
    rest = np.concatenate([np.ones((count, 2)), rng.choice([-1.0, 1.0], (count, 1))], 1)
    to = np.where((rest[:, 2] if told else rng.choice([-1.0, 1.0], count)) > 0.0, 3, 2)
    at, turn = position[np.arange(count), to], rotation[np.arange(count), to]
    goal = np.stack([at + turn @ HANDLE + noise_m * rng.standard_normal((count, 3)), position[:, 1]], 1)
    axes = np.stack([turn[..., :2], rotation[:, 1, :, :2]], 1)
    kept = [one.astype(np.float32) for one in (position, rotation, rest, goal, axes)]
    return PlaceBatch(Poses(*kept[:3]), *kept[3:])


def observed(batch: PlaceBatch, row: int) -> dict[str, Array]:
    poses = batch.poses
    pose = [
        np.concatenate([poses.position[row, k], poses.rotation[row, k, :, 0], poses.rotation[row, k, :, 1]])
        for k in range(4)
    ]
    return {
        "state": np.concatenate([poses.rest[row, :2], pose[0], pose[1]]),
        "environment_state": np.concatenate([pose[2], pose[3], poses.rest[row, 2:]]),
    }


def trained(noise_m: float = 0.0, told: bool = True, ways: int = 1) -> NextPlace:
    learner, rng = NextPlace(replace(CONFIG, ways=ways), SCENE, 0), np.random.default_rng(0)
    for _ in range(CONFIG.updates):
        learner.update(moments(64, rng, noise_m, told))
    learner.fit_errors(moments(2_000, rng, noise_m, told))
    return learner


def test_places_are_found_on_things_wherever_they_are() -> None:
    learner, batch = trained(), moments(300, np.random.default_rng(9))
    found = [learner.ways(observed(batch, row)).merged() for row in range(300)]
    off = np.linalg.norm([one.position for one in found] - batch.position, axis=2)
    away = np.linalg.norm(batch.position[:, 0] - batch.poses.position[:, 0], axis=1)
    assert np.median(off[:, 0]) < 0.1 * np.median(away)
    assert np.median(off[:, 1]) < 0.005
    turned = np.array([one.rotation for one in found])
    np.testing.assert_allclose(turned @ np.swapaxes(turned, 2, 3), np.tile(np.eye(3), (300, 2, 1, 1)), atol=1e-5)
    assert np.median(np.abs(turned[..., :2] - batch.axes)) < 0.05


def test_the_error_that_is_expected_is_the_error_that_is_made() -> None:
    learner, batch = trained(noise_m=0.02), moments(1_000, np.random.default_rng(9), 0.02)
    found = [learner.ways(observed(batch, row)).merged() for row in range(1_000)]
    off = np.linalg.norm([one.position for one in found] - batch.position, axis=2)
    said = np.array([one.error_m for one in found])
    assert np.sqrt(np.mean(np.square(off[:, 0] / said[:, 0]))) == pytest.approx(1.0, abs=0.15)
    assert np.sqrt(3) * 0.02 < said[:, 0].mean() < 2 * 0.02 * np.sqrt(3)
    assert off[:, 1].max() < 0.001 and said[:, 1].mean() < 0.003  # the hand that stays is sure of it


def test_goals_that_are_nowhere_to_be_seen_are_ways_of_their_own() -> None:
    learner, batch = trained(told=False, ways=2), moments(300, np.random.default_rng(9), told=False)
    ways = [learner.ways(observed(batch, row)) for row in range(300)]
    off = np.linalg.norm([one.position for one in ways] - batch.position[:, None], axis=3)[..., 0]  # (300, 2)
    merged = np.linalg.norm([one.merged().position for one in ways] - batch.position, axis=2)[:, 0]
    assert np.median(off.min(1)) < 0.2 * np.median(merged)
    assert np.mean([one.probability for one in ways], axis=0) == pytest.approx(0.5, abs=0.2)
    said = np.array([one.merged().error_m[0] for one in ways])
    assert np.sqrt(np.mean(np.square(merged / said))) == pytest.approx(1.0, abs=0.3)  # between two it is in doubt
    sure = np.array([one.merged(np.eye(2)[np.argmin(o)]).error_m[0] for one, o in zip(ways, off, strict=True)])
    assert sure.mean() < 0.3 * said.mean()


def test_one_moment_in_numpy_is_what_torch_says_of_it() -> None:
    learner, batch = NextPlace(replace(CONFIG, ways=3), SCENE, 8), moments(20, np.random.default_rng(4))
    other = trained(noise_m=0.01, ways=3)
    learner.load_state(*other.state())  # the parameters changed under it
    said = other.net(torch.from_numpy(other.net.features(batch.poses)), batch.poses)
    on_m, on_rad = other.net.factors
    expected = (said.position, said.axes, on_m * said.s_m, on_rad * said.s_rad, said.log_q.exp())
    for row in range(20):
        for found, one in zip(learner.ways(observed(batch, row)), expected, strict=True):
            np.testing.assert_allclose(found, one[row].detach().numpy(), rtol=1e-4, atol=1e-5)


def test_it_is_fixed_by_its_seed_and_goes_on_where_it_was() -> None:
    unbroken, rng = NextPlace(CONFIG, SCENE, 3), np.random.default_rng(1)
    batches = [moments(64, rng) for _ in range(6)]
    first = NextPlace(CONFIG, SCENE, 3)
    for batch in batches:
        unbroken.update(batch)
    for batch in batches[:3]:
        first.update(batch)
    resumed = NextPlace(CONFIG, SCENE, 8)
    resumed.load_state(*first.state())
    for batch in batches[3:]:
        resumed.update(batch)
    arrays, meta = resumed.state()
    for name, value in unbroken.state()[0].items():
        np.testing.assert_array_equal(arrays[name], value)
    assert meta == unbroken.state()[1]


def test_the_rate_falls_to_nothing() -> None:
    learner, rng = NextPlace(replace(CONFIG, updates=2), SCENE, 0), np.random.default_rng(0)
    for _ in range(2):
        learner.update(moments(8, rng))
    before = learner.state()[0]["net/mlp.0.weight"].copy()
    learner.update(moments(8, rng))
    np.testing.assert_array_equal(learner.state()[0]["net/mlp.0.weight"], before)


def test_metrics_are_told_when_asked_for() -> None:
    learner, batch = NextPlace(CONFIG, SCENE, 0), moments(64, np.random.default_rng(0))
    assert learner.update(batch) == {}
    told = learner.update(batch, metrics=True)
    assert set(told) == {"place_loss", "axes_loss", "choice_loss", "error_m", "error_rad"}
    assert 0.05 < told["error_m"] < 0.5  # as far as hands are from where they go, before anything is learnt


def test_error_messages() -> None:
    with pytest.raises(InvalidValueError, match="next place updates is 0, must be at least 1: raise it"):
        NextPlaceConfig(updates=0)
    with pytest.raises(InvalidValueError, match=r"next place early is 40, must be in \[0, wait = 35\): lower it"):
        NextPlaceConfig(early=40)
    with pytest.raises(CheckpointError, match=r"checkpoint holds no next places"):
        NextPlace(CONFIG, SCENE, 0).load_state({}, {})
