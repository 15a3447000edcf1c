"""Pictures from result files."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail.bench.figures import calibration, people, write_figures
from handrail.bench.protocol import REQUIRED_KEYS, Cell, write_json
from handrail.bench.table import make_table
from handrail.cli import bench as command
from handrail.core.errors import InvalidValueError

CURVE = {"predicted": [0.0, 0.5, 0.9], "realised": [0.0, 0.4, 1.0], "count": [500, 20, 9]}


def put(results: Path, task: str, method: str, seed: int, curve: object) -> None:
    cell = Cell("farl", "standard", task, method, seed)
    named = {"task": task, "method": method, "seed": seed, "budget": "standard", "git": "abc", "command": "handrail"}
    result = dict.fromkeys(REQUIRED_KEYS) | {"machine": {}, "calibration_curve": curve} | named
    write_json(cell.result_file(results), result)


def test_a_panel_a_task_and_a_line_a_seed() -> None:
    results = [{"task": task, "method": "farl", "calibration_curve": CURVE} for task in ("Push", "Push", "Soccer")]
    results.append({"task": "Wall", "method": "ppo", "calibration_curve": None})
    figure = calibration(results)
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Push", "Soccer"]
    _, *lines = figure.axes[0].lines
    assert len(lines) == 2 and list(lines[0].get_ydata()) == CURVE["realised"]


def test_a_row_a_task_and_a_dot_a_method(tmp_path: Path) -> None:
    for task, methods in {
        "BoxStack": ("unassisted", "ours"),
        "PlugSocket": ("unassisted", "bc-copilot", "ours"),
    }.items():
        for method in methods:
            won = [1, 1, 1, 0] * 10 if method == "ours" else [1, 0, 1, 0] * 10
            cell = Cell("guided-teleop", "standard", task, method, 0)
            named = {
                "task": task,
                "method": method,
                "seed": 0,
                "budget": "standard",
                "git": "abc",
                "command": "handrail",
            }
            numbers = {
                "success": sum(won) / 40,
                "time_ratio": 0.8,
                "episodes_success": won,
                "episodes_time_s": [9.0] * 40,
            }
            write_json(cell.result_file(tmp_path), dict.fromkeys(REQUIRED_KEYS) | {"machine": {}} | named | numbers)
    figure = people(make_table("guided-teleop", "standard", tmp_path))
    assert figure is not None
    success, time = figure.axes
    assert [label.get_text() for label in success.get_yticklabels()] == ["BoxStack", "PlugSocket"]
    assert {line.get_label(): list(line.get_xdata()) for line in success.lines} == {
        "unassisted": [0.5, 0.5], "bc-copilot": [0.5], "ours": [0.75, 0.75],
    }  # fmt: skip
    assert {line.get_label() for line in time.lines} == {"bc-copilot", "ours"}  # alone it is 1 by what it means
    (tmp_path / "guided-teleop" / "standard" / "BoxStack" / "ours" / "seed-0.json").unlink()
    assert people(make_table("guided-teleop", "standard", tmp_path, tasks=["BoxStack"])) is None


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "BoundedPush", "farl", 0, CURVE)
    assert command.main(["table", "farl", "--results", str(tmp_path), "--figures", str(tmp_path / "media")]) == 0
    assert (tmp_path / "media" / "farl-calibration.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw(tmp_path: Path) -> None:
    put(tmp_path, "BoundedPush", "ppo", 0, None)
    table = make_table("farl", "standard", tmp_path)
    with pytest.raises(
        InvalidValueError, match=r"no picture of farl at budget standard in .*: run 'handrail bench run'"
    ):
        write_figures(table, tmp_path, tmp_path)
