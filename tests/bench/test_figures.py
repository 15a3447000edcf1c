"""Pictures from result files."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail.bench.figures import calibration, write_figures
from handrail.bench.protocol import REQUIRED_KEYS, Cell, write_json
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


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "BoundedPush", "farl", 0, CURVE)
    assert command.main(["table", "farl", "--results", str(tmp_path), "--figures", str(tmp_path / "media")]) == 0
    assert (tmp_path / "media" / "farl-calibration.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw(tmp_path: Path) -> None:
    put(tmp_path, "BoundedPush", "ppo", 0, None)
    with pytest.raises(
        InvalidValueError, match=r"no picture of farl at budget standard in .*: run 'handrail bench run'"
    ):
        write_figures("farl", "standard", tmp_path, tmp_path)
