"""check and repair: everything a crash, a full disk or a careless hand can do to a dataset."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from handrail.core.errors import CorruptError, SchemaError, WriteError
from handrail.store import Dataset, DatasetWriter, EpisodeMeta, check, compact, export, repair
from handrail.store.index import load_index
from handrail.store.swap import OLD, READY, beside

LISTED = "meta/episodes/chunk-000/file-00{}.parquet"
DATA = "data/chunk-000/file-00{}.parquet"


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def kinds(root: Path) -> set[str]:
    return {problem.kind for problem in check(root)}


def derived(root: Path) -> dict[str, bytes]:
    return {name: (root / "meta" / name).read_bytes() for name in ("info.json", "stats.json", "tasks.parquet")}


@pytest.mark.parametrize("image", [None, 64])
def test_a_fresh_set_is_well(record, image) -> None:
    root = record(3, image=image)
    assert check(root) == [] and repair(root) == []
    compact(root)
    assert check(root) == [] and repair(root) == []


@pytest.mark.parametrize("name", ["lerobot_v3_state", "lerobot_v3_video"])
def test_stock_sets_are_well(fixtures, name) -> None:
    assert check(fixtures / name) == []


def test_leftovers_of_an_uncommitted_episode(record) -> None:
    root = record(2)
    (root / "data/chunk-000/.file-002.parquet.tmp").write_bytes(b"half")
    shutil.copy(root / DATA.format(1), root / DATA.format(2))
    shutil.copy(root / "extras/final/episode-000001.npz", root / "extras/final/episode-000002.npz")
    assert [problem.kind for problem in check(root)] == ["leftover"] * 3
    done = repair(root)
    assert len(done) == 3 and done[0] == "removed data/chunk-000/.file-002.parquet.tmp"
    assert (root / "extras/quarantine" / DATA.format(2)).exists()
    assert check(root) == [] and repair(root) == [] and Dataset(root).num_episodes == 2


def test_opening_for_writing_clears_leftovers(record, make_steps) -> None:
    root = record(1)
    shutil.copy(root / DATA.format(0), root / DATA.format(1))
    (root / "meta/.info.json.tmp").write_text("{")
    with DatasetWriter(root, 10) as writer:
        for step in make_steps(3):
            writer.add(step)
        writer.commit(EpisodeMeta("PickCube"))
    assert check(root) == [] and [len(episode) for episode in Dataset(root)] == [8, 3]


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("image", [None, 64])
def test_a_half_written_row_is_finished_from_the_data(record, journal, image) -> None:
    root = record(3, image=image)
    before = Dataset(root).meta(1)
    cut(root / LISTED.format(1))
    if not journal:
        (root / "extras/index.jsonl").unlink()
    with pytest.warns(
        UserWarning, match="file-001.parquet cannot be read; 2 other episodes can: run `handrail data repair"
    ):
        damaged = Dataset(root)
    assert [len(damaged.episode(i)) for i in range(2)] == [8, 10]
    assert kinds(root) == {"damaged"}
    with pytest.raises(CorruptError, match="is damaged: run `handrail data repair"):
        DatasetWriter(root, 10)
    assert repair(root)[0] == "finished chunk-000/file-001.parquet from its data"
    assert check(root) == [] and repair(root) == []
    dataset = Dataset(root)
    assert [len(episode) for episode in dataset] == [8, 9, 10]
    assert dataset.meta(1).instruction == before.instruction and dataset.meta(1).success
    if journal:
        assert dataset.meta(1) == before


def test_a_row_without_data_is_set_aside(record) -> None:
    root = record(3)
    cut(root / LISTED.format(2))
    cut(root / DATA.format(2))
    assert "its data is damaged too" in repair(root)[0]
    assert (root / "extras/quarantine" / LISTED.format(2)).exists() and check(root) == []
    assert Dataset(root).num_episodes == 2


def test_a_half_written_data_file_spoils_its_own_episode_only(record) -> None:
    root = record(3)
    cut(root / DATA.format(1))
    problems = check(root)
    assert [problem.path for problem in problems] == [DATA.format(1)] and "unreadable" in problems[0].message
    dataset = Dataset(root)
    with pytest.raises(
        CorruptError, match=r"cannot be read .*; other episodes stay readable: run `handrail data check`"
    ) as caught:
        dataset.episode(1)
    assert "\n" not in str(caught.value)
    assert len(dataset.episode(0)) == 8 and len(dataset.episode(2)) == 10
    repair(root)
    assert (root / DATA.format(1)).exists() and kinds(root) == {"damaged"}


def test_missing_video_and_final_observation(record) -> None:
    root = record(2, image=64)
    next(root.glob("videos/*/*/file-001.mp4")).unlink()
    (root / "extras/final/episode-000000.npz").unlink()
    assert {(problem.kind, Path(problem.path).name) for problem in check(root)} == {
        ("damaged", "file-001.mp4"),
        ("damaged", "episode-000000.npz"),
    }
    assert Dataset(root).episode(0).final_observation["state"][0] == 7


@pytest.mark.parametrize("name", ["info.json", "stats.json", "tasks.parquet"])
@pytest.mark.parametrize("wreck", [Path.unlink, cut])
def test_derived_files_are_rebuilt(record, name, wreck) -> None:
    root = record(3, image=64)
    before = derived(root)
    wreck(root / "meta" / name)
    assert kinds(root) == {"stale"}
    assert repair(root)
    assert check(root) == [] and repair(root) == []
    after = derived(root)
    assert {key: after[key] for key in after if key != "stats.json"} == {
        key: before[key] for key in before if key != "stats.json"
    }
    assert json.loads(after["stats.json"]).keys() == json.loads(before["stats.json"]).keys()


def test_statistics_catch_up_after_a_crash_between_commit_and_info(record) -> None:
    """The same numbers, whether they were merged at once, caught up, or rebuilt."""
    whole, crashed = record(3), record(2, "crashed")
    for name in (LISTED.format(2), DATA.format(2), "extras/final/episode-000002.npz"):
        shutil.copy(whole / name, crashed / name)
    dataset = Dataset(crashed)
    assert dataset.num_episodes == 3
    assert json.loads((crashed / "meta/stats.json").read_text()) == json.loads((whole / "meta/stats.json").read_text())
    assert json.loads((crashed / "meta/info.json").read_text())["total_frames"] == 27 and check(crashed) == []


def test_a_lying_journal_is_not_believed(record) -> None:
    root = record(2)
    (root / "extras/index.jsonl").write_text(
        '{"file": "chunk-000/file-000.parquet", "size": 1, "mtime_ns": 1, "rows": []}\n{torn'
    )
    assert Dataset(root).num_episodes == 2


def test_a_deleted_episode_is_noticed(record) -> None:
    root = record(3)
    (root / LISTED.format(1)).unlink()
    assert any("episode 2 stands where 1 is expected" in problem.message for problem in check(root))
    assert [len(episode) for episode in Dataset(root)] == [8, 10]


def test_a_swapped_data_file_is_noticed(record) -> None:
    root = record(2)
    shutil.copy(root / DATA.format(0), root / DATA.format(1))
    assert "do not match" in check(root)[0].message
    with pytest.raises(CorruptError, match="does not hold the 9 steps of episode 1"):
        Dataset(root).episode(1)


def test_what_is_no_dataset(tmp_path) -> None:
    with pytest.raises(SchemaError, match="is not a dataset"):
        check(tmp_path)
    with pytest.raises(SchemaError, match="it has no meta folder"):
        repair(tmp_path)


def test_repair_stays_away_from_a_writer_at_work(record) -> None:
    root = record(1)
    with DatasetWriter(root, 10), pytest.raises(WriteError, match="is being written by"):
        repair(root)


@pytest.mark.parametrize("moment", ["before the swap", "old moved away", "new in place"])
def test_compaction_cut_short_is_finished(record, tmp_path, moment) -> None:
    root, other = record(3), record(3, "other")
    compact(other)
    other.rename(beside(root, READY))
    if moment != "before the swap":
        root.rename(beside(root, OLD))
    if moment == "new in place":
        beside(root, READY).rename(root)
    assert Dataset(root).num_episodes == 3
    assert len(list(root.glob("data/*/*"))) == 1
    assert not beside(root, READY).exists() and not beside(root, OLD).exists()


def test_compaction_keeps_everything(record) -> None:
    root = record(4)
    before = [(episode.meta, episode.columns, dict(episode.final_observation)) for episode in Dataset(root)]
    stats = json.loads((root / "meta/stats.json").read_text())
    assert compact(root) == 1
    for episode, (meta, columns, final) in zip(Dataset(root), before, strict=True):
        assert episode.meta == meta
        for key, values in columns.items():
            assert (episode.columns[key] == values).all(), key
        for key, values in final.items():
            assert (episode.final_observation[key] == values).all()
    assert json.loads((root / "meta/stats.json").read_text()) == stats


def test_compaction_of_a_damaged_set_changes_nothing(record) -> None:
    root = record(2)
    cut(root / DATA.format(1))
    with pytest.raises(CorruptError):
        compact(root)
    assert len(Dataset(root).episode(0)) == 8 and len(list(root.glob("data/*/*"))) == 2
    assert not list(root.parent.glob("set.*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_of_the_user(tmp_path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match="permission denied"):
        DatasetWriter(tmp_path / "set", 10)


def test_compacting_and_exporting_a_stock_set(fixtures, tmp_path) -> None:
    """An episode is cut out of a longer MP4, in a codec that this machine can write, and the file says which."""
    shutil.copytree(fixtures / "lerobot_v3_video", tmp_path / "set")
    export(tmp_path / "set", tmp_path / "out", [2, 1])
    out = Dataset(tmp_path / "out")
    assert check(tmp_path / "out") == [] and [len(episode) for episode in out] == [12, 10]
    before, after = Dataset(tmp_path / "set").episode(1).images("front"), out.episode(1).images("front")
    assert np.abs(before.astype(int) - after).mean() < 6
    with av.open(str(next((tmp_path / "out").rglob("*.mp4")))) as container:
        codec = container.streams.video[0].codec_context.codec.canonical_name
    assert out.features["observation.images.front"]["info"]["video.codec"] == codec
    compact(tmp_path / "set")
    assert check(tmp_path / "set") == [] and len(Dataset(tmp_path / "set").episode(2).images("front")) == 12


def test_a_copied_set_opens_fast_the_second_time(tmp_path, make_steps) -> None:
    """A copy has new modification times, so that the journal vouches for nothing until it is written anew."""
    with DatasetWriter(tmp_path / "set", 10) as writer:
        for _ in range(60):
            writer.add(make_steps(1)[0])
            writer.commit(EpisodeMeta("PickCube"))
    shutil.copytree(tmp_path / "set", tmp_path / "copy", copy_function=shutil.copyfile)
    assert load_index(tmp_path / "copy").reread == 60
    assert Dataset(tmp_path / "copy").num_episodes == 60
    assert load_index(tmp_path / "copy").reread == 0
