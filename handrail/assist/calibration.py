"""How good a risk is, and the rule that sets horizon, discount and threshold from calibration episodes, once.

Pure functions of risks and costs, one array (T,) an episode: `risks[t]` was assessed before step t, `costs[t]` is what
step t did. An *onset* is a step with a violation whose step before had none (or which is the first): episodes go on
after a failure. All risks must be of whoever drove; for C_H of the task policy, episodes without protection.
The measures are common ones; lead, look-back and the rule are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array

LEAD, LOOK_BACK = 5, 30
"""Steps before an onset in which an alarm counts as a warning: at least LEAD, so that there is time to act, and at most
LOOK_BACK, so that an alarm long before is not called foresight."""


# -- measures --------------------------------------------------------------------------------------------------------


def auroc(scores: Array, labels: Array) -> float:
    """Probability that a positive scores above a negative, ties counting half; nan where one of the kinds is missing.

    Args:
        scores, labels: (N,); positive where `labels` > 0.
    """
    positive = np.asarray(labels) > 0
    count = int(positive.sum())
    if count in (0, len(positive)):
        return float("nan")
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - 0.5 * (sizes - 1))[place]  # from 1, the mean of those that tie
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def onsets(costs: Array) -> Array:
    """Steps of one episode at which a violation begins."""
    violated = np.asarray(costs) > 0
    return np.flatnonzero(violated & ~np.concatenate([[False], violated[:-1]]))


def highest_before(
    risks: Sequence[Array], costs: Sequence[Array], lead: int = LEAD, look_back: int = LOOK_BACK
) -> Array:
    """The highest risk in the steps from `look_back` to `lead` before each onset of all episodes.

    Onsets before step `lead` are left out: nobody could have warned of them.
    """
    highest = [
        risk[max(0, onset - look_back) : onset - lead + 1].max()
        for risk, cost in zip(risks, costs, strict=True)
        for onset in onsets(cost)
        if onset >= lead
    ]
    return np.array(highest, np.float64)


def recall_at_lead(
    risks: Sequence[Array], costs: Sequence[Array], threshold: float, lead: int = LEAD, look_back: int = LOOK_BACK
) -> float:
    """Share of onsets with an alarm (risk > threshold) from `look_back` to `lead` steps before; nan without onsets."""
    found = highest_before(risks, costs, lead, look_back)
    return float((found > threshold).mean()) if len(found) else float("nan")


def safe_steps(costs: Array, look_ahead: int = LOOK_BACK) -> Array:
    """Steps of one episode with no violation at them or in the `look_ahead` steps after: (T,) bool."""
    return ~violation_within(costs, look_ahead)


def violation_within(costs: Array, steps: int) -> Array:
    """Whether step t or one of the `steps` after it violates: (T,) bool. The end of the episode ends the look."""
    seen = np.concatenate([[0], np.cumsum(np.asarray(costs) > 0)])
    now = np.arange(len(costs))
    return seen[np.minimum(now + steps + 1, len(costs))] > seen[now]


def false_alarms(
    risks: Sequence[Array], costs: Sequence[Array], threshold: float, look_ahead: int = LOOK_BACK
) -> float:
    """Alarms (risk > threshold) in 1,000 safe steps; nan where no step is safe."""
    safe = _safe_risks(risks, costs, look_ahead)
    return float(1000.0 * (safe > threshold).mean()) if len(safe) else float("nan")


def _safe_risks(risks: Sequence[Array], costs: Sequence[Array], look_ahead: int) -> Array:
    return np.concatenate([risk[safe_steps(cost, look_ahead)] for risk, cost in zip(risks, costs, strict=True)])


def realised_risk(costs: Array, horizon: int, gamma_risk: float) -> Array:
    """What C_H estimates: sum_{i=t}^{t+H} gamma_risk^(i-t) costs[i] of one episode: (T,). The end ends the sum."""
    padded = np.concatenate([np.asarray(costs, np.float64), np.zeros(horizon)])
    return np.convolve(padded, gamma_risk ** np.arange(horizon, -1.0, -1.0), mode="valid")


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predicted against realised, in bins of equal width over [0, 1]; empty bins are left out.

    Attributes:
        predicted, realised: mean of each bin; both clipped to [0, 1] before.
        count: steps in each bin.
    """

    predicted: Array  # (K,)
    realised: Array  # (K,)
    count: Array  # (K,)

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over steps of |predicted - realised| of their bin."""
        return float(np.average(np.abs(self.predicted - self.realised), weights=self.count))


def reliability(predicted: Array, realised: Array, bins: int = 10) -> Reliability:
    """Calibration curve of C_H (N,) against `realised_risk` (N,), at least one step."""
    p, y = np.clip(predicted, 0.0, 1.0), np.clip(realised, 0.0, 1.0)
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    kept = count > 0
    means = [np.bincount(place, values, bins)[kept] / count[kept] for values in (p, y)]
    return Reliability(means[0], means[1], count[kept])


# -- the rule --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CalibrationConfig:
    """What the rule looks for (ours).

    Attributes:
        horizons, gammas: candidates for H and gamma_risk.
        false_alarms: in 1,000 safe steps, at most. It is the price of help that is known well: a calibration set has
            thousands of safe steps and a dozen failures, so that a threshold set by recall hangs on one of them.
        lead, look_back: steps before the onset in which an alarm counts.
    """

    horizons: tuple[int, ...] = (5, 10, 15, 20)
    gammas: tuple[float, ...] = (0.85, 0.95, 1.0)
    false_alarms: float = 30.0
    lead: int = LEAD
    look_back: int = LOOK_BACK

    def __post_init__(self) -> None:
        if not self.horizons or not self.gammas:
            raise InvalidValueError(
                f"horizons {self.horizons} and gammas {self.gammas}: give at least one candidate of each"
            )
        if not 0.0 <= self.false_alarms < 1000.0:
            raise InvalidValueError(
                f"false_alarms {self.false_alarms} is not in [0, 1000): it counts alarms in 1,000 safe steps"
            )
        if not 0 <= self.lead <= self.look_back:
            raise InvalidValueError(f"lead {self.lead} is not in 0..{self.look_back}: it is within the look-back")


@dataclass(frozen=True)
class Calibration:
    """Settings of a monitor and its trigger, and what they did on the calibration episodes."""

    horizon: int  # H
    gamma_risk: float
    eps_safe: float  # help where C_H > eps_safe
    recall: float  # at the lead asked for
    false_alarms: float  # in 1,000 safe steps
    auroc: float  # of C_H against "a violation within `look_back` steps", where the step before had none
    ece: float  # of C_H against the realised H-step risk
    onsets: int  # that could be foreseen
    steps: int


def choose(
    probabilities: Sequence[Array], costs: Sequence[Array], config: CalibrationConfig | None = None
) -> Calibration:
    """Set H, gamma_risk and eps_safe, by a rule that is ours.

    For each candidate (H, gamma_risk): eps_safe is the lowest threshold with at most `false_alarms`. Of the candidates
    the one that foresees most onsets is taken; of equals the one with the larger AUROC, then the first. Episodes of the
    run, never of the evaluation.

    Args:
        probabilities: of each episode, P(C = 1) at t..t+H from every step t: (T, H + 1), H at least the largest
            candidate; `WorldModelMonitor.probabilities` gives them.
        costs: of each episode: (T,).

    Raises:
        InvalidValueError: too short a horizon, no onset that could be foreseen, or no safe step.
    """
    config = config or CalibrationConfig()
    longest = min(p.shape[1] for p in probabilities) - 1 if len(probabilities) else 0
    if longest < max(config.horizons):
        raise InvalidValueError(
            f"probabilities reach {longest} steps ahead, the candidates {max(config.horizons)}: roll out further"
        )
    found = [_measure(probabilities, costs, H, gamma, config) for H in config.horizons for gamma in config.gammas]
    return max(found, key=lambda one: (one.recall, one.auroc))


def judge(
    chosen: Calibration,
    probabilities: Sequence[Array],
    costs: Sequence[Array],
    config: CalibrationConfig | None = None,
) -> Calibration:
    """What the settings of `chosen` do on other episodes; the arguments are those of `choose`.

    Raises:
        InvalidValueError: no onset that could be foreseen.
    """
    config = config or CalibrationConfig()
    risks = _risks(probabilities, chosen.horizon, chosen.gamma_risk)
    return _judged(risks, costs, chosen.horizon, chosen.gamma_risk, chosen.eps_safe, config)


def curve(chosen: Calibration, probabilities: Sequence[Array], costs: Sequence[Array]) -> Reliability:
    """The calibration curve of C_H with the settings of `chosen`, over the steps of all episodes."""
    risks = _risks(probabilities, chosen.horizon, chosen.gamma_risk)
    realised = [realised_risk(cost, chosen.horizon, chosen.gamma_risk) for cost in costs]
    return reliability(np.concatenate(risks), np.concatenate(realised))


def _measure(
    probabilities: Sequence[Array], costs: Sequence[Array], horizon: int, gamma_risk: float, config: CalibrationConfig
) -> Calibration:
    """One candidate with its lowest admissible threshold."""
    risks = _risks(probabilities, horizon, gamma_risk)
    safe = _safe_risks(risks, costs, config.look_back)
    if len(safe) == 0:
        raise InvalidValueError(
            f"{len(costs)} calibration episodes hold 0 steps without a failure in the {config.look_back} steps after: "
            "collect more of them"
        )
    eps_safe = float(np.quantile(safe, 1.0 - config.false_alarms / 1000.0, method="higher"))  # an alarm is above it
    return _judged(risks, costs, horizon, gamma_risk, eps_safe, config)


def _judged(
    risks: Sequence[Array],
    costs: Sequence[Array],
    horizon: int,
    gamma_risk: float,
    eps_safe: float,
    config: CalibrationConfig,
) -> Calibration:
    found = _foreseeable(risks, costs, config)
    together = np.concatenate(risks)
    near = np.concatenate([violation_within(cost, config.look_back) for cost in costs])
    unharmed = np.concatenate([np.concatenate([[True], np.asarray(cost[:-1]) == 0]) for cost in costs])
    realised = np.concatenate([realised_risk(cost, horizon, gamma_risk) for cost in costs])
    return Calibration(
        horizon=horizon,
        gamma_risk=gamma_risk,
        eps_safe=eps_safe,
        recall=float((found > eps_safe).mean()),
        false_alarms=false_alarms(risks, costs, eps_safe, config.look_back),
        auroc=auroc(together[unharmed], near[unharmed]),
        ece=reliability(together, realised).ece,
        onsets=len(found),
        steps=len(together),
    )


def _risks(probabilities: Sequence[Array], horizon: int, gamma_risk: float) -> list[Array]:
    discounts = gamma_risk ** np.arange(horizon + 1)
    return [p[:, : horizon + 1] @ discounts for p in probabilities]


def _foreseeable(risks: Sequence[Array], costs: Sequence[Array], config: CalibrationConfig) -> Array:
    """The highest risk before each onset that could be foreseen, at least one."""
    found = highest_before(risks, costs, config.lead, config.look_back)
    if len(found) == 0:
        raise InvalidValueError(
            f"{len(costs)} calibration episodes hold 0 failures at step {config.lead} or later: collect more of them"
        )
    return found
