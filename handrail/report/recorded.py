"""What the report takes from recorded episodes: rows of authority, takeover lengths, and film."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from handrail.core.seeds import EVALUATION_ENV_SEEDS
from handrail.core.values import Authority, TakeoverCause
from handrail.store.segments import runs

from . import palette
from .video import annotate

if TYPE_CHECKING:
    from handrail.store import Dataset, Episode, EpisodeMeta

IMAGES = "observation.images."


def column(episode: Episode, name: str) -> np.ndarray | None:
    """Return a scalar column as (T,), or None where the episode has none of that name."""
    values = episode.columns.get(name)
    return None if values is None else np.asarray(values).reshape(len(values), -1)[:, 0]


def is_evaluation(meta: EpisodeMeta) -> bool:
    """Evaluation resets come from a range of env seeds that training never uses."""
    return meta.env_seed in EVALUATION_ENV_SEEDS


def cameras(dataset: Dataset) -> list[str]:
    """Return the names of the recorded cameras, the front view first."""
    names = [name.removeprefix(IMAGES) for name in dataset.features if name.startswith(IMAGES)]
    return sorted(names, key=lambda name: (name != "front", name))


def training_episodes(dataset: Dataset, most: int = 400) -> Iterator[tuple[int, Episode]]:
    """Yield recorded training episodes in order, evenly thinned to `most`."""
    indices = [i for i in range(dataset.num_episodes) if not is_evaluation(dataset.meta(i))]
    picked = np.unique(np.linspace(0, len(indices) - 1, min(len(indices), most)).round().astype(int)) if indices else []
    for index in picked:
        yield indices[index], dataset.episode(indices[index])


def takeover_lengths(episode: Episode) -> list[int]:
    """Return the length of each takeover of one episode [steps]; demonstrations are none."""
    authority, causes = column(episode, "authority"), column(episode, "takeover_cause")
    if authority is None:
        return []
    return [
        len(part)
        for part in runs(authority.astype(int), causes)
        if part.authority is Authority.OPERATOR and part.cause is not TakeoverCause.DEMONSTRATION
    ]


def last_filmed(dataset: Dataset, count: int) -> list[int]:
    """Return the last `count` episodes to look at: evaluation episodes where there are any, else the last recorded."""
    if not cameras(dataset):
        return []
    everything = list(range(dataset.num_episodes))
    evaluated = [index for index in everything if is_evaluation(dataset.meta(index))]
    return (evaluated or everything)[-count:]


def film(episode: Episode, camera: str, fps: float, min_width: int = 320) -> np.ndarray:
    """Return the episode's frames of one camera with the driver's colour and a caption, (T, H, W, 3) uint8."""
    frames = np.asarray(episode.images(camera))
    authority = column(episode, "authority")
    drivers = np.zeros(len(frames), dtype=int) if authority is None else authority.astype(int)
    return annotate(frames, drivers.tolist(), captions(episode, len(frames), fps), min_width)


def captions(episode: Episode, count: int, fps: float) -> list[str]:
    """Return a short text for each frame: time, why the operator drives, and risk where a monitor gave one."""
    risk, causes = column(episode, "risk"), column(episode, "takeover_cause")
    watched = risk is not None and bool(np.any(risk))
    texts = []
    for index in range(count):
        parts = [f"{index / fps:.1f} s"]
        if watched and risk is not None:
            parts.append(f"risk {risk[index]:.2f}")
        cause = TakeoverCause(int(causes[index])) if causes is not None else TakeoverCause.NONE
        if cause is not TakeoverCause.NONE:
            parts.insert(0, palette.CAUSE_LABELS[cause])
        texts.append("  ·  ".join(parts))
    return texts
