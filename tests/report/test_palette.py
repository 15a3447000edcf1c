"""The authorities' colours stay apart for every kind of colour vision."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from handrail.core.values import Authority, TakeoverCause
from handrail.report import palette

# Severity 1.0 of Machado, Oliveira and Fernandes (2009), on linear RGB.
VISION = {
    "full": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    "protanopia": [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
    "deuteranopia": [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881],
    "tritanopia": [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900],
}
TO_XYZ = np.array([[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07218], [0.01933, 0.11919, 0.95030]])
WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(colour: str, vision: list[float]) -> np.ndarray:
    srgb = np.array(palette.rgb(colour)) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.reshape(vision, (3, 3)) @ linear, 0, 1) / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_authorities_stay_apart(vision: str) -> None:
    seen = {a: lab(c, VISION[vision]) for a, c in palette.AUTHORITY_COLOURS.items()}
    closest = min(np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(seen, 2))
    assert closest > 20, f"CIE76 difference under {vision}"


def test_every_authority_and_cause_has_its_look() -> None:
    assert set(palette.AUTHORITY_COLOURS) == set(palette.AUTHORITY_LABELS) == set(Authority)
    assert set(palette.CAUSE_LABELS) == set(TakeoverCause) - {TakeoverCause.NONE}


def test_text_is_light_on_dark_and_dark_on_light() -> None:
    assert palette.ink_on("#1f2430") == palette.PAPER
    assert palette.ink_on("#bcd3ea") == palette.INK


def test_run_colours_repeat_after_seven() -> None:
    colours = palette.run_colours(9)
    assert len(set(colours[:7])) == 7 and colours[7:] == colours[:2]
