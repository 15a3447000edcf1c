"""Pictures beside a table, drawn from the committed results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from handrail.bench.farl import FARL
from handrail.bench.protocol import load_system
from handrail.bench.table import Table, make_table, read_results
from handrail.core.errors import InvalidValueError
from handrail.report import palette, plots
from handrail.store.atomic import write_atomically

Result = Mapping[str, Any]
Draw = Callable[[list[Result], Table], Figure | None]


def calibration(results: list[Result]) -> Figure | None:
    """The calibration curves of C_H, a panel a task and a line a run seed; None where no run has one."""
    panels: dict[str, list[Result]] = {}
    for result in results:
        if result["method"] == FARL and result.get("calibration_curve"):
            panels.setdefault(result["task"], []).append(result["calibration_curve"])
    return plots.calibration(panels) if panels else None


def people(table: Table) -> Figure | None:
    """Success and time of ordinary persons, alone and helped, a row a task; None where nobody was helped."""
    shown = {"unassisted": palette.MUTED, "bc-copilot": palette.RUN_COLOURS[4], "ours": palette.RUN_COLOURS[0]}
    panels: dict[str, dict[str, dict[str, plots.Bounds]]] = {"success": {}, "time, as a share of that alone": {}}
    for task, methods in table.tasks.items():
        for method in shown.keys() & methods.keys():
            for panel, metric in zip(panels.values(), ("success", "time_ratio"), strict=True):
                if (metric, method) != ("time_ratio", "unassisted") and (found := methods[method].get(metric)):
                    panel.setdefault(method, {})[task] = (found.mean, found.lo, found.hi)
    return plots.by_task(panels, shown) if "ours" in panels["success"] else None


FIGURES: dict[str, dict[str, Draw]] = {
    FARL: {"calibration": lambda results, table: calibration(results)},
    "guided-teleop": {"people": lambda results, table: people(table)},
}
"""System -> name -> picture."""


def write_figures(name: str, budget: str, results: Path, folder: Path) -> list[Path]:
    """Write every picture of system `name` as `folder`/NAME-PICTURE.png; return the files.

    Raises:
        UnknownNameError: no such system.
        InvalidValueError: the system has no picture, or its results hold nothing to draw.
        WriteError: the folder cannot be written.
    """
    system = load_system(name)
    found = list(read_results(system, budget, results).values())
    drawn = {picture: draw(found, make_table(name, budget, results)) for picture, draw in FIGURES.get(name, {}).items()}
    files = {folder / f"{name}-{picture}.png": figure for picture, figure in drawn.items() if figure is not None}
    if not files:
        raise InvalidValueError(
            f"no picture of {name} at budget {budget} in {results}: run 'handrail bench run' first; "
            f"systems with pictures are {', '.join(FIGURES)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file, figure in files.items():
        write_atomically(file, plots.png_bytes(figure))
    return list(files)
