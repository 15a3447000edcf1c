"""One or several runs on one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from handrail.core.errors import InvalidValueError
from handrail.core.values import Authority

from . import palette, plots, recorded, summary, video
from .advice import advice
from .page import write_page
from .pairs import prevented
from .plots import Series
from .runs import Run, read_run

FILMS = 6  # over all runs of one report
FILM_BYTES = 4_000_000  # base64 of all films together; keeps the page under 6 MB
BARS = 120  # groups of episodes in the picture of who drove
POINTS = 400  # of a curve; more cannot be seen
VECTOR_RUNS = 4  # with more runs than this the pictures become PNG, which is smaller
PLOTTED_UPDATES = ("critic_loss", "actor_loss", "temperature")

Draw = Callable[[Figure], str]


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write one HTML file about `runs` and return its path; curves of several runs share their plots.

    Raises:
        InvalidValueError: no run was given.
        StoreError: a run folder does not exist.
        CorruptError: a run folder is incomplete or damaged.
        WriteError: the file cannot be written.
    """
    if not runs:
        raise InvalidValueError("0 runs given: name at least one run folder")
    read = [read_run(Path(folder)) for folder in runs]
    draw: Draw = plots.svg_uri if len(read) <= VECTOR_RUNS else lambda figure: plots.png_uri(figure, dpi=90)
    films, colours = _films(read), {group["label"]: group["colour"] for group in _groups(read)}
    return write_page(
        "report.html.j2",
        out,
        title=read[0].label if len(read) == 1 else f"{len(read)} runs",
        window=summary.WINDOW,
        edge_steps=summary.EDGE_STEPS,
        groups=_groups(read),
        curves=_curves(read, draw),
        latency=_latency(read, draw),
        runs=[_section(run, colours[run.group], draw, films.get(index, [])) for index, run in enumerate(read)],
    )


def _section(run: Run, colour: str, draw: Draw, films: list[dict[str, Any]]) -> dict[str, Any]:
    """Return everything that the template says about one run."""
    causes, modes = summary.causes(run.episodes), summary.failure_modes(run)
    curve = run.field("calibration_curve", None)
    return {
        "label": run.label,
        "colour": colour,
        "name": run.folder.name,
        "finished": run.finished,
        "headline": summary.headline(run),
        "share": draw(_share(run)) if run.episodes else None,
        "raster": _raster(run, draw),
        "causes": draw(plots.cause_bars(causes, run.fps)) if causes else None,
        "modes": draw(_modes(modes)) if modes else None,
        "evaluated": bool(run.evaluations),
        "advice": advice(run),
        "films": films,
        "prevented": None if run.prevented is None else prevented(run.prevented).shown(),
        "incidents": summary.incidents(run),
        "calibration": draw(plots.calibration({"held-out episodes": [curve]})) if curve else None,
        "losses": _losses(run, draw),
        "provenance": [(name, run.field(name)) for name in ("command", "git") if run.field(name, None)],
        "wall_s": run.field("wall_s", None),
        "config": flatten({k: v for k, v in run.config.items() if k not in ("command", "git")}),
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Turn nested settings into ("outer.inner", text) rows."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += flatten(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows


def _groups(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return the legend: one colour for runs of the same task and method."""
    names = list(dict.fromkeys(run.group for run in runs))
    return [{"label": n, "colour": c} for n, c in zip(names, palette.run_colours(len(names)), strict=True)]


def _curves(runs: Sequence[Run], draw: Draw) -> dict[str, str]:
    success, intervention = [], []
    for group in _groups(runs):
        members = [run for run in runs if run.group == group["label"]]
        assisted = [thinned(summary.moving(run.episodes, "success", None)) for run in members]
        rates = [thinned(summary.moving(run.episodes, "operator_steps", "length")) for run in members]
        alone = [summary.evaluation_curve(run) for run in members]
        success.append(Series(group["label"], group["colour"], assisted, alone))
        intervention.append(Series(group["label"], group["colour"], rates))
    peak = max((float(c.y.max()) for s in intervention for c in s.curves if len(c.y)), default=0.0)
    top = next(limit for limit in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0) if peak <= limit or limit == 1.0)
    return {"success": draw(plots.rate_curves(success)), "intervention": draw(plots.rate_curves(intervention, top))}


def thinned(curve: summary.Curve, points: int = POINTS) -> summary.Curve:
    """Keep at most `points` of a curve, its ends among them."""
    picked = np.unique(np.linspace(0, max(len(curve.x) - 1, 0), min(len(curve.x), points)).round().astype(int))
    return summary.Curve(curve.x[picked], curve.y[picked])


def _share(run: Run) -> Figure:
    """Stack who drove: groups of episodes over online steps."""
    parts = [p for p in np.array_split(np.arange(len(run.episodes)), min(BARS, len(run.episodes))) if len(p)]
    groups = [[run.episodes[i] for i in part] for part in parts]
    ends = np.array([group[-1]["online_steps"] for group in groups], dtype=float)
    shares = {
        Authority.OPERATOR: np.array([summary.rate(group, "operator_steps") or 0.0 for group in groups]),
        Authority.ASSISTANT: np.array([summary.rate(group, "assistant_steps") or 0.0 for group in groups]),
    }
    shares[Authority.POLICY] = 1.0 - shares[Authority.OPERATOR] - shares[Authority.ASSISTANT]
    return plots.authority_share(ends, shares)


def _raster(run: Run, draw: Draw) -> str | None:
    """Draw the recorded training episodes step by step; None where none were recorded."""
    if run.dataset is None:
        return None
    rows = [(i, recorded.column(e, "authority")) for i, e in recorded.training_episodes(run.dataset, most=60)]
    shown = [(index, row.astype(int)) for index, row in rows if row is not None]
    if not shown:
        return None
    return draw(plots.authority_raster([row for _, row in shown], [f"{index}" for index, _ in shown], run.fps))


def _modes(modes: Mapping[str, int]) -> Figure:
    counts = list(modes.values())
    labels = [kind.replace("_", " ") for kind in modes]
    return plots.horizontal_bars(labels, counts, [str(n) for n in counts], palette.MUTED, "episodes")


def _losses(run: Run, draw: Draw) -> str | None:
    """Draw training quantities over the updates that have all of them; the first episodes come before any update."""
    names = [name for name in PLOTTED_UPDATES if any(_is_number(line.get(name)) for line in run.updates)]
    lines = [line for line in run.updates if all(_is_number(line.get(name)) for name in names)]
    if not names or len(lines) < 2:
        return None
    x = np.array([line["online_steps"] for line in lines], dtype=float)
    curves = {name: thinned(summary.Curve(x, np.array([float(line[name]) for line in lines]))) for name in names}
    return draw(plots.losses(next(iter(curves.values())).x, {name: curve.y for name, curve in curves.items()}))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and np.isfinite(value)


def _latency(runs: Sequence[Run], draw: Draw) -> dict[str, Any] | None:
    colours = {group["label"]: group["colour"] for group in _groups(runs)}
    pooled: dict[str, list[np.ndarray]] = {}
    for run in runs:
        if len(samples := summary.latencies_ms(run)):
            pooled.setdefault(run.group, []).append(samples)
    if not pooled:
        return None
    series = [(label, colours[label], np.concatenate(samples)) for label, samples in pooled.items()]
    rows = [(label, colour, len(s), *np.percentile(s, [50, 95, 99]), s.max()) for label, colour, s in series]
    return {"figure": draw(plots.latency_histogram(series, 1000.0 / runs[0].fps)), "rows": rows}


def _films(runs: Sequence[Run]) -> dict[int, list[dict[str, Any]]]:
    """Encode the last evaluation episodes, shared out between the runs, until the room for films is used up."""
    each, room = max(1, FILMS // len(runs)), FILM_BYTES
    films: dict[int, list[dict[str, Any]]] = {}
    for index, run in enumerate(runs):
        for episode in recorded.last_filmed(run.dataset, each) if run.dataset is not None else []:
            film = _film(run, episode)
            room -= len(film["video"]) + len(film["poster"])
            if room < 0:
                return films
            films.setdefault(index, []).append(film)
    return films


def _film(run: Run, episode: int) -> dict[str, Any]:
    assert run.dataset is not None
    record = run.dataset.episode(episode)
    frames = recorded.film(record, recorded.cameras(run.dataset)[0], run.fps)
    return {
        "video": video.mp4_uri(frames, run.fps, quality=28),
        "poster": video.jpeg_uri(frames[len(frames) // 2]),
        "success": bool(record.meta.success),
        "failure": record.meta.failure_kind or "not in time",
        "env_seed": record.meta.env_seed,
        "length": len(frames),
    }
