"""What the report takes from recorded episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handrail.core.values import Authority
from handrail.report import palette
from handrail.report import recorded as taken
from handrail.store import Dataset


@pytest.fixture(scope="module")
def dataset(recorded: Path) -> Dataset:
    return Dataset(recorded)


def test_training_and_evaluation_are_told_apart(dataset: Dataset) -> None:
    assert [index for index, _ in taken.training_episodes(dataset)] == [0, 1, 2, 3, 4, 5]
    assert [index for index, _ in taken.training_episodes(dataset, most=3)] == [0, 2, 5]
    assert taken.last_filmed(dataset, 2) == [7, 8]
    assert taken.last_filmed(dataset, 10) == [6, 7, 8]


def test_takeover_lengths_are_those_recorded(dataset: Dataset) -> None:
    episode = dataset.episode(0)
    lengths = taken.takeover_lengths(episode)
    assert len(lengths) == 3 and sum(lengths) == int((episode.columns["authority"] == Authority.OPERATOR).sum())
    assert taken.takeover_lengths(dataset.episode(8)) == []


def test_captions_give_time_cause_and_risk(dataset: Dataset) -> None:
    texts = taken.captions(dataset.episode(0), 48, fps=10)
    assert texts[0].startswith("0.0 s  ·  risk 0.") and texts[8].startswith("stuck  ·  0.8 s  ·  risk 0.95")


def test_film_wears_the_driver_s_colour(dataset: Dataset) -> None:
    frames = taken.film(dataset.episode(0), "front", fps=10)
    assert frames.shape[0] == 48
    assert tuple(frames[0, 0, 0]) == palette.rgb("#bcd3ea") and tuple(frames[9, 0, 0]) == palette.rgb("#d55e00")


def test_a_missing_column_is_none(dataset: Dataset) -> None:
    assert taken.column(dataset.episode(0), "nothing") is None
    risk = taken.column(dataset.episode(0), "risk")
    assert risk is not None and risk.shape == (48,) and np.isfinite(risk).all()
