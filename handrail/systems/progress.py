"""What a person watching a training run wants to see: how far, how often somebody helps, how often it works."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from handrail.core.values import Authority, Step

EPISODES_SHOWN = 20  # moving window of the rates
ALWAYS_SHOWN = "assisted success"
LINE_EVERY_S = 10.0  # where there is no terminal to redraw


class Progress:
    """A bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rates]}"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._recent: deque[dict[str, float]] = deque(maxlen=EPISODES_SHOWN)

    def __enter__(self) -> Progress:
        self._last_line_s = time.monotonic()
        self._bar.start()
        self._task = self._bar.add_task(self.title, total=self.total or None, rates="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, done: int, steps: list[Step]) -> None:
        """After an episode: `done` online steps so far."""
        self._recent.append(_shares(steps))
        means = {name: float(np.mean([shares[name] for shares in self._recent])) for name in self._recent[0]}
        rates = ", ".join(f"{name} {mean:.0%}" for name, mean in means.items() if mean > 0 or name == ALWAYS_SHOWN)
        self._bar.update(self._task, completed=min(done, self.total), rates=rates)
        self._line(f"{done}/{self.total} steps, {rates}")

    def note(self, text: str) -> None:
        self._bar.update(self._task, rates=text)
        self._line(text)

    def _line(self, text: str) -> None:
        if not self._console.is_terminal and time.monotonic() - self._last_line_s > LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            self._console.print(f"{self.title}: {text}", highlight=False)


def _shares(steps: list[Step]) -> dict[str, float]:
    """What one episode adds to the moving rates."""
    return {
        ALWAYS_SHOWN: float(steps[-1].success),
        "operator": float(np.mean([step.intervention for step in steps])),
        "assistant": float(np.mean([step.authority is Authority.ASSISTANT for step in steps])),
        "failing": float(any(step.cost > 0 for step in steps)),
    }
