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
        cells: the runs, in the order of their jobs.
        skipped: how many were complete before.
        runs: where the run folders lie.
        online_steps: length of a run, where it is known.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        skipped: int,
        runs: Path,
        online_steps: int | None,
        console: Console | None = None,
    ) -> None:
        self._cells, self._runs, self._length = cells, runs, online_steps
        console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._all = self._bar.add_task("all runs", total=len(cells) + skipped, completed=skipped)
        self._running: dict[int, TaskID] = {}

    def __enter__(self) -> Board:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def watch(self, running: Sequence[int]) -> None:
        """Show how far each running run is, from its own metrics."""
        for index in running:
            if index not in self._running:
                self._running[index] = self._bar.add_task(f"  {self._cells[index].label}", total=self._length)
            folder = self._cells[index].run_folder(self._runs)
            self._bar.update(self._running[index], completed=online_steps(folder))

    def end(self, index: int) -> None:
        """One run is through, well or not."""
        if index in self._running:
            self._bar.remove_task(self._running.pop(index))
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
