"""How often and how long to intervene, told from a run's own data: sentences of numbers, and no opinion beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import recorded, summary
from .page import number, percent
from .runs import Run
from .summary import Interventions

STRETCH = 1000  # "first" and "last" [online steps]
LOW_RATE = 0.05  # the rate that a run is asked to reach


@dataclass(frozen=True)
class Advice:
    """A paragraph, and the table it was read from: (stretch, numbers)."""

    sentences: list[str]
    rows: list[tuple[str, Interventions]]


def advice(run: Run) -> Advice | None:
    """Describe the operator's habits over the run; None where nobody ever took over."""
    whole = summary.interventions(run.episodes)
    if not whole.takeovers:
        return None
    first = summary.interventions(summary.first_steps(run.episodes, STRETCH))
    last = summary.interventions(summary.last_steps(run.episodes, STRETCH))
    rows = [("whole run", whole), (f"first {STRETCH:,} steps", first), (f"last {STRETCH:,} steps", last)]
    sentences = [_often(whole), _long(whole, run), _change(first, last), _why(run), _settled(run)]
    return Advice([sentence for sentence in sentences if sentence], rows)


def _often(whole: Interventions) -> str:
    return (
        f"The operator took over {whole.takeovers:,} times in {whole.steps:,} steps, once for every "
        f"{number(whole.steps_between)} steps that went without them; "
        f"{percent(whole.untouched_episodes / whole.episodes)} of the {whole.episodes:,} episodes needed nobody."
    )


def _long(whole: Interventions, run: Run) -> str:
    text = (
        f"A takeover lasted {whole.mean_length:.1f} steps ({whole.mean_length / run.fps:.1f} s) on average and "
        f"{whole.median_length:.1f} ({whole.median_length / run.fps:.1f} s) in the median"
    )
    exact = _recorded_lengths(run)
    if len(exact) < 5:
        return text + "."
    low, high = np.percentile(exact, [10, 90])
    return text + f"; of the {len(exact):,} recorded step by step, eight in ten lasted {low:.0f} to {high:.0f} steps."


def _recorded_lengths(run: Run) -> list[int]:
    if run.dataset is None:
        return []
    return [n for _, episode in recorded.training_episodes(run.dataset) for n in recorded.takeover_lengths(episode)]


def _change(first: Interventions, last: Interventions) -> str:
    return (
        f"In the first {STRETCH:,} steps the operator drove {_share(first)}; in the last {STRETCH:,}, {_share(last)}."
    )


def _share(stretch: Interventions) -> str:
    if not stretch.takeovers:
        return "not at all"
    if stretch.takeovers == 1:
        return f"{percent(stretch.rate)} of the time, in one takeover of {stretch.operator_steps} steps"
    share = f"{percent(stretch.rate)} of the time, in {stretch.takeovers} takeovers"
    return f"{share} of {stretch.mean_length:.1f} steps each"


def _why(run: Run) -> str:
    by_cause = {name: steps for name, (_, steps) in summary.causes(run.episodes).items()}
    everything = sum(by_cause.values())
    if not everything:
        return ""
    name, steps = max(by_cause.items(), key=lambda item: item[1])
    share, cause = percent(steps / everything), name.lower().replace("_", " ")
    return f"The largest share of their time, {share}, went into {cause} takeovers."


def _settled(run: Run) -> str:
    """Say from where on the moving intervention rate stayed low."""
    curve = summary.moving(run.episodes, "operator_steps", "length")
    above = np.flatnonzero(curve.y > LOW_RATE)
    if len(above) and above[-1] == len(curve.y) - 1:
        return f"The intervention rate had not yet settled below {percent(LOW_RATE)} when the record ends."
    start = int(curve.x[above[-1] + 1]) if len(above) else int(curve.x[0])
    return f"From step {start:,} on the intervention rate stayed below {percent(LOW_RATE)}."
