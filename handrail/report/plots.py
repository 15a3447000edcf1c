"""Figures of the report, drawn by Matplotlib's Agg and SVG back ends; no window, no global state.

Every function returns a `Figure`; `svg_uri` and `png_uri` turn one into something that an HTML file holds by itself.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from handrail.core.values import Authority, TakeoverCause
from handrail.store.segments import runs

from . import palette
from .summary import Curve, mean_curve

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": "#98a2b3",
    "axes.labelcolor": palette.MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": palette.GRID,
    "grid.linewidth": 0.8,
    "xtick.color": palette.MUTED,
    "ytick.color": palette.MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": palette.INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",
    "svg.hashsalt": "handrail",
}

CURVES: dict[str, tuple[str, Any]] = {
    "risk": (palette.RISK, "-"),
    "value": (palette.VALUE, "-"),
    "assist_level": (palette.LEVEL, (0, (3, 2))),
}
"""What a monitor and a trigger said: column -> colour and line style."""


Bounds = tuple[float, float, float]
"""A mean, and the low and high end of its interval."""


@dataclass(frozen=True)
class Series:
    """The curves of runs that differ in their seed only; drawn thin, their mean bold."""

    label: str
    colour: str
    curves: Sequence[Curve]
    points: Sequence[Curve] = ()  # measured now and then: marked, and joined by a dashed line


def svg_uri(figure: Figure) -> str:
    """Return the figure as a `data:` URI of an SVG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def png_uri(figure: Figure, dpi: int = 150) -> str:
    """Return the figure as a `data:` URI of a PNG."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(figure, dpi)).decode()


def png_bytes(figure: Figure, dpi: int = 150) -> bytes:
    """Return the figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure [inches] in the report's style."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def rate_curves(series: Sequence[Series], top: float = 1.0) -> Figure:
    """Draw rates in [0, top] over online steps: lines, and marked points where a series has them."""
    figure, axes = new_axes(5.6, 3.1)
    for one in series:
        _draw_series(axes, one, one.curves, "-")
        _draw_series(axes, one, one.points, "--")
    axes.set_ylim(-0.02 * top, 1.03 * top)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlim(left=0)
    axes.set_xlabel("online steps")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return figure


def _draw_series(axes: Axes, series: Series, curves: Sequence[Curve], style: str) -> None:
    shown = [curve for curve in curves if len(curve.x)]
    several = len(shown) > 1
    marker: dict[str, Any] = {"marker": "o", "ms": 5, "mec": "white", "mew": 0.9} if style == "--" else {}
    for curve in shown:
        look: dict[str, Any] = {"lw": 0.8, "alpha": 0.25} if several else {"lw": 1.5 if marker else 2.0, **marker}
        axes.plot(curve.x, curve.y, style, color=series.colour, clip_on=several, **look)
    if several:
        mean = mean_curve(shown, min(len(curve.x) for curve in shown) if marker else 200)
        axes.plot(mean.x, mean.y, style, color=series.colour, lw=2.0, **marker)


def authority_share(x: np.ndarray, shares: Mapping[Authority, np.ndarray]) -> Figure:
    """Stack who drove, as a share of steps in [0, 1], over online steps `x` (N,); one bar a group of episodes."""
    figure, axes = new_axes(11.4, 2.3)
    edges = np.concatenate([[0.0], x])
    base = np.zeros(len(x))
    for authority in (Authority.STOP, Authority.OPERATOR, Authority.ASSISTANT, Authority.POLICY):
        share = shares.get(authority, np.zeros(len(x)))
        if np.any(share):  # one outline a driver: bars side by side would show hairlines between them
            axes.stairs(base + share, edges, baseline=base, fill=True, color=palette.AUTHORITY_COLOURS[authority], lw=0)
        base = base + share
    axes.set(ylim=(0, 1), xlim=(0, x[-1] if len(x) else 1), xlabel="online steps")
    axes.grid(visible=False)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return figure


def authority_raster(rows: Sequence[np.ndarray], names: Sequence[str], fps: float) -> Figure:
    """Draw one row an episode: its steps over time, coloured by authority; `rows` hold authorities (T,)."""
    length = max(len(row) for row in rows)
    grid = np.full((len(rows), length), -1)
    for index, row in enumerate(rows):
        grid[index, : len(row)] = row
    figure, axes = new_axes(11.4, min(max(1.2, 0.55 + 0.13 * len(rows)), 6.5))
    extent = (0, length / fps, len(rows) - 0.5, -0.5)
    colours, norm = _authority_map()
    axes.imshow(grid, aspect="auto", interpolation="none", cmap=colours, norm=norm, extent=extent)
    axes.grid(visible=False)
    if len(rows) <= 40:
        axes.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
        axes.grid(which="minor", axis="y", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
    ticks = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 8)).round().astype(int))
    axes.set_yticks(ticks, [names[int(tick)] for tick in ticks])
    axes.set_xlabel("time in the episode [s]")
    return figure


def _authority_map() -> tuple[ListedColormap, BoundaryNorm]:
    colours = ListedColormap(["#ffffff", *(palette.AUTHORITY_COLOURS[a] for a in Authority)])
    return colours, BoundaryNorm(np.arange(-1.5, len(Authority)), colours.N)


def cause_bars(causes: Mapping[str, tuple[int, int]], fps: float) -> Figure:
    """Draw takeovers by cause, with the operator's seconds beside each bar; `causes` maps to (takeovers, steps)."""
    labels = [cause.lower().replace("_", " ") for cause in causes]
    counts = [count for count, _ in causes.values()]
    notes = [_cause_note(count, steps, fps) for count, steps in causes.values()]
    return horizontal_bars(labels, counts, notes, palette.AUTHORITY_COLOURS[Authority.OPERATOR], "takeovers")


def _cause_note(count: int, steps: int, fps: float) -> str:
    return f"{count}  ({steps / fps / max(count, 1):.1f} s each)" if steps else f"{count}"


def horizontal_bars(
    labels: Sequence[str], counts: Sequence[float], notes: Sequence[str], colour: str, axis: str
) -> Figure:
    """Draw labelled bars with a note at each end, the first on top."""
    figure, axes = new_axes(5.6, 0.75 + 0.38 * max(len(labels), 2))
    bars = axes.barh(range(len(labels)), counts, color=colour, height=0.62)
    axes.bar_label(bars, notes, padding=4, color=palette.INK, fontsize=9)
    axes.set_yticks(range(len(labels)), list(labels), color=palette.INK)
    axes.set_ylim(max(len(labels), 2) - 0.4, -0.6)
    axes.set_xlim(0, max([*counts, 1]) * 1.35)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(axis)
    return figure


def latency_histogram(series: Sequence[tuple[str, str, np.ndarray]], period_ms: float) -> Figure:
    """Draw decision times [ms] on a log axis, with the control period where it is in sight.

    Args:
        series: (label, colour, samples (N,)) for each line.
        period_ms: one control step.
    """
    figure, axes = new_axes(5.6, 2.6)
    everything = np.concatenate([samples for _, _, samples in series])
    low, high = max(everything.min(), 1e-3) * 0.8, max(everything.max(), 1e-2) * 1.25
    bins = np.geomspace(low, high, 48)
    for _, colour, samples in series:
        weights = np.full(len(samples), 1.0 / len(samples))
        look: dict[str, Any] = {"histtype": "stepfilled", "alpha": 0.75} if len(series) == 1 else {"histtype": "step"}
        axes.hist(samples, bins, weights=weights, color=colour, lw=1.6, **look)
    axes.set(xscale="log", xlabel="time to decide one action [ms]", xlim=(low, high))
    if len(series) == 1:
        _mark_quantiles(axes, series[0][2])
    if high > period_ms / 3:
        axes.set_xlim(low, max(high, period_ms * 1.3))
        axes.axvline(period_ms, color=palette.INK, lw=1.2)
        axes.annotate("control period", (period_ms, 0.97), xycoords=("data", "axes fraction"), rotation=90,
                      ha="right", va="top", fontsize=8, color=palette.MUTED)  # fmt: skip
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def _mark_quantiles(axes: Axes, samples: np.ndarray) -> None:
    for q, height, side in ((50, 0.99, -4), (99, 0.99, 4)):
        at = float(np.percentile(samples, q))
        axes.axvline(at, color=palette.INK, lw=1.0, ls=(0, (3, 2)))
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top"}
        anchor = "right" if side < 0 else "left"
        axes.annotate(f"p{q} {at:.2f} ms", (at, height), (side, 0), ha=anchor, fontsize=8.5, **place)


def calibration(panels: Mapping[str, Sequence[Mapping[str, Any]]], colour: str = palette.RISK) -> Figure:
    """Draw predicted against realised risk, a panel a title, a line a run; a dot's area grows with its steps.

    Args:
        panels: title -> curves of "predicted", "realised" in [0, 1] and "count", as `assist.calibration.curve` gives.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(max(2.9 * len(panels), 3.6), 3.2), layout="constrained")
        row = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        for axes, (title, curves) in zip(row, panels.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=palette.MUTED, lw=1.0, ls=(0, (3, 2)))
            for curve in curves:
                area = 8.0 + 14.0 * np.log10(np.maximum(curve["count"], 1))
                axes.plot(curve["predicted"], curve["realised"], color=colour, lw=1.2, alpha=0.7)
                axes.scatter(curve["predicted"], curve["realised"], area, color=colour, edgecolor="white", lw=0.8)
            axes.set_title(title, fontsize=9.5, loc="left", color=palette.INK)
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xlabel="predicted")
        row[0].set_ylabel("came true")
    return figure


def by_task(panels: Mapping[str, Mapping[str, Mapping[str, Bounds]]], colours: Mapping[str, str]) -> Figure:
    """Draw numbers of several methods, a panel a title and a row a task: a dot each, its interval as a line.

    Args:
        panels: title -> method -> task -> mean, low and high; a method may lack tasks.
        colours: method -> its colour, in the order of the legend.
    """
    tasks = list(dict.fromkeys(task for methods in panels.values() for row in methods.values() for task in row))
    with rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(panels) + 0.8, 0.36 * len(tasks) + 1.2), layout="constrained")
        for axes, (title, methods) in zip(
            np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels.items(), strict=True
        ):
            apart = 0.62 / max(len(colours), 1)
            for index, method in enumerate(colours):
                shown = [(tasks.index(task), *bounds) for task, bounds in methods.get(method, {}).items()]
                if shown:
                    row, mean, low, high = np.array(shown, float).T
                    y = row + apart * (index - (len(colours) - 1) / 2)
                    axes.hlines(y, low, high, color=colours[method], lw=1.6, alpha=0.45)
                    axes.plot(mean, y, "o", color=colours[method], ms=5.5, mec="white", mew=0.8, label=method)
            axes.set_title(title, fontsize=9.5, loc="left", color=palette.INK)
            axes.set_yticks(range(len(tasks)), tasks)
            axes.grid(visible=False, axis="y")
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        figure.axes[0].invert_yaxis()
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


def losses(x: np.ndarray, named: Mapping[str, np.ndarray], colour: str = palette.VALUE) -> Figure:
    """Draw each training quantity over online steps `x` (N,) in its own small panel."""
    with rc_context(STYLE):
        figure = Figure(figsize=(11.4, 1.9), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(named)))
        for axes, (name, values) in zip(panels, named.items(), strict=True):
            axes.plot(x, values, color=colour, lw=1.3)
            axes.set_title(name.replace("_", " "), fontsize=9.5, loc="left", color=palette.INK)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return figure


def episode_timeline(columns: Mapping[str, np.ndarray], fps: float) -> Figure:
    """Draw one episode over time: risk, value and assistance level above, the authority bar with its causes below.

    Curves that stay at zero are left out, and so is their panel where no monitor watched.

    Args:
        columns: "authority" (T,), and where recorded "risk", "value", "assist_level", "takeover_cause" (T,).
        fps: steps a second.
    """
    authority = columns["authority"].astype(int)
    curves = {name: look for name, look in CURVES.items() if name in columns and np.any(columns[name])}
    with rc_context(STYLE):
        figure = Figure(figsize=(11.4, 3.4 if curves else 1.2), layout="constrained")
        panels = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1]) if curves else np.array([figure.subplots()])
    if curves:
        _draw_monitor(panels[0], columns, curves, fps)
    colours, norm = _authority_map()
    end = len(authority) / fps
    panels[-1].imshow(
        authority[None], aspect="auto", interpolation="none", cmap=colours, norm=norm, extent=(0, end, 0, 1)
    )
    panels[-1].set(yticks=[], xlabel="time [s]", xlim=(0, end))
    panels[-1].grid(visible=False)
    _mark_causes(panels[0], authority, columns.get("takeover_cause"), fps, shade=bool(curves))
    return figure


def _draw_monitor(axes: Axes, columns: Mapping[str, np.ndarray], curves: Mapping[str, Any], fps: float) -> None:
    for name, (colour, style) in curves.items():
        values = columns[name]
        axes.plot(np.arange(len(values)) / fps, values, color=colour, ls=style, lw=1.8, label=name.replace("_", " "))
    drawn = np.concatenate([columns[name] for name in curves])
    axes.set_ylim(min(-0.03, float(drawn.min()) * 1.05), max(1.05, float(drawn.max()) * 1.1))
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.15), ncols=3, borderaxespad=0, frameon=False, fontsize=9)


def _mark_causes(axes: Axes, authority: np.ndarray, causes: np.ndarray | None, fps: float, *, shade: bool) -> None:
    """Shade each stretch that the policy did not drive, and name why the operator took over."""
    for part in runs(authority, causes):
        if part.authority is Authority.POLICY:
            continue
        colour = palette.AUTHORITY_COLOURS[part.authority]
        if shade:
            axes.axvspan(part.start / fps, part.stop / fps, color=colour, alpha=0.12, lw=0)
        if part.cause is not TakeoverCause.NONE:
            ink = palette.INK if shade else palette.ink_on(colour)
            place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            at = (part.start / fps, 0.98 if shade else 0.5)
            axes.annotate(
                palette.CAUSE_LABELS[part.cause], at, (3, 0), **place, va="top" if shade else "center",
                fontsize=8.5, color=ink, clip_on=True,
            )  # fmt: skip
