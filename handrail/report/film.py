"""Recorded episodes side by side as one animation: what a README or a talk shows of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handrail.core.errors import CorruptError, InvalidValueError

from . import recorded
from .video import titled, write_video

if TYPE_CHECKING:
    from handrail.store import Dataset

GAP = 8  # pixels between two episodes
REST_S = 1.0  # the last picture stays before the animation begins again


def write_film(root: Path, out: Path, episodes: Sequence[int] = (), width: int = 320) -> Path:
    """Write chosen episodes of the dataset at `root` side by side and return `out`.

    Args:
        out: .webp, .gif, .mp4, or .png for stills.
        episodes: indices in the dataset; `chosen` ones when empty.
        width: of one episode [pixels]; smaller films are enlarged by a whole factor.

    Raises:
        CorruptError: there is no filmed episode.
        InvalidValueError: an index that does not exist, or an unknown suffix.
        WriteError: the file cannot be written.
    """
    from handrail.store import Dataset

    dataset = Dataset(root)
    if not recorded.cameras(dataset):
        raise CorruptError(f"{root} holds no filmed episode: record some with cameras")
    for index in episodes:
        if not 0 <= index < dataset.num_episodes:
            raise InvalidValueError(f"episode {index} of {dataset.num_episodes}: give 0 to {dataset.num_episodes - 1}")
    panels = [_panel(dataset, index, width) for index in episodes or chosen(dataset)]
    return write_video(side_by_side(panels, round(REST_S * dataset.fps)), out, dataset.fps)


def chosen(dataset: Dataset) -> list[int]:
    """A training episode that a person had to save, and the last evaluation episode that succeeded alone."""
    metas = [dataset.meta(index) for index in range(dataset.num_episodes)]
    good = [index for index, meta in enumerate(metas) if meta.success] or list(range(len(metas)))
    alone = [index for index in good if recorded.is_evaluation(metas[index])]
    saved = [
        index
        for index in good
        if not recorded.is_evaluation(metas[index]) and recorded.takeover_lengths(dataset.episode(index))
    ]
    return [*saved[:1], *alone[-1:]] or good[-1:]


def side_by_side(films: Sequence[np.ndarray], rest: int) -> np.ndarray:
    """Lay films (T_i, H, W, 3) beside each other, (T, H, W', 3); the shorter wait for the longest, all for `rest`."""
    length = max(len(film) for film in films) + rest
    white = np.full((length, films[0].shape[1], GAP, 3), 255, np.uint8)
    held = [film[np.minimum(np.arange(length), len(film) - 1)] for film in films]
    return np.concatenate([part for film in held for part in (film, white)][:-1], axis=2)


def _panel(dataset: Dataset, index: int, width: int) -> np.ndarray:
    episode = dataset.episode(index)
    frames = recorded.film(episode, recorded.cameras(dataset)[0], dataset.fps, width)
    return titled(frames, _title(dataset, index))


def _title(dataset: Dataset, index: int) -> str:
    meta, lengths = dataset.meta(index), recorded.takeover_lengths(dataset.episode(index))
    steps = f" after {int(meta.policy_version):,} steps" if meta.policy_version.isdecimal() else ""
    if recorded.is_evaluation(meta):
        return f"alone{steps} of practice"
    return f"training{steps}: " + ("operator takes over" if lengths else "nobody needs to help")
