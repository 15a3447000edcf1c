"""Pictures beside a table, drawn from the committed results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from handrail.bench.farl import FARL
from handrail.bench.protocol import load_system
from handrail.bench.table import read_results
from handrail.core.errors import InvalidValueError
from handrail.report import plots
from handrail.store.atomic import write_atomically

Result = Mapping[str, Any]
Draw = Callable[[list[Result]], Figure | None]


def calibration(results: list[Result]) -> Figure | None:
    """The calibration curves of C_H, a panel a task and a line a run seed; None where no run has one."""
    panels: dict[str, list[Result]] = {}
    for result in results:
        if result["method"] == FARL and result.get("calibration_curve"):
            panels.setdefault(result["task"], []).append(result["calibration_curve"])
    return plots.calibration(panels) if panels else None


FIGURES: dict[str, dict[str, Draw]] = {FARL: {"calibration": calibration}}
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
    drawn = {picture: draw(found) for picture, draw in FIGURES.get(name, {}).items()}
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
