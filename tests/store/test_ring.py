"""The replay ring and the samplers: shapes, overwriting, shared image frames, exact resume."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError, SchemaError
from handrail.core.values import Array, Authority, Observation, Step, TakeoverCause
from handrail.store.ring import ReplayRing, stack
from handrail.store.samplers import chunks, concatenate, mix, sample_mixed


def step(
    now: Observation,
    after: Observation,
    action: float = 0.0,
    reward: float = 0.0,
    terminated: bool = False,
    authority: Authority = Authority.POLICY,
) -> Step:
    executed = np.array([action, 0.0], np.float32)
    nobody = (None, None, authority, TakeoverCause.NONE)
    return Step(now, after, executed, executed, *nobody, 0.0, 0.0, 0.0, reward, 0.0, terminated, False, False, 0.0, 0.0)


def vector(value: float) -> dict[str, Array | str]:
    return {"state": np.array([value, -value], np.float64), "task": "lift it"}


def numbered(count: int, start: int = 0) -> list[Step]:
    return [step(vector(i), vector(i + 1), reward=float(i)) for i in range(start, start + count)]


def picture(value: int) -> dict[str, Array | str]:
    return {"state": np.array([value], np.float32), "images.front": np.full((4, 4, 3), value, np.uint8)}


def film(episodes: int, length: int) -> list[Step]:
    """Frames are numbered throughout, and every episode has a last observation of its own."""
    steps = []
    for e in range(episodes):
        first = e * (length + 1)
        steps += [step(picture(first + t), picture(first + t + 1)) for t in range(length)]
    return steps


def test_all_gives_what_was_added_in_order_as_float32():
    ring = ReplayRing(10)
    for each in numbered(4):
        ring.add(each, weight=2.0)
    batch = ring.all()
    assert len(ring) == len(batch) == 4
    np.testing.assert_array_equal(batch.observation["state"], [[0, 0], [1, -1], [2, -2], [3, -3]])
    np.testing.assert_array_equal(batch.next_observation["state"][:, 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(batch.reward, [0, 1, 2, 3])
    np.testing.assert_array_equal(batch.weight, [2, 2, 2, 2])
    assert batch.observation["state"].dtype == batch.action.dtype == batch.reward.dtype == np.float32
    assert batch.terminated.dtype == np.bool_ and batch.authority.dtype == np.int64
    assert list(batch.observation) == ["state"]  # text is no input


def test_the_oldest_step_leaves_first():
    ring = ReplayRing(3)
    for each in numbered(7):
        ring.add(each)
    np.testing.assert_array_equal(ring.all().reward, [4, 5, 6])
    assert set(ring.sample(200, np.random.default_rng(0)).reward) == {4, 5, 6}


def test_sampling_is_uniform_and_fixed_by_the_generator():
    ring = ReplayRing(100)
    for each in numbered(10):
        ring.add(each)
    rewards = ring.sample(20_000, np.random.default_rng(1)).reward
    counts = np.bincount(rewards.astype(int), minlength=10)
    assert np.all(np.abs(counts - 2_000) < 5 * np.sqrt(2_000))
    np.testing.assert_array_equal(rewards, ring.sample(20_000, np.random.default_rng(1)).reward)


def test_authority_terminated_and_executed_action_stay_with_their_step():
    ring = ReplayRing(4)
    ring.add(step(vector(0), vector(1), 0.25, 1.0, True, Authority.OPERATOR))
    ring.add(step(vector(1), vector(2), -0.5, 0.0, False, Authority.ASSISTANT))
    batch = ring.all()
    assert batch.authority.tolist() == [Authority.OPERATOR, Authority.ASSISTANT]
    assert batch.terminated.tolist() == [True, False]
    assert batch.action[:, 0].tolist() == [0.25, -0.5]


def test_images_share_frames_and_come_back_right():
    ring = ReplayRing(20)
    steps = film(episodes=3, length=5)
    for each in steps:
        ring.add(each)
    batch = ring.all()
    np.testing.assert_array_equal(batch.observation["images.front"][:, 0, 0, 0], batch.observation["state"][:, 0])
    np.testing.assert_array_equal(
        batch.next_observation["images.front"][:, 0, 0, 0], batch.next_observation["state"][:, 0]
    )
    assert batch.observation["images.front"].dtype == np.uint8
    assert ring.state()["images/images.front"].shape[0] == 3 * 6  # frames, not 2 x 15


@pytest.mark.parametrize("length", [1, 2, 7, 100])
def test_images_stay_right_when_frames_are_overwritten(length: int):
    ring = ReplayRing(16)
    for each in film(episodes=200 // (length + 1), length=length):
        ring.add(each)
        batch = ring.all()
        for side in (batch.observation, batch.next_observation):
            np.testing.assert_array_equal(side["images.front"][:, 3, 3, 2], side["state"][:, 0])
    assert 8 <= len(ring) <= 16


@pytest.mark.parametrize("make", [lambda: numbered(25), lambda: film(3, 7)], ids=["vectors", "images"])
def test_a_loaded_ring_goes_on_exactly(make):
    steps = make()
    unbroken = ReplayRing(8)
    for each in steps[:11]:
        unbroken.add(each)
    resumed = ReplayRing(8)
    resumed.load_state(unbroken.state())
    for each in steps[11:]:
        unbroken.add(each)
        resumed.add(each)
    ours, theirs = (ring.sample(64, np.random.default_rng(3)) for ring in (unbroken, resumed))
    for a, b in zip(columns(ours), columns(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


def columns(batch):
    scalars = [batch.action, batch.reward, batch.terminated, batch.authority, batch.weight]
    return [*batch.observation.values(), *batch.next_observation.values(), *scalars]


def test_an_empty_ring_survives_a_round_trip():
    ring = ReplayRing(5)
    ring.load_state(ReplayRing(5).state())
    assert len(ring) == 0
    ring.add(numbered(1)[0])
    assert len(ring) == 1


def test_error_sampling_from_nothing():
    with pytest.raises(InvalidValueError, match="replay ring holds 0 steps: add at least one step before sampling"):
        ReplayRing(5).sample(2, np.random.default_rng(0))


def test_error_capacity():
    with pytest.raises(InvalidValueError, match="replay capacity 0 is below 1"):
        ReplayRing(0)


def test_error_state_of_another_capacity():
    with pytest.raises(InvalidValueError, match="replay state has capacity 5, this ring 6: make them equal"):
        ReplayRing(6).load_state(ReplayRing(5).state())


def test_error_another_shape():
    ring = ReplayRing(5)
    ring.add(numbered(1)[0])
    wrong = {"state": np.zeros(3, np.float32)}
    with pytest.raises(SchemaError, match=r"observation/state of shape \(3,\), the replay ring \(2,\)"):
        ring.add(step(wrong, wrong))


def test_error_missing_key():
    ring = ReplayRing(5)
    both = {"state": np.zeros(2, np.float32), "environment_state": np.zeros(1, np.float32)}
    ring.add(step(both, both))
    with pytest.raises(SchemaError, match=r"observation/environment_state of shape None, the replay ring \(1,\)"):
        ring.add(numbered(1)[0])


def test_error_another_image_shape():
    ring = ReplayRing(5)
    ring.add(film(1, 1)[0])
    small = {"state": np.zeros(1, np.float32), "images.front": np.zeros((2, 2, 3), np.uint8)}
    with pytest.raises(SchemaError, match=r"images.front of shape \(2, 2, 3\), the replay ring \(4, 4, 3\)"):
        ring.add(step(small, small))


def test_a_batch_splits_in_order_and_into_equal_parts_only():
    batch = stack(numbered(6))
    assert [part.reward.tolist() for part in batch.split(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(InvalidValueError, match="batch of 6 rows does not split into 4 equal parts"):
        batch.split(4)


def test_mix_puts_demonstrations_under_online_rows():
    both = mix(stack(numbered(3)), stack(numbered(2, start=10), np.array([5.0, 6.0])))
    assert both.reward.tolist() == [0, 1, 2, 10, 11]
    assert both.weight.tolist() == [1, 1, 1, 5, 6]
    assert both.observation["state"][:, 0].tolist() == [0, 1, 2, 10, 11]


def test_mix_refuses_a_key_on_one_side_only():
    two = {"state": np.zeros(2, np.float32), "environment_state": np.zeros(1, np.float32)}
    with pytest.raises(SchemaError, match="'environment_state' is on one side of the mix only"):
        mix(stack([step(two, two)]), stack(numbered(1)))


def test_sample_mixed_gives_half_and_half_in_every_batch():
    online, demo = ReplayRing(50), ReplayRing(50)
    for each in numbered(20):
        online.add(each)
    for each in numbered(20, start=100):
        demo.add(each)
    for batch in sample_mixed(online, demo, 9, np.random.default_rng(0), batches=4):
        assert (batch.reward < 100).sum() == 5 and (batch.reward >= 100).sum() == 4


def test_sample_mixed_uses_the_only_ring_that_holds_something():
    demo = ReplayRing(5)
    demo.add(numbered(1, start=100)[0])
    (batch,) = sample_mixed(ReplayRing(5), demo, 4, np.random.default_rng(0))
    assert batch.reward.tolist() == [100] * 4


def test_chunks_repeat_the_last_action_past_the_end():
    episode = [step(vector(i), vector(i + 1), action=i / 10) for i in range(3)]
    batch = chunks(episode, horizon=3)
    np.testing.assert_allclose(batch.action[:, :, 0], [[0, 0.1, 0.2], [0.1, 0.2, 0.2], [0.2, 0.2, 0.2]])


def test_stack_and_concatenate_keep_every_image():
    batch = concatenate([stack(film(9, 1)), stack(film(1, 9))])
    np.testing.assert_array_equal(batch.observation["images.front"][:, 0, 0, 0], batch.observation["state"][:, 0])
    assert len(batch) == 18


def test_chunks_from_the_ring_end_where_the_run_of_steps_ends() -> None:
    ring = ReplayRing(8)
    for start, count in ((0, 3), (10, 2), (20, 6)):  # the first run is overwritten
        for i in range(start, start + count):
            ring.add(step(vector(i), vector(i + 1), action=float(i)))
    batch = ring.sample_chunks(500, 4, np.random.default_rng(0))
    assert batch.action.shape == (500, 4, 2)
    first = batch.observation["state"][:, 0]
    last = np.where(first < 20, 11, 25)
    assert set(first) == {10, 11, 20, 21, 22, 23, 24, 25}
    assert np.array_equal(batch.action[:, :, 0], np.minimum(first[:, None] + np.arange(4), last[:, None]))


def test_chunks_of_one_action_are_the_same_draws_as_steps() -> None:
    ring = ReplayRing(16)
    for one in numbered(20):
        ring.add(one)
    chunked = ring.sample_chunks(32, 1, np.random.default_rng(1))
    plain = ring.sample(32, np.random.default_rng(1))
    assert np.array_equal(chunked.action[:, 0], plain.action) and np.array_equal(chunked.reward, plain.reward)


def test_chunks_from_a_ring_with_images_end_with_the_film() -> None:
    ring = ReplayRing(20)
    for one in film(episodes=2, length=3):
        ring.add(one)
    batch = ring.sample_chunks(64, 6, np.random.default_rng(2))
    assert batch.action.shape == (64, 6, 2)
    assert np.array_equal(ring._continues(np.arange(6)), [True, True, False, True, True, False])
