"""Guided teleoperation as a user types it: train, run, report, and mistakes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handrail.cli.main import main
from handrail.learn.bc import BCConfig
from handrail.report.pairs import pair_of
from handrail.store import Dataset
from handrail.systems import guided_teleop
from handrail.systems.guided_offline import People

_SMOKE = guided_teleop.BUDGETS["smoke"]
_ONE = People((1, 1), (1, 1), (1, 1))
TINY = replace(
    _SMOKE,
    offline=replace(
        _SMOKE.offline, teleoperation=_ONE, calibration=_ONE, held_out=_ONE, copilot_updates=5, horizon=15,
        copilot=BCConfig(horizon=2, hidden=(16,)),
        cql=replace(_SMOKE.offline.cql, updates=10, hidden=(16, 16), batch_size=16),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the default task and method, with a film."""
    folder = tmp_path_factory.mktemp("guided") / "ours" / "seed-0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(guided_teleop.BUDGETS, "smoke", TINY)
        assert main(["train", "guided-teleop", "--budget", "smoke", "--out", str(folder)]) == 0
    return folder


def test_train_takes_the_first_task_and_the_headline_method(trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    assert (result["task"], result["method"]) == ("TransferCube", "ours")


def test_the_film_is_the_same_person_twice(trained: Path) -> None:
    data = Dataset(trained / "comparison")
    alone, helped = data.episode(0), data.episode(1)
    assert alone.meta.env_seed == helped.meta.env_seed and alone.meta.operator_draw == helped.meta.operator_draw
    assert not alone.stream("guidance_torque")[1].any() and helped.stream("guidance_torque")[1].shape == (15, 14)
    np.testing.assert_array_equal(alone.observation(0)["state"], helped.observation(0)["state"])
    pair = pair_of(trained)
    assert pair is not None
    film = pair.shown()
    assert film["video"].startswith("data:video/mp4;base64,") and film["who"] == "ordinary 1000"


def test_report_shows_numbers_and_film(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(trained), "--out", str(out)]) == 0
    page = out.read_text()
    assert "TransferCube · ours · seed 0" in page and "data:video/mp4" in page and "authority" in page


def test_run_assists_whoever_is_named(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    flags = ["run", "guided-teleop", "--run", str(trained), "--operator", "novice:7", "--out", str(out)]
    assert main([*flags, "--episodes", "2", "--view"]) == 0
    assert "novice 7: success 0% over 2 episodes" in capsys.readouterr().out
    data = Dataset(out)
    assert data.num_episodes == 2 and data.meta(1).operator_tier == "novice" and data.meta(1).operator_draw == 7
    assert (out / "view.mp4").stat().st_size > 1000
    assert data.meta(0).env_seed != data.meta(1).env_seed


def test_off_leaves_them_alone(trained: Path, tmp_path: Path) -> None:
    flags = ["run", "guided-teleop", "--run", str(trained), "--operator", "expert:1", "--assist", "off"]
    assert main([*flags, "--out", str(tmp_path / "data")]) == 0
    assert not Dataset(tmp_path / "data").episode(0).columns["assist_level"].any()


def test_a_task_that_is_not_the_runs_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "guided-teleop", "--run", str(trained), "--task", "BoxStack"]) == 2
    assert "--task BoxStack is not that of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--operator", "beginner:3"], "unknown tier 'beginner'"),
        (["--operator", "novice:x"], "operator 'novice:x' has draw 'x', a whole number is needed: novice:7"),
        (["--assist", "no"], "unknown assist mode 'no'"),
        (["--episodes", "0"], "--episodes 0 is below 1"),
        (["--run", "nowhere"], "is no run folder"),
        (["--task", "BoxStak"], "unknown task 'BoxStak': did you mean BoxStack"),
    ],
)
def test_mistakes_are_one_line(flags: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "guided-teleop", *flags]) == 2
    assert says in capsys.readouterr().err
