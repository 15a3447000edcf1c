"""The same person on the same seed, alone and assisted, filmed: what the report shows of a run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handrail.core.values import Step
from handrail.run.record import record
from handrail.store import DatasetWriter
from handrail.systems.guided_station import Outcome, Station, Visit

TORQUE = "guidance_torque"
"""Stream of the torques (14,) [N m] that guidance held at the end of each step."""


def worth_seeing(outcomes: Sequence[Outcome], alone: Sequence[Outcome]) -> Visit:
    """The first visit of an ordinary person that help made a success; else that which it shortened most."""
    pairs = [(one, before) for one, before in zip(outcomes, alone, strict=True) if one.visit.tier == "ordinary"]
    saved = [one.visit for one, before in pairs if one.success and not before.success and not one.visit.switched]
    return saved[0] if saved else max(pairs, key=lambda pair: pair[1].time_s - pair[0].time_s)[0].visit


def record_comparison(alone: Station, assisted: Station, visit: Visit, folder: Path) -> None:
    """Film both episodes into a new dataset at `folder`: the first without, the second with assistance.

    Args:
        alone: the same assistance in shadow mode: its score and level are on record, and nothing is felt.

    Raises:
        RenderError: no usable OpenGL library.
        StoreError: it cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with DatasetWriter(folder, assisted.env.fps, images="video") as writer:
        for station in (alone, assisted):
            record_filmed(station, visit, writer)
            station.film.close()


def record_filmed(station: Station, visit: Visit, writer: DatasetWriter) -> Outcome:
    """One filmed episode into `writer`, with the torque that was felt."""
    station.film.rolling = True
    steps: list[Step] = []
    for step in station.steps(visit):
        steps.append(step)
        guidance = station.guidance
        felt = np.zeros(len(step.action)) if guidance is None else guidance.last
        writer.stream(TORQUE, step.timestamp, felt.astype(np.float32))
    station.film.rolling = False
    who = {"operator_draw": visit.draw, "operator_tier": visit.tier, "env_seed": visit.env_seed}
    record(writer, steps, station.env, **who)
    return station.outcome(visit, steps)
