from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from handrail.bench.tuning import Trial, count_trials, record_trial, trials
from handrail.core.errors import CorruptError, InvalidValueError
from handrail.run.executor import LocalProcesses

TRIAL = Trial("toy", "Left", "bandit", {"rate": 0.1}, (0, 1, 2), 0.7)


def record_many(job: dict) -> None:
    for _ in range(5):
        record_trial(TRIAL, Path(job["file"]))


def test_trials_are_appended_with_code_and_time(tmp_path: Path) -> None:
    file = tmp_path / "tuning.json"
    assert trials(file) == [] and count_trials("toy", file=file) == {}
    record_trial(TRIAL, file)
    record_trial(replace(TRIAL, git="abc", time="2024-02-29T00:00:00+00:00"), file)
    first, second = json.loads(file.read_text())["trials"]
    assert first["config"] == {"rate": 0.1} and first["seeds"] == [0, 1, 2] and first["score"] == 0.7
    assert first["git"] and first["time"].endswith("+00:00")
    assert (second["git"], second["time"]) == ("abc", "2024-02-29T00:00:00+00:00")


def test_trials_are_counted_per_method(tmp_path: Path) -> None:
    file = tmp_path / "tuning.json"
    for change in ({}, {}, {"method": "greedy"}, {"task": "Right"}, {"system": "other"}):
        record_trial(replace(TRIAL, **change), file)
    assert count_trials("toy", file=file) == {"bandit": 3, "greedy": 1}
    assert count_trials("toy", "Left", file=file) == {"bandit": 2, "greedy": 1}


def test_two_processes_at_once_lose_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    file = tmp_path / "tuning.json"
    outcomes = list(LocalProcesses().map("test_tuning:record_many", [{"file": str(file)}] * 2))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(trials(file)) == 10


def test_evaluation_seeds_stay_unseen(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="tuning on env seed 1000, the limit is 0 to 99"):
        record_trial(replace(TRIAL, seeds=(0, 1000)), tmp_path / "tuning.json")
    assert not (tmp_path / "tuning.json").exists()


def test_a_damaged_record_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "tuning.json"
    file.write_text("{")
    with pytest.raises(CorruptError):
        record_trial(TRIAL, file)
    assert file.read_text() == "{"
