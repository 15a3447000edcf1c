"""What a report says in numbers: pure functions of the episode lines of `metrics.jsonl`.

SR is successes / episodes, IR operator steps / all steps, AR assistant steps / all steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .runs import Line, Run

EDGE_STEPS = 3000  # "first" and "last" in intervention_rate_first and _last [online steps]
WINDOW = 20  # moving window of the curves [episodes]


@dataclass(frozen=True)
class Curve:
    """A quantity over online steps; `y` is in [0, 1] for rates."""

    x: np.ndarray  # (N,) online steps
    y: np.ndarray  # (N,)


@dataclass(frozen=True)
class Headline:
    """The first thing a reader looks for; None where the run did not measure it."""

    success_autonomous: float | None
    success_assisted: float | None
    intervention_first: float | None
    intervention_last: float | None
    operator_seconds: float | None
    assistant_rate: float | None
    takeovers: int | None
    episodes: int
    online_steps: int


@dataclass(frozen=True)
class Interventions:
    """How often and how long the operator stepped in, over one stretch of a run."""

    takeovers: int
    operator_steps: int
    steps: int
    mean_length: float  # [steps]
    median_length: float  # [steps], over episodes with a takeover
    steps_between: float  # steps without the operator per takeover
    untouched_episodes: int
    episodes: int

    @property
    def rate(self) -> float:
        return self.operator_steps / self.steps if self.steps else 0.0


def total(lines: Sequence[Line], name: str) -> float:
    """Sum one number over lines; absent counts as zero."""
    return float(sum(line.get(name) or 0 for line in lines))


def takeovers(line: Line) -> int:
    return int(sum((line.get("takeovers") or {}).values()))


def rate(lines: Sequence[Line], name: str) -> float | None:
    """Return the share of all steps counted under `name`, or None without any step."""
    steps = total(lines, "length")
    return total(lines, name) / steps if steps else None


def moving(lines: Sequence[Line], numerator: str, denominator: str | None, window: int = WINDOW) -> Curve:
    """Return sum(numerator) / sum(denominator) over the last `window` episodes, at each episode's end.

    `denominator` None divides by the number of episodes. The curve begins at a quarter of a window (of the run, if
    that is shorter): the rate of one or two episodes says nothing.
    """
    top = np.array([float(line.get(numerator) or 0) for line in lines])
    bottom = np.array([float(line.get(denominator) or 0) if denominator else 1.0 for line in lines])
    x = np.array([int(line["online_steps"]) for line in lines])
    begin = min(window // 4, len(lines) // 4)
    return Curve(x[begin:], (_windowed(top, window) / np.maximum(_windowed(bottom, window), 1e-9))[begin:])


def _windowed(values: np.ndarray, window: int) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    return sums[ends] - sums[np.maximum(ends - window, 0)]


def evaluation_curve(run: Run) -> Curve:
    """Return autonomous success over online steps, one point an evaluation."""
    x = np.array([int(line["online_steps"]) for line in run.evaluations])
    return Curve(x, np.array([float(line.get("success_rate") or 0.0) for line in run.evaluations]))


def mean_curve(curves: Sequence[Curve], points: int = 200) -> Curve:
    """Return the mean of several curves where all of them exist, by linear interpolation."""
    curves = [curve for curve in curves if len(curve.x)]
    if not curves:
        return Curve(np.empty(0), np.empty(0))
    x = np.linspace(max(c.x[0] for c in curves), min(c.x[-1] for c in curves), points)
    return Curve(x, np.mean([np.interp(x, c.x, c.y) for c in curves], axis=0))


def first_steps(lines: Sequence[Line], steps: int) -> list[Line]:
    """Return the episodes that ended within the first `steps` online steps, at least one."""
    return [line for line in lines if line["online_steps"] <= steps] or list(lines[:1])


def last_steps(lines: Sequence[Line], steps: int) -> list[Line]:
    """Return the episodes that ended within the last `steps` online steps."""
    end = lines[-1]["online_steps"] if lines else 0
    return [line for line in lines if line["online_steps"] > end - steps]


def headline(run: Run) -> Headline:
    """Return the run's first numbers: `result.json` where it has them, else counted from the metrics."""
    lines = run.episodes
    counted = {
        "success_rate_autonomous": run.evaluations[-1].get("success_rate") if run.evaluations else None,
        "success_rate_assisted": total(lines, "success") / len(lines) if lines else None,
        "intervention_rate_first": rate(first_steps(lines, EDGE_STEPS), "operator_steps"),
        "intervention_rate_last": rate(last_steps(lines, EDGE_STEPS), "operator_steps"),
        "operator_seconds": total(lines, "operator_seconds") if lines else None,
        "assistant_rate": rate(lines, "assistant_steps"),
        "takeovers": sum(takeovers(line) for line in lines) if lines else None,
    }
    told = run.result or {}
    facts = {name: value if told.get(name) is None else told[name] for name, value in counted.items()}
    return Headline(
        success_autonomous=facts["success_rate_autonomous"],
        success_assisted=facts["success_rate_assisted"],
        intervention_first=facts["intervention_rate_first"],
        intervention_last=facts["intervention_rate_last"],
        operator_seconds=facts["operator_seconds"],
        assistant_rate=facts["assistant_rate"],
        takeovers=_count(facts["takeovers"]),
        episodes=len(lines),
        online_steps=run.online_steps,
    )


def _count(value: object) -> int | None:
    """Takeovers come as a number, or as counts by cause."""
    if isinstance(value, dict):
        return int(sum(value.values()))
    return int(value) if isinstance(value, (int, float)) else None


def interventions(lines: Sequence[Line]) -> Interventions:
    """Describe how often and how long the operator stepped in.

    The median is over the mean takeover length of each episode, weighted by its takeovers: the metrics count steps and
    takeovers an episode, not each takeover on its own.
    """
    touched = [line for line in lines if takeovers(line)]
    counts = np.array([takeovers(line) for line in touched], dtype=int)
    lengths = np.array([total([line], "operator_steps") for line in touched]) / np.maximum(counts, 1)
    operator_steps, steps, count = int(total(lines, "operator_steps")), int(total(lines, "length")), int(counts.sum())
    return Interventions(
        takeovers=count,
        operator_steps=operator_steps,
        steps=steps,
        mean_length=operator_steps / count if count else 0.0,
        median_length=float(np.median(np.repeat(lengths, counts))) if count else 0.0,
        steps_between=(steps - operator_steps) / count if count else float("inf"),
        untouched_episodes=len(lines) - len(touched),
        episodes=len(lines),
    )


def causes(lines: Sequence[Line]) -> dict[str, tuple[int, int]]:
    """Return takeovers and operator steps by cause, most frequent first."""
    counts: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for line in lines:
        counts.update({cause: int(n) for cause, n in (line.get("takeovers") or {}).items()})
        steps.update({cause: int(n) for cause, n in (line.get("operator_steps_by_cause") or {}).items()})
    names = [cause for cause, n in (counts + steps).most_common() if n]
    return {cause: (counts[cause], steps[cause]) for cause in names}


def failure_modes(run: Run) -> dict[str, int]:
    """Return how the last evaluation's episodes failed, most frequent first."""
    modes = (run.evaluations[-1].get("failure_modes") if run.evaluations else None) or run.field("failure_modes", {})
    return {str(kind): int(n) for kind, n in sorted(modes.items(), key=lambda item: -item[1]) if n}


def latencies_ms(run: Run) -> np.ndarray:
    """Return every sampled decision time [ms], (N,)."""
    samples = [np.asarray(line.get("decide_ms") or [], dtype=float) for line in run.latencies]
    return np.concatenate(samples) if samples else np.empty(0)


def incidents(run: Run) -> dict[str, int | None]:
    """Return counts of clipped steps, overruns and stops; None for what the run did not count."""
    names = {"clipped steps": "clipped_steps", "overruns": "overruns", "stops": "stops"}
    return {label: _incident(run, key) for label, key in names.items()}


def _incident(run: Run, key: str) -> int | None:
    if run.result is not None and isinstance(run.result.get(key), (int, float)):
        return int(run.result[key])
    counted = [line for line in run.episodes if line.get(key) is not None]
    return int(total(counted, key)) if counted else None
