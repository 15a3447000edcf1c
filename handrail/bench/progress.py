"""What a person watching a bench wants to see: how many runs are through, and how far the running ones are."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from handrail.bench.protocol import Cell

TAIL_BYTES = 65_536


class Board:
    """A bar for all runs and one for each running run, on a terminal; silent elsewhere.

    Args:
        total: how many runs there are.
        skipped: how many of them were complete before.
        runs: where the run folders lie.
        online_steps: length of a run, where it is known.
    """

    def __init__(
        self,
        total: int,
        skipped: int,
        runs: Path,
        online_steps: int | None,
        console: Console | None = None,
    ) -> None:
        self._runs, self._length = runs, online_steps
        console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._all = self._bar.add_task("all runs", total=total, completed=skipped)
        self._running: dict[Cell, TaskID] = {}

    def __enter__(self) -> Board:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def watch(self, running: Sequence[Cell]) -> None:
        """Show how far each running run is, from its own metrics."""
        for cell in running:
            if cell not in self._running:
                self._running[cell] = self._bar.add_task(f"  {cell.label}", total=self._length)
            self._bar.update(self._running[cell], completed=online_steps(cell.run_folder(self._runs)))

    def end(self, cell: Cell) -> None:
        """One run is through, well or not."""
        if cell in self._running:
            self._bar.remove_task(self._running.pop(cell))
        self._bar.advance(self._all)


def online_steps(folder: Path) -> int:
    """Return how far the run in `folder` is: the last `online_steps` in its metrics.jsonl, 0 before the first."""
    for line in reversed(_last_lines(folder / "metrics.jsonl")):
        try:
            return int(json.loads(line)["online_steps"])
        except (ValueError, KeyError, TypeError):  # a line cut at either end, or one without steps
            continue
    return 0


def _last_lines(path: Path) -> list[bytes]:
    """Return the lines in the last `TAIL_BYTES` of a file; the first may be cut, and so may the last."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().splitlines()
    except FileNotFoundError:
        return []
