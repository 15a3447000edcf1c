"""`handrail data ...`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from handrail.cli.main import main
from handrail.core.values import Authority, Step, TakeoverCause
from handrail.store import Dataset, DatasetWriter, EpisodeMeta


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two recorded episodes of 6 steps; the person drives two steps of each."""
    zeros = np.zeros(2, np.float32)
    with DatasetWriter(tmp_path / "set", 10) as writer:
        for episode in range(2):
            for i in range(6):
                seen = {"state": np.array([episode, i], np.float32)}
                operated = i in (1, 2)
                who = (Authority.OPERATOR, TakeoverCause.STUCK) if operated else (Authority.POLICY, TakeoverCause.NONE)
                hand = zeros if operated else None
                last = i == 5
                writer.add(
                    Step(
                        seen,
                        seen,
                        zeros,
                        zeros,
                        hand,
                        None,
                        *who,
                        0.0,
                        0.1,
                        0.9,
                        float(last),
                        0.0,
                        last,
                        False,
                        last,
                        i / 10,
                        i / 10,
                    )
                )
            writer.commit(EpisodeMeta("TubeInsertion", "insert the tube", 40 + episode, 0, 3, "ordinary", True))
    return tmp_path / "set"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["data", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_check_says_so(root, capsys) -> None:
    code, out, err = run(capsys, "check", root)
    assert code == 0 and out.endswith("2 committed episodes, 12 steps, all readable\n") and not err


def test_check_after_a_crash_tells_leftovers_from_damage(root, capsys) -> None:
    (root / "data/chunk-000/.file-002.parquet.tmp").write_text("half")
    code, out, _ = run(capsys, "check", root)
    assert code == 0 and "2 committed episodes, 12 steps, all readable; 1 leftovers of an uncommitted episode" in out
    (root / "data/chunk-000/file-001.parquet").write_bytes(b"PAR1")
    code, out, err = run(capsys, "check", root)
    assert (
        code == 2
        and err.count("\n") == 1
        and "has 1 damaged files" in err
        and "damaged: data/chunk-000/file-001" in out
    )


def test_repair(root, capsys) -> None:
    (root / "meta/stats.json").unlink()
    code, out, _ = run(capsys, "repair", root)
    assert code == 0 and "rewrote info.json, stats.json" in out and "all readable" in out
    assert run(capsys, "repair", root)[1].startswith("nothing to do\n")


def test_view(root, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    page = tmp_path / "page.html"
    code, out, _ = run(capsys, "view", root, "--episode", 1, "--out", page)
    assert code == 0 and page.read_text().lstrip().lower().startswith("<!doctype html>")
    assert "TubeInsertion" in out and "1 stuck" in out and "33%" in out and "ordinary 3" in out and "41" in out


def test_view_of_an_episode_that_is_not_there(root, capsys) -> None:
    code, _, err = run(capsys, "view", root, "--episode", 7)
    assert code == 2 and err.count("\n") == 1 and "episode 7" in err


def test_export(root, tmp_path, capsys) -> None:
    code, out, _ = run(capsys, "export", root, tmp_path / "plain", "--episodes", 1)
    assert code == 0 and "1 episodes in plain LeRobot v3 layout" in out
    assert Dataset(tmp_path / "plain").step(0).observation["state"][0] == 1
    code, _, err = run(capsys, "export", root, tmp_path / "plain")
    assert code == 2 and "exists already" in err
    code, _, err = run(capsys, "export", root, tmp_path / "other", "--episodes", 5)
    assert code == 2 and "episode 5 does not exist" in err and not (tmp_path / "other").exists()


def test_compact(root, capsys) -> None:
    code, out, _ = run(capsys, "compact", root)
    assert code == 0 and "1 data files now" in out and Dataset(root).num_episodes == 2


def test_import(tmp_path, capsys) -> None:
    steps = [{"t": i / 10, "ee_pose": [0.0] * 7, "action": [0.0] * 7, "human_intervene": i == 1} for i in range(3)]
    content = {"task": "wipe", "instruction": "wipe the board", "success": False, "steps": steps}
    (tmp_path / "a.json").write_text(json.dumps(content))
    code, out, _ = run(capsys, "import", tmp_path / "a.json", tmp_path / "set")
    assert code == 0 and "1 episodes imported, 0 to 0" in out
    assert Dataset(tmp_path / "set").meta(0).task == "wipe"


@pytest.mark.parametrize(
    "words", [("chekc", "x"), ("check", "--jsno"), ("check", "/nonexistent"), ("import", "a", "b", "--fromat", "x")]
)
def test_mistakes_are_one_line(words, capsys) -> None:
    try:
        code, _, err = run(capsys, *words)
    except SystemExit as stop:
        code, err = stop.code, capsys.readouterr().err
    assert code == 2 and err.count("\n") == 1


def test_usage(capsys) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0 and out.startswith("usage: handrail data check")
