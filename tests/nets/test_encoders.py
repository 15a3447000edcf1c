"""Encoders: concatenation, frozen normalisation, images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from handrail.core.contracts import Encoder
from handrail.core.errors import InvalidValueError
from handrail.nets import CnnConfig, CnnEncoder, Difference, StateEncoder, batched, state_sizes
from handrail.store.ring import Batch


def batch(**observation: np.ndarray) -> Batch:
    n = len(next(iter(observation.values())))
    zeros = np.zeros(n, np.float32)
    return Batch(observation, zeros[:, None], zeros, observation, zeros > 0, np.zeros(n, np.int64), zeros + 1)


def test_state_encoder_normalises_by_the_demonstrations_once():
    rng = np.random.default_rng(0)
    demos = batch(
        state=rng.normal(5.0, 2.0, (400, 2)).astype(np.float32),
        environment_state=rng.normal(-1.0, 0.1, (400, 1)).astype(np.float32),
    )
    encoder = StateEncoder({"state": 2, "environment_state": 1})
    encoder.fit(demos)
    features = encoder.encode(demos.observation)
    assert features.shape == (400, encoder.output_dim) == (400, 3)
    assert features.mean(0).abs().max() < 0.02 and (features.std(0) - 1).abs().max() < 0.02
    one = {key: value[7] for key, value in demos.observation.items()}
    np.testing.assert_allclose(encoder.encode_one({**one, "task": "text"}), features[7], rtol=1e-6)


def test_a_feature_that_never_moved_cannot_explode():
    encoder = StateEncoder({"state": 1})
    encoder.fit(batch(state=np.zeros((10, 1), np.float32)))
    assert encoder.encode({"state": np.array([[0.01], [3.0]], np.float32)}).ravel().tolist() == pytest.approx([1, 5])


def test_encoding_leaves_the_observation_as_it_was():
    encoder = StateEncoder({"state": 2})
    encoder.fit(batch(state=np.array([[0, 0], [2, 4]], np.float32)))
    state = np.ones((3, 2), np.float32)
    encoder.encode({"state": state})
    assert (state == 1).all()


def test_cnn_encoder_joins_cameras_and_vectors():
    shapes = {"images.front": (64, 64, 3), "images.wrist": (48, 32, 3)}
    encoder = CnnEncoder(shapes, {"state": 4}, torch.Generator().manual_seed(0), CnnConfig(features=16))
    rng = np.random.default_rng(0)
    observation = {key: rng.integers(0, 255, (5, *shape), np.uint8) for key, shape in shapes.items()}
    observation["state"] = rng.random((5, 4), np.float32)
    encoder.fit(replace(batch(state=observation["state"]), observation=observation))
    features = encoder.encode(observation)
    assert features.shape == (5, 36) and encoder.output_dim == 36
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert isinstance(encoder, Encoder)


def test_state_sizes_and_batched():
    observation = {"state": np.zeros(18), "environment_state": np.zeros(3), "task": "x"}
    assert state_sizes(observation) == {"state": 18, "environment_state": 3}
    assert {key: value.shape for key, value in batched(observation).items()} == {
        "state": (1, 18),
        "environment_state": (1, 3),
    }


def test_error_no_vector():
    with pytest.raises(InvalidValueError, match=r"none of .'state', 'environment_state'.: name its vectors"):
        state_sizes({"images.front": np.zeros((4, 4, 3), np.uint8)})


def test_differences_are_appended_on_their_own_scale() -> None:
    encoder = StateEncoder({"state": 3, "environment_state": 2}, (Difference(first=3, second=1, length=2, scale=0.5),))
    state, pose = np.array([[9.0, 1.0, 2.0]], np.float32), np.array([[1.5, 1.75]], np.float32)
    rows = {"state": state, "environment_state": pose}
    assert encoder.output_dim == 7
    np.testing.assert_allclose(encoder.encode(rows)[0, 5:], [1.0, -0.5])
    np.testing.assert_allclose(encoder.encode_one({k: v[0] for k, v in rows.items()}), encoder.encode(rows)[0])
