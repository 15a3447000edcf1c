"""Figures: what is drawn where, read back from the figure itself."""

from __future__ import annotations

import base64

import numpy as np
from matplotlib.colors import to_hex

from handrail.core.values import Authority
from handrail.report import palette, plots
from handrail.report.summary import Curve


def test_the_same_figure_gives_the_same_bytes() -> None:
    def draw() -> str:
        return plots.svg_uri(plots.cause_bars({"STUCK": (3, 30)}, fps=10))

    assert draw() == draw()
    text = base64.b64decode(draw().split(",")[1])
    assert text.startswith(b"<?xml") and b"<svg" in text


def test_png_is_a_png() -> None:
    content = base64.b64decode(plots.png_uri(plots.cause_bars({"STUCK": (3, 30)}, fps=10)).split(",")[1])
    assert content.startswith(b"\x89PNG")


def test_seeds_are_thin_and_their_mean_is_bold() -> None:
    x = np.array([0.0, 100.0])
    series = plots.Series("a", "#0072b2", [Curve(x, np.array([0.0, 0.5])), Curve(x, np.array([0.2, 0.9]))])
    *seeds, mean = plots.rate_curves([series]).axes[0].lines
    assert len(seeds) == 2 and all(line.get_linewidth() < mean.get_linewidth() for line in seeds)
    np.testing.assert_allclose(np.asarray(mean.get_ydata())[[0, -1]], [0.1, 0.7])


def test_cause_bars_say_how_many_and_how_long() -> None:
    axes = plots.cause_bars({"FALSE_ALARM": (4, 60), "STUCK": (2, 0)}, fps=10).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["false alarm", "stuck"]
    assert [text.get_text() for text in axes.texts] == ["4  (1.5 s each)", "2"]


def test_raster_rows_are_coloured_by_authority() -> None:
    figure = plots.authority_raster([np.array([0, 2, 2]), np.array([0])], ["0", "7"], fps=10)
    image = figure.axes[0].images[0]
    colours = image.cmap(image.norm(image.get_array()))
    assert to_hex(colours[0, 1]) == palette.AUTHORITY_COLOURS[Authority.OPERATOR]
    assert to_hex(colours[0, 0]) == palette.AUTHORITY_COLOURS[Authority.POLICY]
    assert to_hex(colours[1, 2]) == "#ffffff", "past the end of a short episode"


def test_episode_timeline_names_each_cause_where_it_begins() -> None:
    columns = {
        "authority": np.array([0, 2, 2, 0, 2]),
        "takeover_cause": np.array([0, 2, 2, 0, 3]),
        "risk": np.linspace(0, 1, 5),
    }
    upper, _ = plots.episode_timeline(columns, fps=10).axes
    marks = [(text.get_text(), text.xy[0]) for text in upper.texts]  # type: ignore[attr-defined]
    assert marks == [("stuck", 0.1), ("danger", 0.4)]
    np.testing.assert_allclose(upper.lines[0].get_xdata(), [0, 0.1, 0.2, 0.3, 0.4])


def test_latency_marks_the_control_period_only_where_it_is_near() -> None:
    def labels(samples: np.ndarray) -> list[str]:
        axes = plots.latency_histogram([("a", "#0072b2", samples)], period_ms=100).axes[0]
        return [text.get_text() for text in axes.texts]

    assert labels(np.array([1.0, 1.0, 2.0])) == ["p50 1.00 ms", "p99 1.98 ms"]
    assert "control period" in labels(np.array([50.0, 90.0]))


def test_an_unwatched_episode_shows_who_drove_and_why_alone() -> None:
    columns = {"authority": np.array([0, 2, 2]), "takeover_cause": np.array([0, 2, 2]), "risk": np.zeros(3)}
    (bar,) = plots.episode_timeline(columns, fps=10).axes
    assert [text.get_text() for text in bar.texts] == ["stuck"]
    assert len(bar.images) == 1 and not bar.lines
