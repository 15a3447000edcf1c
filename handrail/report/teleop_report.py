"""Runs of guided teleoperation on one page: what help is worth, and the same episode without and with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handrail.core.errors import CorruptError
from handrail.run.folder import RunFolder

from . import palette, recorded, video
from .film import REST_S, side_by_side
from .page import write_page
from .under import with_curves
from .video import titled

if TYPE_CHECKING:
    from handrail.store import Episode

SYSTEM = "guided-teleop"
TORQUE = "guidance_torque"  # stream of a filmed episode, (14,) [N m]
TORQUE_TOP = 2.5  # [N m] at the top of its curve
SLOW_FPS = 25.0
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
        "film": comparison_film(folder / "comparison") if (folder / "comparison").is_dir() else None,
        "command": result.get("command"),
        "git": result.get("git"),
    }


def comparison_film(folder: Path) -> dict[str, Any]:
    """The two filmed episodes of a dataset side by side, alone on the left, with their curves below."""
    from handrail.store import Dataset

    dataset = Dataset(folder)
    pair = [dataset.episode(index) for index in (0, 1)]
    every = max(1, round(dataset.fps / SLOW_FPS))
    sides = [
        titled(_with_curves(episode)[::every], f"{name}: {_ending(episode, dataset.fps)}")
        for name, episode in zip(("alone", "assisted"), pair, strict=True)
    ]
    frames = side_by_side(sides, round(REST_S * SLOW_FPS))
    return {
        "video": video.mp4_uri(frames, dataset.fps / every, quality=30),
        "poster": video.jpeg_uri(frames[len(frames) // 2]),
        "who": f"{pair[0].meta.operator_tier} {pair[0].meta.operator_draw}",
        "env_seed": pair[0].meta.env_seed,
    }


def _with_curves(episode: Episode) -> np.ndarray:
    frames = np.asarray(episode.images("front"))
    score, level = (recorded.column(episode, name) for name in ("value", "assist_level"))
    _, torque = episode.stream(TORQUE)
    curves = {
        "score": (score, palette.VALUE),
        "level": (level, palette.LEVEL),
        "torque": (np.abs(torque).max(axis=1) / TORQUE_TOP, palette.RISK),
    }
    return with_curves(
        frames, {name: (list(values), ink) for name, (values, ink) in curves.items() if values is not None}
    )


def _ending(episode: Episode, fps: float) -> str:
    meta = episode.meta
    seconds = f"{len(episode) / fps:.1f} s"
    return f"success after {seconds}" if meta.success else f"{meta.failure_kind.replace('_', ' ')} after {seconds}"


def write_view(folder: Path, count: int) -> Path:
    """Write the last `count` filmed episodes of a dataset, with their curves, one after the other: view.mp4 in it.

    Raises:
        WriteError: the file cannot be written.
    """
    from handrail.store import Dataset

    dataset = Dataset(folder)
    last = range(max(0, dataset.num_episodes - count), dataset.num_episodes)
    every = max(1, round(dataset.fps / SLOW_FPS))
    frames = np.concatenate([_with_curves(dataset.episode(index))[::every] for index in last])
    return video.write_video(frames, folder / "view.mp4", dataset.fps / every)
