"""Cameras on disk: MP4 as LeRobot writes it (a key frame every second frame), and PNG in image mode. PyAV only."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.errors import CorruptError, SchemaError, WriteError
from handrail.core.values import Array

from .schema import Feature

ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"g": "2", "crf": "20", "bf": "0", "preset": "veryfast", "threads": "1"},
    "libaom-av1": {"g": "2", "crf": "30", "cpu-used": "8"},
    "mpeg4": {"g": "2", "b": "4M"},
}
"""Encoder -> options, best first. Stock LeRobot's choice, SVT-AV1, hung while it was flushed on a loaded machine: an
episode would wait for ever, so it is left out. H.264 plays in every browser; a key frame every second frame, as
there."""

CODEC_NAMES = {"libaom-av1": "av1", "libx264": "h264", "mpeg4": "mpeg4"}
PIXELS = "yuv420p"


def _av() -> Any:
    """Import PyAV when a camera is first touched."""
    import av

    return av


@functools.cache
def choose_encoder(height: int, width: int, fps: int, prefer: str | None = None) -> str:
    """Name the best encoder of this machine that opens for this size; `prefer` (a codec such as "av1") comes first.

    Raises:
        SchemaError: none does.
    """
    names = sorted(ENCODERS, key=lambda name: prefer is not None and CODEC_NAMES[name] != prefer)
    for name in names:
        if _opens(name, height, width, fps):
            return name
    raise SchemaError(
        f"no video encoder of this machine takes {width}x{height} pixels (tried {', '.join(names)}): "
        "use even sizes, or images='image'"
    )


def _opens(name: str, height: int, width: int, fps: int) -> bool:
    av = _av()
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as container:
            stream = _add_stream(container, name, height, width, fps)
            for packet in [*stream.encode(_frame(np.zeros((height, width, 3), np.uint8))), *stream.encode()]:
                container.mux(packet)
    except (av.FFmpegError, ValueError):
        return False
    return True


def _add_stream(container: Any, name: str, height: int, width: int, fps: int) -> Any:
    stream = container.add_stream(name, rate=fps, options=dict(ENCODERS[name]))
    stream.width, stream.height, stream.pix_fmt = width, height, PIXELS
    return stream


def _frame(image: Array) -> Any:
    return _av().VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")


class VideoEncoder:
    """One camera of one episode, encoded frame by frame into `path`."""

    def __init__(self, path: Path, encoder: str, height: int, width: int, fps: int) -> None:
        self.path = path
        self._av = _av()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = self._av.open(str(path), "w", format="mp4")
        self._stream = _add_stream(self._container, encoder, height, width, fps)

    def add(self, image: Array) -> None:
        """Encode one image (H, W, 3) uint8."""
        self._mux(self._stream.encode(_frame(image)))

    def close(self) -> None:
        """Write what is still in the encoder, and the index that makes the file playable."""
        self._mux(self._stream.encode())
        self._container.close()

    def abandon(self) -> None:
        """Let go of the file without finishing it; it is going to be removed."""
        try:
            self._container.close()
        except (self._av.FFmpegError, OSError):
            return

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)


def write_video(path: Path, frames: Iterable[Array], encoder: str, height: int, width: int, fps: int) -> None:
    """Encode `frames` (H, W, 3) uint8 into `path`."""
    video = VideoEncoder(path, encoder, height, width, fps)
    for frame in frames:
        video.add(frame)
    video.close()


def video_info(encoder: str, feature: Feature, fps: int) -> dict[str, Any]:
    """The `info` of a video feature in `info.json`."""
    height, width, channels = feature["shape"]
    return {
        "video.height": height,
        "video.width": width,
        "video.codec": CODEC_NAMES[encoder],
        "video.pix_fmt": PIXELS,
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": channels,
        "has_audio": False,
    }


def count_frames(path: Path) -> int:
    """Number of frames that the MP4's index claims; 0 where the file cannot be opened."""
    av = _av()
    try:
        with av.open(str(path)) as container:
            return int(container.streams.video[0].frames)
    except (av.FFmpegError, OSError, IndexError, ValueError):
        return 0


def read_frames(path: Path, start_s: float, count: int, fps: int) -> Array:
    """Decode `count` frames (count, H, W, 3) uint8 that begin at `start_s` [s].

    Raises:
        CorruptError: the file is missing, damaged, or shorter.
    """
    av = _av()
    frames: list[Array] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            container.seek(int(start_s / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time >= start_s - 0.5 / fps:
                    frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == count:
                    break
    except (av.FFmpegError, OSError, IndexError) as error:
        raise CorruptError(f"{path} cannot be decoded ({error}): run `handrail data check`") from error
    if len(frames) < count:
        raise CorruptError(
            f"{path} holds {len(frames)} frames from {start_s:.2f} s, not {count}: run `handrail data check`"
        )
    return np.stack(frames)


def encode_png(image: Array) -> bytes:
    """Losslessly encode one image (H, W, 3) uint8."""
    codec = _av().CodecContext.create("png", "w")
    codec.height, codec.width, codec.pix_fmt = image.shape[0], image.shape[1], "rgb24"
    codec.time_base = Fraction(1, 10)
    codec.thread_count = 1
    return b"".join(bytes(packet) for packet in [*codec.encode(_frame(image)), *codec.encode(None)])


def decode_png(payload: bytes) -> Array:
    """Decode a PNG or JPEG into (H, W, 3) uint8.

    Raises:
        CorruptError: the bytes are not such an image.
    """
    av = _av()
    name = "mjpeg" if payload[:2] == b"\xff\xd8" else "png"
    try:
        # A decoder a picture: FFmpeg's PNG decoder carries state from one picture into the next.
        codec = av.CodecContext.create(name, "r")
        codec.thread_count = 1
        frames = [*codec.decode(av.Packet(payload)), *codec.decode(None)]
        return frames[0].to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise CorruptError(
            f"an image of {len(payload)} bytes cannot be decoded ({error}): check where it came from"
        ) from error


def concatenate(sources: list[Path], target: Path, frames: list[int], fps: int) -> None:
    """Join MP4s of one codec, size and rate into `target` without decoding them.

    Args:
        frames: number of frames of each source.
    """
    av = _av()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(target), "w", format="mp4") as out:
            stream, done = None, 0
            for source, count in zip(sources, frames, strict=True):
                with av.open(str(source)) as container:
                    template = container.streams.video[0]
                    stream = stream or out.add_stream_from_template(template, opaque=True)
                    _copy_packets(container, template, out, stream, Fraction(done, fps))
                done += count
    except (av.FFmpegError, OSError) as error:
        raise WriteError(
            f"cannot write {target}: {error}; the source is untouched: free some space, then try again"
        ) from error


def _copy_packets(container: Any, template: Any, out: Any, stream: Any, offset_s: Fraction) -> None:
    offset = int(offset_s / template.time_base)
    for packet in container.demux(template):
        if packet.dts is None:
            continue
        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
        packet.stream = stream
        out.mux(packet)


def codec_signature(path: Path) -> tuple[str, int, int, bytes]:
    """What two MP4s must share in order to be joined without decoding."""
    with _av().open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return context.name, context.width, context.height, bytes(context.extradata or b"")
