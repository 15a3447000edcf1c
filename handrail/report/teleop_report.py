"""Runs of guided teleoperation on one page: what help is worth, and the same episode without and with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.errors import CorruptError
from handrail.run.folder import RunFolder

from . import video
from .page import write_page
from .pairs import FPS, curved, pair_of

SYSTEM = "guided-teleop"
ROWS = (  # key of a result, what it is called, how it is written
    ("success", "success, ordinary persons", "percent"),
    ("success_novice", "novices", "percent"),
    ("success_expert", "experts", "percent"),
    ("irreversible_failure", "irreversible failures", "percent"),
    ("completion_time", "time of a success [s]", "number"),
    ("time_ratio", "time, assisted / alone", "number"),
    ("authority", "authority", "percent"),
    ("effort", "effort of guidance [J]", "number"),
    ("transparency", "torque felt by experts", "percent"),
    ("false_assist", "false assist", "percent"),
    ("auroc", "AUROC of the score", "number"),
    ("lead_s", "lead before failures [s]", "number"),
    ("ece", "calibration error", "number"),
)


def is_teleoperation(folder: Path) -> bool:
    """Whether a run of guided teleoperation lies there."""
    return (folder / "config.json").is_file() and RunFolder(folder).read_config().get("system") == SYSTEM


def write_teleop_report(runs: Sequence[Path], out: Path) -> Path:
    """Write one HTML file about `runs` and return its path.

    Raises:
        CorruptError: a folder is no run of guided teleoperation, or an unfinished one.
        WriteError: the file cannot be written.
    """
    sections = [_section(Path(folder)) for folder in runs]
    title = sections[0]["label"] if len(sections) == 1 else f"{len(sections)} runs of guided teleoperation"
    return write_page("teleop.html.j2", out, title=title, runs=sections, rows=ROWS)


def _section(folder: Path) -> dict[str, Any]:
    run = RunFolder.open(folder)
    config, result = run.read_config(), run.read_result()
    if config.get("system") != SYSTEM:
        raise CorruptError(f"{folder} is a run of {config.get('system')}, not of {SYSTEM}: report it by itself")
    if result is None:
        raise CorruptError(f"{folder} is not finished: run the same command again, it goes on where it stopped")
    return {
        "label": f"{result['task']} · {result['method']} · seed {result['seed']}",
        "result": result,
        "film": None if (pair := pair_of(folder)) is None else pair.shown(),
        "command": result.get("command"),
        "git": result.get("git"),
    }


def write_view(folder: Path, count: int) -> Path:
    """Write the last `count` filmed episodes of a dataset, with their curves, one after the other: view.mp4 in it.

    Raises:
        WriteError: the file cannot be written.
    """
    from handrail.store import Dataset

    dataset = Dataset(folder)
    last = range(max(0, dataset.num_episodes - count), dataset.num_episodes)
    every = max(1, round(dataset.fps / FPS))
    frames = np.concatenate([curved(dataset.episode(index))[::every] for index in last])
    return video.write_video(frames, folder / "view.mp4", dataset.fps / every)
