"""What the verbs that record episodes share: a task under an operator's eyes, and a dataset. No verb of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handrail.cli.operators import Chosen, operator_from
from handrail.core.values import Step
from handrail.run import Supervised
from handrail.run.film import Film
from handrail.run.record import record
from handrail.store import DatasetWriter
from handrail.tasks import make


@dataclass(frozen=True)
class Recording:
    """An open dataset, and the environment whose episodes go into it."""

    task: Any
    env: Supervised
    chosen: Chosen
    writer: DatasetWriter

    def keep(self, steps: Sequence[Step], **known: Any) -> None:
        """Commit an episode; `known` are fields of `EpisodeMeta` beside what task and operator say of themselves."""
        record(self.writer, steps, self.task, **known, **self.chosen.described)


@contextmanager
def recording(task_name: str, operator: str, out: Path, *, film: bool, drives: bool) -> Iterator[Recording]:
    """Open the operator that `operator` names beside a task, and the dataset `out`.

    Args:
        film: record the front camera as video.
        drives: the operator is at the controls throughout.
    """
    task = make(task_name)
    filmed = Film(task)
    filmed.rolling = film
    images = "video" if film else "none"
    with operator_from(operator, task, drives) as chosen, DatasetWriter(out, task.fps, images=images) as writer:
        yield Recording(task, Supervised(filmed, operator=chosen.operator, clock=chosen.clock), chosen, writer)
