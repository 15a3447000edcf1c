"""Curves under a film: where the line is, what is not measured yet, and that films of other lengths are refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError
from handrail.report import palette
from handrail.report.under import EDGE, LEFT, ROW, with_curves

FRAMES = np.full((11, 60, 264, 3), 7, np.uint8)
RAMP = np.linspace(0.0, 1.0, 11)


def test_the_film_stays_and_a_row_is_added_for_each_curve() -> None:
    out = with_curves(FRAMES, {"score": (RAMP, palette.VALUE), "level": (1 - RAMP, palette.LEVEL)})
    assert out.shape == (11, 60 + 2 * ROW, 264, 3) and out.dtype == np.uint8
    assert np.array_equal(out[:, :60], FRAMES)


def test_the_curve_grows_with_the_film() -> None:
    out = with_curves(FRAMES, {"score": (RAMP, palette.VALUE)})
    blue = np.array(palette.rgb(palette.VALUE))
    inked = (np.abs(out[:, 60:].astype(int) - blue) < 8).all(axis=-1)  # (T, ROW, W)
    columns = [np.flatnonzero(frame.any(axis=0)) for frame in inked]
    reach = [int(found.max()) if len(found) else 0 for found in columns]
    assert all(later >= earlier for earlier, later in pairwise(reach))
    assert abs(reach[-1] - (264 - EDGE)) <= 3 and reach[5] == pytest.approx(LEFT + 0.5 * (264 - LEFT - EDGE), abs=4)
    last = inked[-1]
    low, high = np.flatnonzero(last[:, LEFT + 2]).mean(), np.flatnonzero(last[:, 264 - EDGE - 2]).mean()
    assert high < low - 0.6 * ROW  # larger values are at the top


def test_values_above_the_top_are_at_the_top() -> None:
    flat = with_curves(FRAMES, {"torque": (np.full(11, 9.0), palette.RISK)})
    assert np.array_equal(flat, with_curves(FRAMES, {"torque": (np.ones(11), palette.RISK)}))


def test_a_curve_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="curve 'score' has 3 values, the film 11 frames"):
        with_curves(FRAMES, {"score": ([0.0, 0.5, 1.0], palette.VALUE)})
