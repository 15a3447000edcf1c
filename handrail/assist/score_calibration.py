"""How good a success score is: does it tell success from failure, mean what it says, and fall in time?

Pure functions of episodes, one array (T,) an episode, of whoever drove; for a fair judgement without assistance. Those
measures that a score shares with any other monitor are those of `calibration`; lead is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handrail.core.values import Array

from .calibration import auroc, onsets, reliability, violation_within


@dataclass(frozen=True, slots=True)
class ScoreQuality:
    """What a success score and its failure head did on some episodes; nan where an episode of the kind is missing."""

    auroc: float  # of S at every step against success of its episode
    ece: float  # of S at every step against success of its episode
    failure_auroc: float  # of f at every step against an irreversible failure within H steps
    failure_ece: float
    lead_s: float  # mean over irreversible failures, 0 where none was called
    called: float  # share of irreversible failures with an alarm at the step that failed
    false_alarms: float  # share of the steps of successful episodes with an alarm


def score_quality(
    scores: Sequence[Array],
    failures: Sequence[Array],
    successes: Sequence[bool],
    costs: Sequence[Array],
    threshold: float = 0.5,
    horizon: int = 50,
    rate_hz: float = 50.0,
) -> ScoreQuality:
    """Judge S and f on episodes with at least one step.

    Args:
        scores, failures: S and f of the executed action at every step: (T,) an episode.
        successes: of each episode.
        costs: 1 where an irreversible failure happened: (T,) an episode.
        threshold: an alarm is a risk 1 - (1 - f) S above it.
        horizon: H, steps that the failure head looks ahead.
        rate_hz: steps a second.
    """
    S, f = np.concatenate(scores), np.concatenate(failures)
    good = np.repeat(np.asarray(successes, bool), [len(score) for score in scores])
    near = np.concatenate([violation_within(cost, horizon) for cost in costs])
    risks = [1.0 - (1.0 - failure) * score for failure, score in zip(failures, scores, strict=True)]
    alarms = np.concatenate(risks)[good] > threshold
    leads = lead_times_s(risks, costs, threshold, rate_hz)
    return ScoreQuality(
        auroc=auroc(S, good),
        ece=reliability(S, good).ece,
        failure_auroc=auroc(f, near),
        failure_ece=reliability(f, near).ece,
        lead_s=_mean(leads),
        called=_mean(leads > 0.0),
        false_alarms=_mean(alarms),
    )


def lead_times_s(
    risks: Sequence[Array], costs: Sequence[Array], threshold: float = 0.5, rate_hz: float = 50.0
) -> Array:
    """For each failure of all episodes, how long the alarm that it met had been on [s]; 0 where there was none.

    An alarm that ended before the failure was no warning of it, and one that began long before is counted in full: read
    the false alarms beside it.
    """
    leads = []
    for risk, cost in zip(risks, costs, strict=True):
        calm = np.flatnonzero(np.asarray(risk) <= threshold)
        for onset in onsets(cost):
            before = calm[calm <= onset]
            leads.append((onset - (before[-1] if len(before) else -1)) / rate_hz)
    return np.array(leads, np.float64)


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
