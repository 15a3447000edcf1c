"""Reading run folders: whole, going, killed, and not runs at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handrail.core.errors import CorruptError, StoreError
from handrail.report.runs import read_run


def test_a_finished_run_is_read_whole(write_run) -> None:
    run = read_run(write_run(steps=3000))
    assert run.finished and run.online_steps >= 3000 and run.fps == 10.0
    assert run.label == "TubeInsertion · hil-serl · seed 0"
    assert [line["episode"] for line in run.episodes] == list(range(len(run.episodes)))
    assert len(run.evaluations) == 6


def test_a_torn_last_line_is_left_out(write_run) -> None:
    folder = write_run(steps=2000, finished=False)
    whole = read_run(folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "episode", "epis')
    assert read_run(folder).episodes == whole.episodes
    assert not whole.finished


def test_what_a_resumed_run_wrote_again_counts_once(write_run) -> None:
    folder = write_run(steps=2000)
    once = read_run(folder)
    again = [line for line in once.episodes if line["episode"] >= 10]
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in again)
    assert read_run(folder).episodes == once.episodes


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"run folder '.*nowhere' does not exist: give a folder that 'handrail train'"):
        read_run(tmp_path / "nowhere")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match=r"has no config\.json: give a folder that 'handrail train' has written"):
        read_run(tmp_path)


def test_a_run_in_which_nothing_happened(write_run) -> None:
    folder = write_run()
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(CorruptError, match="holds no episode and no evaluation yet"):
        read_run(folder)


def test_a_damaged_line_is_named(write_run) -> None:
    folder = write_run(steps=1000)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join([*lines[:3], "{oops", *lines[3:]]))
    with pytest.raises(CorruptError, match=r"metrics\.jsonl line 4 is not valid JSON: remove that line"):
        read_run(folder)


@pytest.mark.parametrize(("text", "said"), [("{", "is not valid JSON"), ("[1]", "holds a list, not an object")])
def test_a_damaged_config(write_run, text: str, said: str) -> None:
    folder = write_run(steps=1000)
    (folder / "config.json").write_text(text)
    with pytest.raises(CorruptError, match=said):
        read_run(folder)
