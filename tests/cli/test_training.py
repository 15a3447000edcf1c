"""The verbs around one training run, as a user types them, in the smallest size that does everything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from handrail.cli import demo
from handrail.cli.main import main
from handrail.store import Dataset, check
from handrail.systems import hil_serl

TINY = replace(
    hil_serl.BUDGETS["smoke"], online_steps=120, demonstrations=1, start_steps=20, clone_updates=20,
    evaluate_every=10_000, final_episodes=2, filmed_episodes=0, record_every=100, film=False, checkpoint_every=100,
    rlpd=replace(hil_serl.LEARNER, hidden=(32, 32), batch_size=32),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hil_serl.BUDGETS, "smoke", TINY)
    monkeypatch.setitem(demo.DEMO_BUDGETS, "smoke", TINY)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    hil_serl.run(task="PickCube", method="hil-serl", seed=0, budget="smoke", folder=folder, config=TINY)
    return folder


def test_demo_trains_and_says_where_the_report_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--budget", "smoke", "--out", str(tmp_path / "demo")]) == 0
    report = Path(capsys.readouterr().out.rpartition("report: ")[2].strip())
    assert report == tmp_path / "demo" / "report.html" and "<html" in report.read_text()
    assert json.loads((report.parent / "result.json").read_text())["budget"] == "smoke"


def test_train_then_once_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["train", "hil-serl", "--task", "PickCube", "--budget", "smoke", "--out", str(tmp_path / "run")]
    assert main(flags) == 0
    assert f"run folder: {tmp_path / 'run'}" in capsys.readouterr().out
    assert main(flags) == 2
    assert "holds a run already: add --resume to go on with it" in capsys.readouterr().err
    assert main([*flags, "--resume"]) == 0, "a finished run is not run again"
    assert main([*flags, "--resume", "--method", "rlpd"]) == 2
    assert "was begun with method hil-serl, not rlpd" in capsys.readouterr().err


def test_eval_repeats_the_evaluation_of_the_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(trained), "--episodes", "2", "--json"]) == 0
    numbers, result = json.loads(capsys.readouterr().out), json.loads((trained / "result.json").read_text())
    assert numbers["episodes"] == 2
    for key in ("success_rate_autonomous", "return_mean", "failure_modes", "task", "method", "seed"):
        assert numbers[key] == result[key]


def test_run_records_what_a_watched_policy_did(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "supervised"
    assert main(["run", str(trained), "--operator", "person:expert:3", "--episodes", "2", "--out", str(out)]) == 0
    data = Dataset(out)
    assert data.num_episodes == 2 and not check(out)
    meta = data.meta(0)
    assert (meta.task, meta.operator_tier, meta.operator_draw) == ("PickCube", "expert", 3)
    assert meta.env_seed is not None and meta.env_seed >= 10_000


def test_collect_keeps_successes(tmp_path: Path) -> None:
    out = tmp_path / "shown"
    assert main(["collect", "PickCube", "--episodes", "2", "--out", str(out)]) == 0
    data = Dataset(out)
    assert [data.meta(i).success for i in range(data.num_episodes)] == [True, True]
    assert not any(data.episode(i).columns["intervention"].any() for i in range(2)), "demonstrations are none"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["train", "hilserl"], "unknown system 'hilserl': did you mean hil-serl?"),
        (["train", "hil-serl", "--task", "PikCube"], "unknown task 'PikCube': did you mean PickCube?"),
        (["train", "hil-serl", "--method", "bcc"], "unknown method 'bcc': did you mean bc?"),
        (["train", "hil-serl", "--budget", "qick"], "unknown budget 'qick': did you mean quick?"),
        (["demo", "--budget", "standard"], "unknown budget 'standard': choose one of demo, smoke"),
        (["collect", "PickCube", "--episodes", "0"], "--episodes 0 is below 1: give how many to record"),
        (["collect", "PickCube", "--operator", "persn"], "unknown operator 'persn': did you mean person"),
        (["collect", "PickCube", "--operator", "person:expertt"], "unknown tier 'expertt': did you mean expert?"),
        (["eval", "nowhere"], "nowhere is no run folder (no config.json)"),
        (["eval", "nowhere", "--episodes", "101"], "--episodes 101 is not in 1..100: there are 100 evaluation seeds"),
        (["run", "nowhere"], "nowhere is no run folder (no config.json)"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert text in said and said.count("\n") == 1
