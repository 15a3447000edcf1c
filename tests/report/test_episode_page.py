"""The episode page, from a real dataset."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from handrail.core.errors import InvalidValueError
from handrail.report import write_episode_page
from handrail.store import Dataset


def test_the_page_holds_film_curves_events_and_metadata(recorded: Path, tmp_path: Path) -> None:
    page = write_episode_page(Dataset(recorded), 0, tmp_path / "episode.html").read_text()
    found = re.findall(r"data:([a-z+]+/[a-z0-9+]+);base64,([^\"]+)", page)
    assert [kind for kind, _ in found] == ["video/mp4", *["image/jpeg"] * 7, "image/svg+xml"]
    assert b"ftyp" in base64.b64decode(found[0][1])[:16]
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "Episode 0 · TubeInsertion" in text and "insert the tube" in text
    assert text.count("operator stuck") == 3 and "env seed 10000" in text and "operator tier ordinary" in text
    assert "success yes" in text and "4.8 s" in text


def test_an_episode_that_the_policy_drove_alone(recorded: Path, tmp_path: Path) -> None:
    page = write_episode_page(Dataset(recorded), 8, tmp_path / "episode.html").read_text()
    assert "The policy drove every step." in page and "jammed" in page


def test_an_episode_that_is_not_there(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="episode 9 of 9: give 0 to 8"):
        write_episode_page(Dataset(recorded), 9, tmp_path / "episode.html")
