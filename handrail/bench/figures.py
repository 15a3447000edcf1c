"""Pictures beside a table, drawn from the committed results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from handrail.bench.farl import FARL
from handrail.bench.protocol import load_system
from handrail.bench.table import Table, read_results
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
    success, time = _by_method(table, "success", shown), _by_method(table, "time_ratio", ("bc-copilot", "ours"))
    return (
        plots.by_task({"success": success, "time, as a share of that alone": time}, shown) if success["ours"] else None
    )


def _by_method(table: Table, metric: str, methods: Iterable[str]) -> dict[str, dict[str, plots.Bounds]]:
    """Method -> task -> mean and interval of a metric, where there is one."""
    found = {method: {task: row.get(method, {}).get(metric) for task, row in table.tasks.items()} for method in methods}
    return {method: {task: (i.mean, i.lo, i.hi) for task, i in row.items() if i} for method, row in found.items()}


FIGURES: dict[str, dict[str, Draw]] = {
    FARL: {"calibration": lambda results, table: calibration(results)},
    "guided-teleop": {"people": lambda results, table: people(table)},
}
"""System -> name -> picture."""


def write_figures(table: Table, results: Path, folder: Path) -> list[Path]:
    """Write every picture of the table's system as `folder`/SYSTEM-PICTURE.png; return the files.

    Args:
        results: where the table was made from.

    Raises:
        InvalidValueError: the system has no picture, or its results hold nothing to draw.
        WriteError: the folder cannot be written.
    """
    name, budget = table.system, table.budget
    found = list(read_results(load_system(name), budget, results).values())
    drawn = {picture: draw(found, table) for picture, draw in FIGURES.get(name, {}).items()}
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
