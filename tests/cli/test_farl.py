"""The verbs of FARL: scripted data into a dataset that `data view` shows; an audit by a run's own monitor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from handrail.cli.main import main
from handrail.systems import farl

SMOKE = farl.BUDGETS["smoke"]
TINY = replace(
    SMOKE, online_steps=300, every=10_000, evaluate_episodes=1, final_episodes=2, record_every=1, film=False,
    offline=replace(
        SMOKE.offline, task_demonstrations=3, failure_steps=400, recovery_demonstrations=2, clone_updates=5,
        evaluate_updates=2, improve_updates=1, world_model_updates=5, safety_updates=2,
        world_model=replace(SMOKE.offline.world_model, batch_size=32),
    ),
    ppo=replace(SMOKE.ppo, batch_size=200, epochs=1),
)  # fmt: skip


def test_scripted_data_are_recorded_counted_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where `data view` writes its page
    flags = ["collect", "failurebench", "--task", "BoundedSoccer", "--kind", "failure", "--amount", "200"]
    assert main([*flags, "--out", str(tmp_path / "data")]) == 0
    said = capsys.readouterr().out
    kept = json.loads((tmp_path / "data" / "tally.json").read_text())
    assert f"failures made on the way {kept['failures']}," in said and f"{kept['kept_steps']} steps" in said
    assert main(["data", "view", str(tmp_path / "data")]) == 0
    assert f"{kept['kept']} episodes, {kept['kept_steps']} steps at 80 Hz" in " ".join(capsys.readouterr().out.split())


def test_bad_flags_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    for flags, said in (
        (["--kind", "failures"], "did you mean failure"),
        (["--task", "BoundedPsh"], "did you mean BoundedPush"),
        (["--amount", "0"], "--amount 0 is below 1"),
        (["--out", str(tmp_path / "mine")], "is not empty and no finished collection"),
    ):
        assert main(["collect", "failurebench", *flags]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_train_evaluate_and_audit_by_the_runs_own_monitor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(farl.BUDGETS, "smoke", TINY)
    run = tmp_path / "farl" / "seed-0"
    assert main(["train", "farl", "--task", "BoundedSoccer", "--budget", "smoke", "--out", str(run)]) == 0
    capsys.readouterr()
    assert main(["eval", str(run), "--episodes", "2", "--json"]) == 0
    result = json.loads((run / "result.json").read_text())
    assert json.loads(capsys.readouterr().out)["success_rate_autonomous"] == result["success_rate_autonomous"]
    assert main(["eval", "monitor", str(run), "--enter", "0.5", "--json"]) == 0
    audit = json.loads(capsys.readouterr().out)
    assert audit["episodes"] > 0
    assert main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
