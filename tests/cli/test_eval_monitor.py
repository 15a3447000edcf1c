"""`handrail eval monitor ...`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handrail.assist import SafetyQMonitor
from handrail.cli.main import main
from handrail.core.values import Authority, Step, TakeoverCause
from handrail.run.folder import RunFolder
from handrail.store import DatasetWriter, EpisodeMeta
from handrail.systems import SYSTEMS, hil_serl

ZERO = np.zeros(2, np.float32)
BLANK = Step(
    observation={"state": ZERO}, next_observation={"state": ZERO}, action=ZERO, policy_action=ZERO,
    operator_action=None, assistant_action=None, authority=Authority.POLICY, takeover_cause=TakeoverCause.NONE,
    assist_level=0.0, risk=0.0, value=1.0, reward=0.0, cost=0.0, terminated=False, truncated=False, success=False,
    timestamp=0.0, stamp_s=0.0,
)  # fmt: skip


def step(i: int, mark: str, last: bool) -> Step:
    """The risk on record is high at "!" and "X", the constraint violated at "x" and "X", the assistant's are "a"."""
    who = Authority.ASSISTANT if mark == "a" else Authority.POLICY
    seen = {"state": np.array([i, 0], np.float32)}
    return replace(
        BLANK, observation=seen, next_observation=seen, risk=0.8 if mark in "!X" else 0.05,
        cost=float(mark in "xX"), authority=who, truncated=last, timestamp=i / 10, stamp_s=i / 10,
    )  # fmt: skip


def recorded(root: Path, *episodes: str, risky: bool = True) -> Path:
    with DatasetWriter(root, 10, images="none") as writer:
        for text in episodes:
            for i, mark in enumerate(text):
                made = step(i, mark, last=i == len(text) - 1)
                writer.add(made if risky else replace(made, risk=0.0))
            writer.commit(EpisodeMeta("BoundedPush", "push", success=False))
    return root


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return recorded(tmp_path / "set", "....!!...x", "..........", "..!.......", ".........X")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder of HIL-SERL, with two recorded episodes without risk."""
    folder = RunFolder(tmp_path / "run")
    folder.write_config({"system": "hil-serl", "task": "BoundedPush", "method": "hil-serl", "seed": 0})
    recorded(folder.episodes, "......x...", "..........", risky=False)
    return folder.path


def numbers(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main(["eval", "monitor", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_risk_on_record_of_a_dataset(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = numbers(capsys, dataset, "--enter", 0.5)
    assert (found["episodes"], found["steps"], found["failure_episodes"]) == (4, 40, 2)
    assert (found["recall"], found["recall_at_lead"], found["lead_steps_median"]) == (1.0, 0.5, 2.5)
    assert (found["alarms"], found["false_alarms"], found["false_alarms_per_1000_steps"]) == (3, 1, 25.0)
    assert [e["outcome"] for e in found["by_episode"]] == ["foreseen", "quiet", "false alarm", "foreseen"]
    assert found["by_episode"][0]["alarms"] == [4] and found["by_episode"][0]["lead_steps"] == 5


def test_the_flags_of_the_threshold(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def helped(*flags: object) -> list[int]:
        return [e["helped_steps"] for e in numbers(capsys, dataset, *flags)["by_episode"]]

    assert helped("--enter", 0.5) == [2, 0, 1, 1]
    assert helped("--enter", 0.9) == [0, 0, 0, 0]
    assert helped("--enter", 0.5, "--leave", 0.01) == [6, 0, 8, 1], "the risk never falls so low"
    assert helped("--enter", 0.5, "--min-steps", 4) == [4, 0, 4, 1]
    assert helped("--enter", 0.5, "--leave", 0.01, "--max-steps", 3, "--cool-down", 2) == [3, 0, 3, 1]
    assert helped("--enter", 0.5, "--budget", 1) == [1, 0, 1, 1]
    assert helped("--enter", 0.01) == [10] * 4
    near = numbers(capsys, dataset, "--enter", 0.5, "--window", 4, "--least-lead", 0)
    assert (near["recall"], near["recall_at_lead"], near["false_alarms"]) == (0.5, 0.5, 2)


def test_it_is_said_in_words(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["eval", "monitor", str(dataset), "--enter", "0.5", "--rows", "3"]) == 0
    out = capsys.readouterr().out
    assert "help where risk > 0.5" in out and "1 earlier episodes are not shown: --rows 4 shows all" in out
    assert "foreseen 2 of 2 failures (100%; 50% at least 5 steps ahead), by 2.5 steps in the median" in out
    assert "1 false of 3 alarms, 25.0 in 1,000 steps; an alarm in 50% of the episodes that needed none" in out
    assert "help in 10.0% of 40 steps" in out and "on record" not in out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert rows == [
        ["1", "10", "", "", "", "0", "0", "quiet"],
        ["2", "10", "2", "", "", "1", "0", "false alarm"],
        ["3", "10", "9", "9", "0", "0", "0", "foreseen"],
    ]


def test_help_on_record_is_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "monitor", str(recorded(tmp_path / "set", "!aa...")), "--enter", "0.5"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "no episode has a violation: there was nothing to foresee" in out
    assert (
        "2 steps were helped when they were recorded: what help prevented is not on record, and their risk may" in out
    )


def monitor_of(folder: Path) -> SafetyQMonitor:
    """What a system's `load_monitor` gives: here, a risk that rises with the step."""
    assert (folder / "config.json").is_file()
    return SafetyQMonitor(lambda seen, action: float(np.asarray(seen["state"])[0]) / 10)


def test_a_run_s_own_monitor_is_asked(
    run: Path, dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hil_serl, "load_monitor", monitor_of, raising=False)
    found = numbers(capsys, run, "--enter", 0.35)
    assert [e["alarms"] for e in found["by_episode"]] == [[4], [4]] and found["recall"] == 1.0
    elsewhere = numbers(capsys, dataset, "--monitor", run, "--enter", 0.75)
    assert [e["alarms"] for e in elsewhere["by_episode"]] == [[8]] * 4
    RunFolder(run).write_config({"system": "hil-serl", "task": "PickCube"})
    assert main(["eval", "monitor", str(dataset), "--monitor", str(run), "--enter", "0.5"]) == 2
    assert "watches PickCube, the episodes are of BoundedPush: give those of one task" in capsys.readouterr().err


def mistake(capsys: pytest.CaptureFixture[str], words: Sequence[object]) -> str:
    try:
        code = main(["eval", "monitor", *map(str, words)])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((), "missing from handrail eval monitor: --enter"),
        (("--enter", "high"), "--enter: could not convert string to float: 'high'"),
        (("--entre", 0.5), "unknown flag --entre: did you mean --enter?"),
        (("--enter", 0.5, "--leave", 0.6), "leave is 0.6, must be at most enter (0.5): lower it"),
        (("--enter", 0.5, "--min-steps", 0), "min_steps is 0, must be at least 1"),
        (("--enter", 0.5, "--min-steps", 3, "--max-steps", 2), "max_steps is 2, must be at least 3"),
        (("--enter", 0.5, "--window", -1), "window is -1, must be at least 0"),
        (("--enter", 0.5, "--least-lead", -2), "least_lead is -2, must be at least 0"),
        (("--enter", 0.5, "--monitor", "nowhere"), "nowhere is no run folder (no config.json)"),
    ],
)
def test_mistakes_are_one_line(dataset: Path, capsys: pytest.CaptureFixture[str], flags, text) -> None:
    assert text in mistake(capsys, [dataset, *flags])


def test_what_cannot_be_audited_says_why(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threshold = ("--enter", 0.5)
    said = mistake(capsys, [run, *threshold])
    assert "hil-serl has no monitor, " in said and "use --monitor recorded for the risk on record" in said
    said = mistake(capsys, [run, "--monitor", "recorded", *threshold])
    assert "has no risk on record (all 0): record it with a monitor" in said
    assert "is neither a run folder nor a dataset (no " in mistake(capsys, [tmp_path, *threshold])
    begun = RunFolder(tmp_path / "begun")
    begun.write_config({"system": "hil-serl", "task": "BoundedPush"})
    assert "begun has recorded no episode" in mistake(capsys, [begun.path, *threshold])


@pytest.mark.parametrize(
    ("others", "text"), [({}, "no system here has one"), ({"watchful": "watchful"}, "a run of watchful has one")]
)
def test_the_systems_that_have_a_monitor_are_named(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, others: dict[str, str], text: str
) -> None:
    (run / "watchful.py").write_text("import an_extra_that_is_missing\n\n\ndef load_monitor(folder): ...\n")
    monkeypatch.syspath_prepend(run)
    for name in set(SYSTEMS) - {"hil-serl"}:
        monkeypatch.delitem(SYSTEMS, name)
    for name, module in others.items():
        monkeypatch.setitem(SYSTEMS, name, module)
    assert f"hil-serl has no monitor, {text}: use" in mistake(capsys, [run, "--enter", 0.5])


def test_eval_itself_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["eval", "--help"])
    assert "handrail eval monitor RUN_OR_DATASET" in capsys.readouterr().out
