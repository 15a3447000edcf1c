"""The same reset filmed twice: a failure beside the same episode watched, a person alone beside the same assisted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handrail.core.errors import CorruptError

from . import palette, recorded, video
from .film import GAP, REST_S, side_by_side
from .under import with_curves
from .video import titled

if TYPE_CHECKING:
    from handrail.store import Dataset, Episode

FPS = 20.0  # about, of a film
THINNED = 2  # an animation has half of the pictures: it lies in a repository
SLOWER = 2  # a fast robot is shown at half its speed, so that it can be seen
TORQUE = "guidance_torque"  # stream of a filmed episode, (14,) [N m]
TORQUE_TOP = 2.5  # [N m] at the top of its curve


@dataclass(frozen=True)
class Pair:
    """Both episodes beside each other: frames (T, H, W, 3) uint8."""

    frames: np.ndarray
    fps: float
    env_seed: int | None
    who: str = ""

    def shown(self) -> dict[str, Any]:
        """What a page says of it."""
        poster = video.jpeg_uri(self.frames[len(self.frames) // 2])
        film = video.mp4_uri(self.frames, self.fps, quality=30)
        return {"video": film, "poster": poster, "env_seed": self.env_seed, "who": self.who}


def write_pairs(runs: Sequence[Path], out: Path) -> Path:
    """Write the pairs that runs have filmed below each other as one animation, and return `out`.

    Raises:
        CorruptError: a run has filmed no pair.
        WriteError: the file cannot be written.
    """
    pairs = [pair_of(run) for run in runs]
    missing = [str(run) for run, pair in zip(runs, pairs, strict=True) if pair is None]
    if missing:
        raise CorruptError(f"{missing[0]} has filmed no pair: give --episodes, or runs of a method that helps")
    found = [pair for pair in pairs if pair is not None]
    frames = below_each_other([pair.frames[::THINNED] for pair in found])
    return video.write_video(frames, out, found[0].fps / THINNED)


def has_pair(run: Path) -> bool:
    """Whether a run has filmed one."""
    return any((run / name).is_dir() for name in KINDS)


def pair_of(run: Path) -> Pair | None:
    """What a run has filmed: a prevented failure, or a person without and with help."""
    from handrail.store import Dataset

    return next((look(Dataset(run / name)) for name, look in KINDS.items() if (run / name).is_dir()), None)


def prevented(pair: Dataset) -> Pair:
    """A failure on the left, the same episode watched on the right."""
    alone, watched = (pair.episode(index) for index in (0, 1))
    camera, every = recorded.cameras(pair)[0], max(1, round(pair.fps / FPS / SLOWER))
    sides = [
        titled(recorded.film(episode, camera, pair.fps)[::every], title)
        for episode, title in (
            (alone, f"{alone.meta.task} alone: {_costly_steps(alone)} steps in violation"),
            (watched, "watched: none" if watched.meta.success else "watched: none, but not in time"),
        )
    ]
    return Pair(side_by_side(sides, round(REST_S * FPS)), FPS, alone.meta.env_seed)


def comparison(pair: Dataset) -> Pair:
    """A person alone on the left, the same assisted on the right; score, level and torque below."""
    episodes = [pair.episode(index) for index in (0, 1)]
    every, meta = max(1, round(pair.fps / FPS)), episodes[0].meta
    sides = [
        titled(curved(episode)[::every], f"{name}: {_ending(episode, pair.fps)}")
        for name, episode in zip((f"{meta.task} alone", "assisted"), episodes, strict=True)
    ]
    fps = pair.fps / every
    return Pair(
        side_by_side(sides, round(REST_S * fps)), fps, meta.env_seed, f"{meta.operator_tier} {meta.operator_draw}"
    )


KINDS = {"prevented": prevented, "comparison": comparison}  # folder of a run -> how it is shown


def below_each_other(films: Sequence[np.ndarray]) -> np.ndarray:
    """Lay films (T_i, H_i, W_i, 3) below each other, each in the middle; the shorter wait for the longest."""
    length, width = (max(film.shape[axis] for film in films) for axis in (0, 2))
    rows = []
    for film in films:
        room = width - film.shape[2]
        held = film[np.minimum(np.arange(length), len(film) - 1)]
        rows.append(np.pad(held, ((0, 0), (0, GAP), (room // 2, room - room // 2), (0, 0)), constant_values=255))
    return np.concatenate(rows, axis=1)[:, :-GAP]


def curved(episode: Episode) -> np.ndarray:
    """The frames of a teleoperated episode with its curves below."""
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


def _costly_steps(episode: Episode) -> int:
    cost = recorded.column(episode, "next.cost")
    return 0 if cost is None else int((cost > 0).sum())


def _ending(episode: Episode, fps: float) -> str:
    meta = episode.meta
    seconds = f"{len(episode) / fps:.1f} s"
    return f"success after {seconds}" if meta.success else f"{meta.failure_kind.replace('_', ' ')} after {seconds}"
