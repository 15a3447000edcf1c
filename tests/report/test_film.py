"""The animation of a run: which episodes, laid out how, and small enough for a README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handrail.cli.main import main
from handrail.core.errors import CorruptError, InvalidValueError
from handrail.report import write_film
from handrail.report.film import chosen, side_by_side
from handrail.store import Dataset, DatasetWriter, EpisodeMeta


def test_it_shows_help_and_then_none(recorded: Path) -> None:
    dataset = Dataset(recorded)
    assert chosen(dataset) == [0, 7], "the first with a takeover, and the last evaluation that succeeded"


def test_the_shorter_film_waits(recorded: Path) -> None:
    one, two = np.full((3, 4, 6, 3), 10, np.uint8), np.full((5, 4, 6, 3), 20, np.uint8)
    one[-1] = 30
    both = side_by_side([one, two], rest=2)
    assert both.shape == (7, 4, 6 + 8 + 6, 3)
    assert (both[2:, :, :6] == 30).all() and (both[:, :, 14:] == 20).all() and (both[:, :, 6:14] == 255).all()


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_animation(recorded: Path, tmp_path: Path, suffix: str) -> None:
    out = write_film(recorded, tmp_path / f"film{suffix}")
    with Image.open(out) as image:
        assert image.n_frames > 10 and image.size[0] > 2 * 320  # equal frames in a row may be stored as one
    assert out.stat().st_size < 1_000_000


def test_the_command_writes_it(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "film.webp"
    assert main(["report", str(recorded.parent), "--film", str(out), "--episodes", "3"]) == 0
    assert capsys.readouterr().out == f"film: {out}\n" and out.stat().st_size > 1000


def test_errors_say_what_to_do(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="episode 99 of 9: give 0 to 8"):
        write_film(recorded, tmp_path / "film.webp", [99])
    blind = tmp_path / "blind"
    with DatasetWriter(blind, 10, images="none") as writer:
        for step in Dataset(recorded).episode(0).steps():
            writer.add(step)
        writer.commit(EpisodeMeta("TubeInsertion"))
    with pytest.raises(CorruptError, match="holds no filmed episode: record some with cameras"):
        write_film(blind, tmp_path / "film.webp")
