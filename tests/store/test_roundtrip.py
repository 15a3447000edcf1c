"""What was recorded is what is read: steps, windows, images, streams, metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import (
    CorruptError,
    InvalidValueError,
    NonFiniteError,
    SchemaError,
    UnknownNameError,
    WriteError,
)
from handrail.core.values import Authority, Step
from handrail.store import Dataset, DatasetWriter, EpisodeMeta, compact

META = EpisodeMeta("PickCube", "pick the cube")


def same(a: Step, b: Step) -> None:
    """Every field, after the rounding to float32 that the file does."""
    for name in Step.__dataclass_fields__:
        left, right = getattr(a, name), getattr(b, name)
        if isinstance(left, dict):
            assert set(left) == set(right), name
            for key in left:
                np.testing.assert_array_equal(left[key], right[key])
        elif isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        elif isinstance(left, float):
            assert right == pytest.approx(left, abs=1e-6), name
        else:
            assert left == right, name


def test_every_field_of_every_step_comes_back(record, make_steps) -> None:
    dataset = Dataset(record(3))
    assert (dataset.num_episodes, dataset.num_steps, dataset.fps) == (3, 27, 10)
    for number in range(3):
        written = make_steps(8 + number, 100.0 * number)
        for a, b in zip(written, dataset.episode(number).steps(), strict=True):
            same(a, b)


def test_metadata_comes_back(record) -> None:
    meta = Dataset(record(3)).meta(1)
    assert meta == EpisodeMeta("TubeInsertion", "insert the tube", 1, 7, 3, "ordinary", True, "", "120", "c0ffee")
    assert Dataset(record(1, "b")).meta(-1).env_seed == 0


def test_unknown_metadata_stays_unknown(tmp_path, make_steps) -> None:
    with DatasetWriter(tmp_path / "set", 10) as writer:
        writer.add(make_steps(1)[0])
        writer.commit(EpisodeMeta("PickCube"))
    assert Dataset(tmp_path / "set").meta(0) == EpisodeMeta("PickCube", "PickCube")


def test_random_access_to_steps(record, make_steps) -> None:
    dataset = Dataset(record(3))
    same(dataset.step(8 + 3), make_steps(9, 100.0)[3])
    same(dataset.step(26), make_steps(10, 200.0)[9])
    with pytest.raises(InvalidValueError, match=r"step 27 does not exist: .* holds 27"):
        dataset.step(27)
    with pytest.raises(InvalidValueError, match=r"episode 3 does not exist: .* holds 3"):
        dataset.episode(3)


def test_window_inside_an_episode(record) -> None:
    window = Dataset(record(2)).window(9, n=3, chunk=4)
    assert window.observation["state"][0] == 101 and window.next_observation["state"][0] == 104
    np.testing.assert_allclose(window.action[:, 0], [0.1, 0.2, 0.3, 0.4], atol=1e-6)
    np.testing.assert_array_equal(window.authority, [0, 2, 2, 0])
    assert not window.action_is_pad.any() and not window.reward_is_pad.any() and not window.terminated


def test_window_past_the_end_is_padded_and_ends_in_the_final_observation(record) -> None:
    window = Dataset(record(2)).window(6, n=4, chunk=5)
    assert window.next_observation["state"][0] == 8.0
    np.testing.assert_array_equal(window.reward, [0, 1, 0, 0])
    np.testing.assert_array_equal(window.reward_is_pad, [False, False, True, True])
    np.testing.assert_allclose(window.action[:, 0], [0.6, 0.7, 0.7, 0.7, 0.7], atol=1e-6)
    np.testing.assert_array_equal(window.action_is_pad, [False, False, True, True, True])
    assert window.terminated and window.n_step_return(0.9) == pytest.approx(0.9)


def test_windows_must_have_a_length(record) -> None:
    with pytest.raises(InvalidValueError, match="n=0, chunk=1: both must be at least 1"):
        Dataset(record(1)).window(0, 0, 1)


@pytest.mark.parametrize(("mode", "tolerance"), [("image", 0.0), ("video", 6.0)])
def test_images_come_back(record, make_steps, mode, tolerance) -> None:
    root = record(2, image=64, images=mode)
    written = np.stack([step.observation["images.front"] for step in make_steps(9, 100.0, 64)]).astype(int)
    for _ in range(2):
        read = Dataset(root).episode(1).images("front")
        assert read.shape == (9, 64, 64, 3) and read.dtype == np.uint8
        assert np.abs(read - written).mean() <= tolerance
        compact(root)


def test_steps_with_images_have_the_final_one_losslessly(record, make_steps) -> None:
    steps = Dataset(record(1, image=64, images="image")).episode(0).steps(images=True)
    for a, b in zip(make_steps(8, 0.0, 64), steps, strict=True):
        same(a, b)


def test_unknown_camera(record) -> None:
    with pytest.raises(UnknownNameError, match="unknown camera 'frnt': did you mean front"):
        Dataset(record(1, image=64)).episode(0).images("frnt")


def test_cameras_can_be_left_out(record) -> None:
    dataset = Dataset(record(1, image=64, images="none"))
    assert dataset.schema.cameras == () and set(dataset.episode(0).final_observation) == {"state", "environment_state"}


def test_streams_faster_than_the_policy(tmp_path, make_steps) -> None:
    with DatasetWriter(tmp_path / "set", 10) as writer:
        for step in make_steps(3):
            writer.add(step)
            for tick in range(5):
                writer.stream("wrench", step.timestamp + tick / 50, np.full(6, tick, np.float32))
        writer.commit(META)
    stamps, values = Dataset(tmp_path / "set").episode(0).stream("wrench")
    assert stamps.shape == (15,) and values.shape == (15, 6) and stamps[-1] == pytest.approx(0.28)
    with pytest.raises(CorruptError, match=r"torque/episode-000000.npz cannot be read"):
        Dataset(tmp_path / "set").episode(0).stream("torque")
    with DatasetWriter(tmp_path / "set", 10) as writer, pytest.raises(InvalidValueError, match=r"stream name '\.\./x'"):
        writer.stream("../x", 0.0, np.zeros(1))


def test_the_writer_keeps_nothing_of_the_environments_memory(tmp_path, make_steps) -> None:
    step = make_steps(1)[0]
    with DatasetWriter(tmp_path / "set", 10) as writer:
        writer.add(step)
        for array in (*step.observation.values(), *step.next_observation.values(), step.action):
            array[...] = 99
        writer.commit(META)
    read = Dataset(tmp_path / "set").step(0)
    assert read.observation["state"][0] == 0 and read.next_observation["state"][0] == 1 and read.action[0] == 0


def test_a_long_episode_grows_the_buffer(tmp_path, make_steps) -> None:
    with DatasetWriter(tmp_path / "set", 10) as writer:
        for step in make_steps(700):
            writer.add(step)
        writer.commit(META)
    assert Dataset(tmp_path / "set").episode(0).columns["observation.state"][699, 0] == 699


def test_recording_goes_on_where_it_stopped(record, make_steps) -> None:
    root = record(2)
    with DatasetWriter(root, 10) as writer:
        assert writer.num_episodes == 2
        for step in make_steps(4, 500.0):
            writer.add(step)
        assert writer.commit(META) == 2
    dataset = Dataset(root)
    assert dataset.num_steps == 21 and dataset.step(17).observation["state"][0] == 500
    assert dataset.episode(2).columns["task_index"][0] == 1


def test_recording_goes_on_after_compaction(record, make_steps) -> None:
    root = record(2, image=64)
    compact(root)
    with DatasetWriter(root, 10) as writer:
        for step in make_steps(4, 500.0, 64):
            writer.add(step)
        writer.commit(META)
    dataset = Dataset(root)
    assert [len(episode) for episode in dataset] == [8, 9, 4]
    assert [len(episode.images("front")) for episode in dataset] == [8, 9, 4]
    assert dataset.episode(0).final_observation["state"][0] == 8


def test_discard_leaves_no_trace(record, make_steps) -> None:
    root = record(1, image=64)
    before = sorted(path for path in root.rglob("*") if path.is_file())
    with DatasetWriter(root, 10) as writer:
        for step in make_steps(5, 0.0, 64):
            writer.add(step)
        writer.discard()
        assert writer.length == 0
    assert sorted(path for path in root.rglob("*") if path.is_file()) == before


def test_nothing_to_commit(tmp_path) -> None:
    with (
        DatasetWriter(tmp_path / "set", 10) as writer,
        pytest.raises(InvalidValueError, match="no steps: add at least one"),
    ):
        writer.commit(META)


@pytest.mark.parametrize("field", ["action", "policy_action", "risk", "reward"])
def test_nan_is_refused_in_one_line_and_the_steps_before_stay(record, make_steps, field) -> None:
    root = record(1)
    steps = make_steps(4)
    value = np.array([0.0, np.nan], np.float32) if field.endswith("action") else float("nan")
    with DatasetWriter(root, 10) as writer:
        for step in steps[:3]:
            writer.add(step)
        with pytest.raises(
            NonFiniteError, match=r"of step 3 holds nan at index \[\d\]. every entry must be finite"
        ) as caught:
            writer.add(replace(steps[3], **{field: value}))
        assert "\n" not in str(caught.value) and writer.length == 3
        writer.commit(META)
    assert [len(episode) for episode in Dataset(root)] == [8, 3]


def test_nan_in_an_observation(tmp_path, make_steps) -> None:
    step = make_steps(1)[0]
    bad = replace(step, observation={**step.observation, "state": np.array([0, 0, np.inf], np.float32)})
    text = r"observation.state of step 0 holds inf at index \[2\]"
    with DatasetWriter(tmp_path / "set", 10) as writer, pytest.raises(NonFiniteError, match=text):
        writer.add(bad)


def other_width(step: Step) -> Step:
    return replace(step, action=np.zeros(3, np.float32), policy_action=np.zeros(3, np.float32))


def other_key(step: Step) -> Step:
    return replace(step, observation={"state": step.observation["state"], "goal": np.zeros(2, np.float32)})


@pytest.mark.parametrize(
    ("change", "text"),
    [(other_width, r"action is float32 \(2,\) there and float32 \(3,\)"), (other_key, "environment_state is float32")],
)
def test_another_schema_is_refused(record, make_steps, change, text) -> None:
    root = record(1)
    with (
        DatasetWriter(root, 10) as writer,
        pytest.raises(SchemaError, match=f"has another schema: .*{text}.*choose another folder"),
    ):
        writer.add(change(make_steps(1)[0]))
    assert Dataset(root).num_episodes == 1


def test_a_step_of_another_width_within_an_episode(tmp_path, make_steps) -> None:
    steps = make_steps(2)
    with DatasetWriter(tmp_path / "set", 10) as writer:
        writer.add(steps[0])
        with pytest.raises(SchemaError, match=r"action of step 1 has shape \(3,\); this dataset holds \(2,\)"):
            writer.add(other_width(steps[1]))
        with pytest.raises(SchemaError, match="step 1 has no observation environment_state"):
            writer.add(other_key(steps[1]))


def test_an_image_of_another_size(tmp_path, make_steps) -> None:
    with DatasetWriter(tmp_path / "set", 10, images="image") as writer:
        writer.add(make_steps(1, 0.0, 16)[0])
        with pytest.raises(
            SchemaError, match=r"images.front is uint8 \(32, 32, 3\); this dataset holds uint8 \(16, 16, 3\)"
        ):
            writer.add(make_steps(1, 0.0, 32)[0])
        assert writer.length == 1


def test_matrices_and_float_images_have_no_place(tmp_path, make_steps) -> None:
    step = make_steps(1)[0]
    with DatasetWriter(tmp_path / "set", 10) as writer:
        with pytest.raises(SchemaError, match=r"observation.map has shape \(2, 2\); a vector \(S,\) is needed"):
            writer.add(replace(step, observation={"map": np.zeros((2, 2))}))
        with pytest.raises(SchemaError, match="an image must be uint8"):
            writer.add(replace(step, observation={"images.front": np.zeros((8, 8, 3))}))


def test_another_rate_is_refused(record) -> None:
    with pytest.raises(SchemaError, match="was recorded at 10 Hz, not 20 Hz"):
        DatasetWriter(record(1), 20)


def test_bad_arguments(tmp_path) -> None:
    with pytest.raises(UnknownNameError, match="unknown image mode 'vidoe': did you mean video"):
        DatasetWriter(tmp_path / "set", 10, images="vidoe")
    with pytest.raises(InvalidValueError, match="fps=0 is not a rate"):
        DatasetWriter(tmp_path / "set", 0)


def test_two_writers_at_once(record) -> None:
    root = record(1)
    with DatasetWriter(root, 10), pytest.raises(WriteError, match="is being written by this process"):
        DatasetWriter(root, 10)
    DatasetWriter(root, 10).close()


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        (None, SchemaError, "is not a dataset"),
        ("{", CorruptError, "is damaged"),
        ('{"codebase_version": "v2.1"}', SchemaError, "layout version v2.1, not v3.0"),
    ],
)
def test_what_is_no_dataset(tmp_path: Path, text, error, match) -> None:
    if text is not None:
        (tmp_path / "meta").mkdir()
        (tmp_path / "meta/info.json").write_text(text)
    with pytest.raises(error, match=match):
        Dataset(tmp_path)


@pytest.mark.parametrize("name", ["lerobot_v3_state", "lerobot_v3_video"])
def test_stock_datasets_are_read(fixtures, name) -> None:
    dataset = Dataset(fixtures / name)
    assert [len(episode) for episode in dataset] == [8, 10, 12]
    assert (
        dataset.meta(2).instruction == "wipe the board" and dataset.episode(2).columns["observation.state"][0, 2] == 200
    )
    step = dataset.step(8)
    assert step.authority is (Authority.OPERATOR if step.intervention else Authority.POLICY)
    assert dataset.window(17, 3, 3).next_observation["state"][0] == 1.0
    if name.endswith("video"):
        assert dataset.episode(2).images("front").shape == (12, 64, 64, 3)
        assert dataset.episode(2).images("front")[0, 0, 0, 0] > dataset.episode(0).images("front")[0, 0, 0, 0]


def test_reading_stock_datasets_changes_nothing(fixtures) -> None:
    before = {path: path.stat().st_mtime_ns for path in fixtures.rglob("*")}
    Dataset(fixtures / "lerobot_v3_video").episode(1).images("front")
    assert {path: path.stat().st_mtime_ns for path in fixtures.rglob("*")} == before
