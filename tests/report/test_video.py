"""Video: decoded again, and compared with what went in."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from handrail.core.errors import InvalidValueError, WriteError
from handrail.report import annotate, mp4_bytes, palette, strip, write_video


@pytest.fixture
def frames() -> np.ndarray:
    """Twelve frames, (12, 48, 64, 3): a square that moves over a gradient."""
    shade = np.linspace(40, 200, 64).astype(np.uint8)
    film = np.broadcast_to(shade[None, None, :, None], (12, 48, 64, 3)).copy()
    for index, frame in enumerate(film):
        frame[16:32, 4 * index : 4 * index + 12] = (200, 30, 30)
    return film


def decoded(content: bytes) -> np.ndarray:
    with av.open(io.BytesIO(content)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_mp4_gives_every_frame_back_in_a_browser_s_format(frames: np.ndarray) -> None:
    content = mp4_bytes(frames, fps=10, quality=10)
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 10
    assert np.abs(decoded(content).astype(int) - frames).mean() < 4
    assert content.index(b"moov") < content.index(b"mdat"), "the index comes first"


def test_mp4_takes_odd_sizes(frames: np.ndarray) -> None:
    assert decoded(mp4_bytes(frames[:, :47, :63], fps=10)).shape == (12, 46, 62, 3)


def test_annotation_shows_the_driver_s_colour_all_around(frames: np.ndarray) -> None:
    shown = annotate(frames, [0] * 6 + [2] * 6, ["0.1 s"] * 12)
    assert shown.dtype == np.uint8 and shown.shape[1] % 2 == shown.shape[2] % 2 == 0 and shown.shape[2] >= 320
    for frame, colour in ((shown[0], "#bcd3ea"), (shown[-1], "#d55e00")):
        for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            assert tuple(frame[corner]) == palette.rgb(colour)
    assert np.any(shown[0, -22:] != shown[0, -1, -1]), "the caption is there"


def test_annotation_cuts_captions_that_are_too_long(frames: np.ndarray) -> None:
    assert annotate(frames[:1], [2], ["word " * 200]).shape == annotate(frames[:1], [2], [""]).shape


def test_annotation_wants_one_caption_a_frame(frames: np.ndarray) -> None:
    with pytest.raises(InvalidValueError, match="12 frames, 12 authorities, 1 captions: give one of each a frame"):
        annotate(frames, [0] * 12, ["x"])


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_keep_frames_and_pace(frames: np.ndarray, tmp_path: Path, suffix: str) -> None:
    with Image.open(write_video(frames, tmp_path / f"a{suffix}", fps=10)) as image:
        assert image.n_frames == 12 and image.info["loop"] == 0  # type: ignore[attr-defined]
        image.seek(5)
        image.load()
        assert image.info["duration"] == 100


def test_strip_shows_the_first_and_the_last_frame(frames: np.ndarray, tmp_path: Path) -> None:
    stills = strip(frames, count=4, gap=2)
    assert stills.shape == (48, 4 * 64 + 3 * 2, 3)
    np.testing.assert_array_equal(stills[:, :64], frames[0])
    np.testing.assert_array_equal(stills[:, -64:], frames[-1])
    with Image.open(write_video(frames, tmp_path / "a.png", fps=10)) as image:
        assert image.size == (8 * 64 + 7 * 4, 48)


def test_an_unknown_suffix(frames: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"cannot write 'a\.avi': choose one of \.mp4, \.gif, \.webp, \.png"):
        write_video(frames, tmp_path / "a.avi", fps=10)


def test_frames_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"frames are float64 \(3, 4, 4, 3\): give at least one, uint8"):
        write_video(np.zeros((3, 4, 4, 3)), tmp_path / "a.mp4", fps=10)


def test_a_place_that_cannot_be_written(frames: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"cannot write .*a\.gif \(.*\): free some space or choose another place"):
        write_video(frames, tmp_path / "file" / "a.gif", fps=10)


def test_annotation_without_captions_is_a_border(frames: np.ndarray) -> None:
    framed, captioned = annotate(frames[:1], [2]), annotate(frames[:1], [2], ["0.0 s"])
    assert framed.shape[1] < captioned.shape[1] and framed.shape[2] == captioned.shape[2]
    assert np.all(framed[0, -4:] == palette.rgb("#d55e00"))
