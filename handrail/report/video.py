"""Frames -> a video that every browser plays, an animation for a README, or a strip of stills."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from handrail.core.errors import InvalidValueError, WriteError
from handrail.core.values import Authority

from . import palette

ANIMATIONS = (".gif", ".webp")


def annotate(
    frames: np.ndarray, authority: Sequence[int], captions: Sequence[str] | None = None, min_width: int = 320
) -> np.ndarray:
    """Put a border in the driver's colour around each frame, and a caption below that names the driver.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        authority: who drove each step, (T,).
        captions: text for each frame, (T,); None for a border alone.
        min_width: smaller frames are enlarged by a whole factor until they are at least this wide [pixels].

    Returns:
        (T, H', W', 3) uint8; H' and W' are even, as H.264 asks for.
    """
    frames = _checked(frames)
    texts: Sequence[str | None] = [None] * len(frames) if captions is None else captions
    if not len(frames) == len(authority) == len(texts):
        raise InvalidValueError(
            f"{len(frames)} frames, {len(authority)} authorities, {len(texts)} captions: give one of each a frame"
        )
    factor = max(1, -(-min_width // frames.shape[2]))
    rows = zip(frames, authority, texts, strict=True)
    return np.stack([_framed(frame, Authority(int(who)), text, factor) for frame, who, text in rows])


def _framed(frame: np.ndarray, authority: Authority, caption: str | None, factor: int) -> np.ndarray:
    height, width = frame.shape[0] * factor, frame.shape[1] * factor
    edge = max(4, width // 64)
    bar = edge if caption is None else 2 * max(11, width // 30)
    colour = palette.AUTHORITY_COLOURS[authority]
    size = (_even(width + 2 * edge), _even(height + edge + bar))
    canvas = Image.new("RGB", size, colour)
    canvas.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC), (edge, edge))
    if caption is not None:
        _write_caption(ImageDraw.Draw(canvas), authority, caption, (edge, edge + height, width, bar))
    return np.asarray(canvas)


def _write_caption(
    draw: ImageDraw.ImageDraw, authority: Authority, caption: str, place: tuple[int, int, int, int]
) -> None:
    """Write the driver's name to the left and `caption` to the right of `place`: left, top, width, height [pixels]."""
    edge, top, width, bar = place
    middle, colour = top + bar // 2, palette.AUTHORITY_COLOURS[authority]
    name, ink = palette.AUTHORITY_LABELS[authority].upper(), palette.ink_on(colour)
    bold, plain = caption_font(int(bar * 0.50), bold=True), caption_font(int(bar * 0.46), bold=False)
    draw.text((edge + 4, middle), name, font=bold, fill=ink, anchor="lm")
    room = width - draw.textlength(name, font=bold) - 16
    draw.text((edge + width - 4, middle), _fitted(draw, caption, plain, room), font=plain, fill=ink, anchor="rm")


def titled(frames: np.ndarray, title: str) -> np.ndarray:
    """Put a line of text above frames (T, H, W, 3): (T, H', W, 3)."""
    frames = _checked(frames)
    width, bar = frames.shape[2], _even(2 * max(11, frames.shape[2] // 30))
    band = Image.new("RGB", (width, bar), palette.PAPER)
    draw, font = ImageDraw.Draw(band), caption_font(int(bar * 0.5), bold=True)
    draw.text((4, bar // 2), _fitted(draw, title, font, width - 8), font=font, fill=palette.INK, anchor="lm")
    above = np.broadcast_to(np.asarray(band), (len(frames), bar, width, 3))
    return np.concatenate([above, frames], axis=1)


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Cut `text` so that it fits into `room` pixels."""
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength(text + "…", font=font) > room:
        text = text[:-1]
    return text + "…" if text else ""


@lru_cache
def caption_font(size: int, *, bold: bool) -> ImageFont.FreeTypeFont:
    wanted = font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return ImageFont.truetype(font_manager.findfont(wanted), size)  # ships with Matplotlib


def _even(pixels: int) -> int:
    return pixels + pixels % 2


def _checked(frames: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise InvalidValueError(
            f"frames are {frames.dtype} {frames.shape}: give at least one, uint8 of shape (T, H, W, 3)"
        )
    return frames


def write_video(frames: np.ndarray, path: Path, fps: float) -> Path:
    """Write frames (T, H, W, 3) uint8 as MP4, GIF, WebP, or a PNG strip of stills, by the suffix of `path`.

    Raises:
        InvalidValueError: an unknown suffix, or frames of another shape.
        WriteError: the file cannot be written.
    """
    writers = {".mp4": mp4_bytes, ".gif": _animation_bytes, ".webp": _animation_bytes, ".png": _strip_bytes}
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise InvalidValueError(f"cannot write '{path.name}': choose one of {', '.join(writers)}")
    content = _animation_bytes(frames, fps, suffix) if suffix in ANIMATIONS else writers[suffix](frames, fps)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise WriteError(f"cannot write {path} ({error.strerror}): free some space or choose another place") from error
    return path


def mp4_bytes(frames: np.ndarray, fps: float, quality: int = 26) -> bytes:
    """Encode frames (T, H, W, 3) uint8 as H.264 in yuv420p, with the index first so that browsers start at once.

    Args:
        fps: frames a second.
        quality: x264's constant rate factor; smaller is better and larger in bytes.
    """
    with tempfile.TemporaryDirectory(prefix="handrail-") as folder:  # FFmpeg moves the index by reopening the file
        target = Path(folder) / "film.mp4"
        _encode(_checked(frames), target, fps, quality)
        return target.read_bytes()


def _encode(frames: np.ndarray, target: Path, fps: float, quality: int) -> None:
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2
    with av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as container:
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1  # the same bytes on every machine
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))


def _animation_bytes(frames: np.ndarray, fps: float, suffix: str = ".gif") -> bytes:
    """Encode an endless animation; a GIF shares one palette of 128 colours between its frames, which keeps it small."""
    images = [Image.fromarray(frame) for frame in _checked(frames)]
    extra: dict[str, Any] = {"quality": 70, "method": 4}
    if suffix == ".gif":
        shared = _shared_palette(images)
        images = [image.quantize(palette=shared, dither=Image.Dither.NONE) for image in images]
        extra = {"optimize": True}
    buffer = io.BytesIO()
    extra |= {"save_all": True, "append_images": images[1:], "duration": round(1000 / fps), "loop": 0}
    images[0].save(buffer, suffix[1:], **extra)
    return buffer.getvalue()


def _shared_palette(images: Sequence[Image.Image]) -> Image.Image:
    picked = [np.asarray(images[i]) for i in np.linspace(0, len(images) - 1, min(len(images), 12)).round().astype(int)]
    return Image.fromarray(np.concatenate(picked)).quantize(128, method=Image.Quantize.MEDIANCUT)


def strip(frames: np.ndarray, count: int = 8, gap: int = 4) -> np.ndarray:
    """Lay `count` frames, evenly spaced in time with the first and the last among them, side by side: (H, W', 3)."""
    frames = _checked(frames)
    picked = frames[np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)]
    white = np.full((frames.shape[1], gap, 3), 255, dtype=np.uint8)
    tiles = [tile for frame in picked for tile in (frame, white)]
    return np.concatenate(tiles[:-1], axis=1)


def _strip_bytes(frames: np.ndarray, fps: float) -> bytes:
    return _image_bytes(strip(frames), "png")


def _image_bytes(image: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, quality=82)
    return buffer.getvalue()


def mp4_uri(frames: np.ndarray, fps: float, quality: int = 26) -> str:
    """Return frames as a `data:` URI of an MP4."""
    return "data:video/mp4;base64," + base64.b64encode(mp4_bytes(frames, fps, quality)).decode()


def jpeg_uri(image: np.ndarray) -> str:
    """Return one picture (H, W, 3) uint8 as a `data:` URI of a JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(_image_bytes(image, "jpeg")).decode()
