"""One episode on one page: film, risk and value, who drove and why, and what it was."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Authority
from handrail.store.segments import runs

from . import palette, plots, recorded, video
from .page import write_page

if TYPE_CHECKING:
    from handrail.store import Dataset, Episode

SHOWN = ("authority", "takeover_cause", *plots.CURVES)
STILLS = 6


def write_episode_page(dataset: Dataset, episode: int, out: Path) -> Path:
    """Write one HTML file about one episode of `dataset` and return its path.

    Raises:
        InvalidValueError: there is no such episode.
        WriteError: the file cannot be written.
    """
    if not 0 <= episode < dataset.num_episodes:
        raise InvalidValueError(f"episode {episode} of {dataset.num_episodes}: give 0 to {dataset.num_episodes - 1}")
    record, fps = dataset.episode(episode), float(dataset.fps)
    columns = {name: values for name in SHOWN if (values := recorded.column(record, name)) is not None}
    length = len(next(iter(record.columns.values())))
    columns.setdefault("authority", np.zeros(length, dtype=int))
    return write_page(
        "episode.html.j2",
        out,
        title=f"Episode {episode}",
        meta=record.meta,
        facts=_facts(record, columns, fps),
        timeline=plots.svg_uri(plots.episode_timeline(columns, fps)),
        events=_events(columns, fps),
        watched=any(name in columns and np.any(columns[name]) for name in plots.CURVES),
        films=[_film(record, camera, fps) for camera in recorded.cameras(dataset)],
    )


def _facts(record: Episode, columns: dict[str, np.ndarray], fps: float) -> list[tuple[str, str]]:
    """Return the table of what this episode was: first counts, then its metadata as stored."""
    authority = columns["authority"].astype(int)
    rewards = recorded.column(record, "next.reward")
    shares = [(palette.AUTHORITY_LABELS[a], int(np.sum(authority == a))) for a in Authority]
    counted = [("length", f"{len(authority)} steps, {len(authority) / fps:.1f} s")]
    counted += [(f"{name} steps", f"{n} ({n / len(authority):.0%})") for name, n in shares if n]
    if rewards is not None:
        counted.append(("return", f"{float(np.sum(rewards)):g}"))
    stored = [(name.replace("_", " "), _shown(value)) for name, value in asdict(record.meta).items()]
    return counted + stored


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None or value == "" else str(value)


def _events(columns: dict[str, np.ndarray], fps: float) -> list[dict[str, object]]:
    """Return every stretch that the policy did not drive."""
    parts = runs(columns["authority"].astype(int), columns.get("takeover_cause"))
    return [
        {
            "who": palette.AUTHORITY_LABELS[part.authority],
            "colour": palette.AUTHORITY_COLOURS[part.authority],
            "cause": palette.CAUSE_LABELS.get(part.cause, "–"),
            "start_s": f"{part.start / fps:.1f}",
            "length": len(part),
            "length_s": f"{len(part) / fps:.1f}",
        }
        for part in parts
        if part.authority is not Authority.POLICY
    ]


def _film(record: Episode, camera: str, fps: float) -> dict[str, Any]:
    raw = np.asarray(record.images(camera))
    frames = recorded.film(record, camera, fps)
    authority = recorded.column(record, "authority")
    picked = np.unique(np.linspace(0, len(raw) - 1, min(STILLS, len(raw))).round().astype(int))
    drivers = [0] * len(picked) if authority is None else authority[picked].astype(int).tolist()
    stills = video.annotate(raw[picked], drivers)
    return {
        "camera": camera,
        "video": video.mp4_uri(frames, fps),
        "poster": video.jpeg_uri(frames[len(frames) // 2]),
        "stills": [(f"{i / fps:.1f} s", video.jpeg_uri(still)) for i, still in zip(picked, stills, strict=True)],
    }
