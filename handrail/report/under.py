"""Curves under a film that grow as it plays: what was measured at the moment that is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from handrail.core.errors import InvalidValueError

from . import palette
from .video import caption_font

ROW = 44  # height of one curve [pixels]
LEFT, EDGE = 64, 6  # room for the names, and around a curve [pixels]


def with_curves(frames: np.ndarray, curves: Mapping[str, tuple[Sequence[float], str]], top: float = 1.0) -> np.ndarray:
    """Put a row for each curve below frames (T, H, W, 3): (T, H', W, 3) uint8.

    Args:
        curves: name -> values (T,) in [0, `top`], larger ones drawn at the top; colour as "#rrggbb".

    Raises:
        InvalidValueError: a curve has another length than the film.
    """
    for name, (values, _) in curves.items():
        if len(values) != len(frames):
            raise InvalidValueError(
                f"curve '{name}' has {len(values)} values, the film {len(frames)} frames: give one each"
            )
    length, width = len(frames), frames.shape[2]
    height = ROW * len(curves) + ROW * len(curves) % 2
    x = LEFT + np.arange(length) / max(length - 1, 1) * (width - LEFT - EDGE)
    drawn = [_drawn(name, values, colour, x, width, top) for name, (values, colour) in curves.items()]
    future, past = (np.concatenate([pair[side] for pair in drawn]) for side in (0, 1))
    below = np.full((length, height, width, 3), 255, np.uint8)
    for frame, cursor in zip(below, x.round().astype(int), strict=True):
        frame[: len(past)] = future
        frame[: len(past), : cursor + 1] = past[:, : cursor + 1]
        frame[: len(past), cursor] = (90, 90, 90)
    return np.concatenate([frames, below], axis=1)


def _drawn(
    name: str, values: Sequence[float], colour: str, x: np.ndarray, width: int, top: float
) -> tuple[np.ndarray, np.ndarray]:
    """One row, twice: before it was measured, pale; and after."""
    y = EDGE + (ROW - 2 * EDGE) * (1.0 - np.clip(np.asarray(values, float) / top, 0.0, 1.0))
    line = list(zip(x.tolist(), y.tolist(), strict=True))
    rows = []
    for ink in ("#dddddd", colour):
        canvas = Image.new("RGB", (width, ROW), palette.PAPER)
        draw = ImageDraw.Draw(canvas)
        draw.text((4, ROW // 2), name, font=caption_font(12, bold=False), fill=palette.INK, anchor="lm")
        draw.line([(LEFT, ROW - EDGE), (width - EDGE, ROW - EDGE)], fill="#cccccc")
        if len(line) > 1:
            draw.line(line, fill=ink, width=2)
        rows.append(np.asarray(canvas))
    return rows[0], rows[1]
