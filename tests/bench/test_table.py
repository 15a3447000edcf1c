"""From result files to the table, by numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from handrail import systems
from handrail.bench.protocol import REQUIRED_KEYS, Cell, write_json
from handrail.bench.render import COMMANDS, markdown, show
from handrail.bench.statistics import Interval, interval, mean_over_tasks
from handrail.bench.table import HEADLINES, make_table, numbers
from handrail.cli import bench as command
from handrail.core.errors import CorruptError, InvalidValueError, UnknownNameError

MACHINE = {"cpu": "abacus", "cores": 2, "memory_gb": 4.0, "python": "3.11.7", "versions": {"numpy": "2.4"}}


def _episodes(rate: float) -> list[int]:
    return [1] * round(100 * rate) + [0] * round(100 * (1 - rate))


def _put(results: Path, task: str, method: str, seed: int, rate: float, **more: object) -> Path:
    cell = Cell("toy", "standard", task, method, seed)
    result = dict.fromkeys(REQUIRED_KEYS) | {
        "task": task, "method": method, "seed": seed, "budget": "standard", "online_steps": 400, "git": "abc123",
        "command": "handrail bench run toy", "machine": MACHINE, "success_rate_autonomous": rate,
        "episodes_success": _episodes(rate),
    }  # fmt: skip
    write_json(cell.result_file(results), result | more)
    return cell.result_file(results)


@pytest.fixture
def results(toy: str, tmp_path: Path) -> Path:
    for seed, rate in enumerate((0.8, 0.9, 0.85)):
        _put(tmp_path, "Left", "bandit", seed, rate, takeovers={"STUCK": seed} | ({"DANGER": 3} if seed == 0 else {}))
        _put(tmp_path, "Left", "greedy", seed, rate - 0.4, takeovers=seed)
        _put(tmp_path, "Right", "bandit", seed, 0.6, operator_seconds_to_80=10.0 if seed else None)
    return tmp_path


def test_json_has_exactly_the_documented_shape(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["table", "toy", "--results", str(results), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["system", "budget", "git", "overall", "tasks"]
    assert (printed["system"], printed["budget"], printed["git"]) == ("toy", "standard", "abc123")
    assert set(printed["overall"]["success_rate_autonomous"]) == {"mean", "lo", "hi"}
    assert set(printed["tasks"]) == {"Left", "Right"} and set(printed["tasks"]["Left"]) == {"greedy", "bandit"}
    assert set(printed["tasks"]["Left"]["bandit"]["success_rate_autonomous"]) == {"mean", "lo", "hi", "n"}


def test_success_is_bootstrapped_over_runs_and_their_episodes(results: Path) -> None:
    table = make_table("toy", "standard", results)
    rates = [np.array(_episodes(rate)) for rate in (0.8, 0.9, 0.85)]
    left = table.tasks["Left"]["bandit"]["success_rate_autonomous"]
    assert left == interval(rates)
    assert left.mean == pytest.approx(0.85) and left.n == 3
    assert left.hi - left.lo > interval([np.array(0.8), np.array(0.9), np.array(0.85)]).hi - 0.8
    right = [np.array(_episodes(0.6))] * 3
    assert table.overall["success_rate_autonomous"] == mean_over_tasks([rates, right])
    assert table.overall["success_rate_autonomous"].mean == pytest.approx(0.725)


def test_success_with_help_is_bootstrapped_over_episodes_as_well(toy: str, tmp_path: Path) -> None:
    helped = {"success_rate_autonomous": None, "success": 0.8}
    _put(tmp_path, "Left", "bandit", 0, 0.8, **helped)
    found = make_table("toy", "standard", tmp_path).tasks["Left"]["bandit"]["success"]
    assert found == interval([np.array(_episodes(0.8))])
    assert found.lo < 0.75 < 0.85 < found.hi


def test_success_is_called_autonomous_where_a_policy_has_it(results: Path, toy: str, tmp_path: Path) -> None:
    assert "## Autonomous success of bandit minus each other" in markdown(make_table("toy", "standard", results))
    for method in ("bandit", "greedy"):
        _put(tmp_path / "people", "Left", method, 0, 0.8, success_rate_autonomous=None, success=0.8)
    assert "## Success of bandit minus each other" in markdown(make_table("toy", "standard", tmp_path / "people"))


def test_differences_are_paired(results: Path) -> None:
    difference = make_table("toy", "standard", results).differences["Left"]["greedy"]
    assert difference.mean == pytest.approx(0.4) and difference.excludes_zero
    # every run differs by 0.4, so that what remains is the spread of 0/1 differences over episodes
    assert difference.hi - difference.lo == pytest.approx(2 * 1.96 * np.sqrt(0.4 * 0.6 / 300), rel=0.1)


def test_differences_are_averaged_over_the_tasks_that_have_them(results: Path) -> None:
    assert make_table("toy", "standard", results).pooled == {}  # greedy ran on one task
    _put(results, "Right", "greedy", 1, 0.4)
    table = make_table("toy", "standard", results)
    found, tasks = table.pooled["greedy"]
    by_task = [table.differences[task]["greedy"] for task in ("Left", "Right")]
    assert tasks == 2 and found.n == 1 and found.mean == pytest.approx((0.4 + 0.2) / 2)
    halves = [(one.hi - one.lo) / 2 for one in by_task]  # independent: variances add
    assert (found.hi - found.lo) / 2 == pytest.approx(np.hypot(*halves) / 2, rel=0.1)
    assert "| greedy | mean of 2 | 0.30 [0.2" in markdown(table)


def test_counts_by_kind_are_summed_and_absent_kinds_are_zero(results: Path) -> None:
    bandit = make_table("toy", "standard", results).tasks["Left"]["bandit"]
    assert bandit["takeovers"].mean == pytest.approx((3 + 1 + 2) / 3)
    assert bandit["takeovers.DANGER"].mean == pytest.approx(1.0) and bandit["takeovers.DANGER"].n == 3


def test_null_metrics_are_skipped_and_said_so(results: Path) -> None:
    table = make_table("toy", "standard", results)
    assert table.tasks["Right"]["bandit"]["operator_seconds_to_80"].n == 2
    assert "operator_seconds_to_80" not in table.tasks["Left"]["bandit"]
    assert "10 [10, 10] (2 runs)" in markdown(table)


def test_missing_runs_are_listed(results: Path) -> None:
    table = make_table("toy", "standard", results)
    assert Cell("toy", "standard", "Left", "bandit", 4) in table.missing
    assert len(table.missing) == 2 * (5 + 3) - 9
    page = markdown(table)
    assert "- Left, bandit: seeds 3, 4" in page and "- Right, greedy: seeds 0, 1, 2" in page
    console = Console(record=True, width=200)
    show(table, console)
    assert "missing: Left, bandit: seeds 3, 4" in console.export_text()


def test_a_table_of_some_runs_misses_nothing_else(results: Path) -> None:
    table = make_table("toy", "standard", results, tasks=["Left"], methods=["bandit"], seeds=[0, 1, 4])
    assert list(table.tasks) == ["Left"] and list(table.tasks["Left"]) == ["bandit"]
    assert table.tasks["Left"]["bandit"]["success_rate_autonomous"].n == 2
    assert table.missing == (Cell("toy", "standard", "Left", "bandit", 4),)
    assert "--budget standard --tasks Left --methods bandit --seeds 0 1 4 --markdown" in markdown(table)
    with pytest.raises(InvalidValueError, match="no result of toy --seeds 9 at budget standard"):
        make_table("toy", "standard", results, seeds=[9])
    with pytest.raises(UnknownNameError, match="method"):
        make_table("toy", "standard", results, methods=["bandid"])


def test_markdown_names_code_command_and_machine(results: Path, tmp_path: Path) -> None:
    file = tmp_path / "docs" / "toy.md"
    assert command.main(["table", "toy", "--results", str(results), "--markdown", str(file)]) == 0
    page = file.read_text()
    assert "| bandit | 3 | 0.85 [" in page and "| greedy | Left | 0.40 [" in page
    for said in ("Code: abc123.", "`handrail bench run toy`", "abacus, 2 cores, 4.0 GB; Python 3.11.7, numpy 2.4"):
        assert said in page


def test_many_commands_are_not_all_listed(results: Path) -> None:
    for seed in range(20):
        _put(results, "Left", "greedy", seed, 0.5, command=f"handrail bench run toy --seeds {seed}")
    page = markdown(make_table("toy", "standard", results))
    assert page.count("`handrail bench run toy") == COMMANDS and "- and 9 more, for other cells" in page


def test_one_number_has_no_interval(results: Path) -> None:
    _put(results, "Right", "greedy", 0, 0.5, takeovers=4)
    rows = [line for line in markdown(make_table("toy", "standard", results)).splitlines() if "| greedy | 1 |" in line]
    assert rows[0].startswith("| greedy | 1 | 0.50 [0.40, 0.60]") and rows[0].endswith("| 4.00 | - |")


def test_several_commits_are_all_named(results: Path) -> None:
    _put(results, "Right", "greedy", 0, 0.5, git="def456")
    assert make_table("toy", "standard", results).git == "abc123, def456"


def test_numbers_of_a_result() -> None:
    found = numbers({"seed": 3, "takeovers": {"STUCK": 2, "DANGER": 1}, "flag": True, "x": 1, "y": None, "z": "a"})
    assert found == {"takeovers": 3.0, "takeovers.STUCK": 2.0, "takeovers.DANGER": 1.0, "x": 1.0}


def test_what_contradicts_itself_or_is_damaged_is_named(results: Path) -> None:
    path = _put(results, "Left", "greedy", 0, 0.4, episodes_success=_episodes(0.9))
    with pytest.raises(
        CorruptError, match=r"seed-0.json says success_rate_autonomous 0.4 but its episodes give 0.9000"
    ):
        make_table("toy", "standard", results)
    path.write_text("{")
    with pytest.raises(CorruptError, match=r"seed-0.json is not valid JSON .* delete it and run the bench again"):
        make_table("toy", "standard", results)
    path.write_text("[]")
    with pytest.raises(CorruptError, match="holds a list, not an object"):
        make_table("toy", "standard", results)


def test_nothing_there_says_what_to_run(toy: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="run 'handrail bench run toy --budget quick'"):
        make_table("toy", "quick", tmp_path)
    with pytest.raises(UnknownNameError, match="unknown budget 'standart': did you mean standard"):
        make_table("toy", "standart", tmp_path)


def test_the_command_line_names_its_verbs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown bench verb 'tabel': did you mean table"):
        command.main(["tabel"])
    assert command.main([]) == 0 and "handrail bench run SYSTEM" in capsys.readouterr().out


def test_markdown_goes_to_its_place_in_a_page(results: Path, tmp_path: Path) -> None:
    file = tmp_path / "toy.md"
    file.write_text("# Toy\n\n## Measured\n\n<!-- table:toy -->\nnothing yet\n<!-- end -->\n\nThe end.\n")
    for _ in range(2):  # a second time replaces the first
        assert command.main(["table", "toy", "--results", str(results), "--markdown", str(file)]) == 0
    page = file.read_text()
    assert page.startswith("# Toy\n\n## Measured\n\n<!-- table:toy -->\n### toy: measured, budget standard")
    assert page.endswith("<!-- end -->\n\nThe end.\n")
    assert "nothing yet" not in page and page.count("#### Left") == 1


def test_a_budget_may_have_a_place_of_its_own(results: Path, tmp_path: Path) -> None:
    file = tmp_path / "toy.md"
    file.write_text("<!-- table:toy -->\nstays\n<!-- end -->\n<!-- table:toy standard -->\ngoes\n<!-- end -->\n")
    assert command.main(["table", "toy", "--results", str(results), "--markdown", str(file)]) == 0
    page = file.read_text()
    assert "stays" in page and "goes" not in page and "### toy: measured, budget standard" in page


def test_shifted_conditions_have_a_table_of_their_own(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "shifted" not in markdown(make_table("toy", "standard", results))
    monkeypatch.setattr(systems.load("toy"), "SHIFTS", {"rain": {}}, raising=False)
    _put(results, "Right", "greedy", 0, 0.5, success_rate_rain=0.25, success_rate_sun=0.75)
    page = markdown(make_table("toy", "standard", results))
    assert "| task | method | runs | success rate rain |" in page and "| Right | greedy | 1 | 0.25 |" in page


def test_named_checks_have_a_table_of_their_own(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Named checks" not in markdown(make_table("toy", "standard", results))
    monkeypatch.setattr(systems.load("toy"), "CHECKS", ("sound", "round"), raising=False)
    _put(results, "Right", "greedy", 0, 0.5, sound=0.75)
    page = markdown(make_table("toy", "standard", results))
    assert "## Named checks\n\n| task | method | runs | sound | round |" in page
    assert "| Right | greedy | 1 | 0.75 | - |" in page


def test_numbers_that_compare_methods_stand_above_all(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Over all tasks" not in markdown(make_table("toy", "standard", results))
    monkeypatch.setitem(HEADLINES, "toy", lambda _, each: ({"luck_ratio": Interval(0.5, 0.25, 0.75, 2)}, {}))
    table = make_table("toy", "standard", results)
    page, console = markdown(table), Console(record=True, width=200)
    show(table, console)
    assert (
        "## Over all tasks, `bandit`\n\n| number | value |\n| --- | --- |\n| luck ratio | 0.50 [0.25, 0.75] |" in page
    )
    assert page.index("Over all tasks") < page.index("## Left") and "luck ratio" in console.export_text()


def test_markdown_into_a_folder_is_refused(results: Path) -> None:
    with pytest.raises(InvalidValueError, match="is a folder, it must be a file"):
        command.main(["table", "toy", "--results", str(results), "--markdown", str(results)])
