"""The animation of a run: which episodes, laid out how, and small enough for a README."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handrail.cli.main import main
from handrail.core.errors import CorruptError, InvalidValueError
from handrail.report import write_film
from handrail.report.film import GAP, chosen, side_by_side
from handrail.report.pairs import below_each_other
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


def test_runs_that_filmed_a_pair_show_it_below_each_other(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        shutil.copytree(recorded, tmp_path / name / "prevented")
    runs, sizes = [str(tmp_path / name) for name in ("one", "two")], []
    for count in (1, 2):
        out = tmp_path / f"film{count}.webp"
        assert main(["report", *runs[:count], "--film", str(out)]) == 0
        with Image.open(out) as image:
            sizes.append(image.size)
    assert sizes[1] == (sizes[0][0], 2 * sizes[0][1] + GAP), "one below the other"
    assert main(["report", runs[0], str(recorded.parent), "--film", str(tmp_path / "no.webp")]) != 0
    assert "has filmed no pair" in capsys.readouterr().err


def test_films_of_different_sizes_are_below_each_other_in_the_middle() -> None:
    small, large = np.full((2, 2, 2, 3), 10, np.uint8), np.full((3, 4, 6, 3), 20, np.uint8)
    both = below_each_other([small, large])
    assert both.shape == (3, 2 + GAP + 4, 6, 3)
    assert (both[:, :2, 2:4] == 10).all() and (both[:, :2, :2] == 255).all() and (both[:, -4:] == 20).all()


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
