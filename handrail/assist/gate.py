"""The smooth gate: how much the assistant is felt, between not at all and fully (guided teleoperation; equations ours).

`rho = 1 - (1 - f) S` is the risk that score S and failure probability f leave together; the level follows
`sigmoid(kappa (rho - rho0))` through four steps that keep a hand calm: hysteresis, dead-band, low-pass, rate limit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import exp

from handrail.core.errors import InvalidValueError, require_finite
from handrail.core.values import Assessment


@dataclass(frozen=True)
class GateConfig:
    """All values are ours.

    Attributes:
        kappa: steepness of the sigmoid, per unit of risk.
        rho0: risk at which the level would be one half.
        hysteresis: half the width of the backlash on the risk: changes of direction smaller than twice this do nothing.
        dead_band: sigmoids below this give level 0 exactly; above it the level grows continuously from 0.
        time_constant_s: of the first-order low-pass on the level.
        rate_per_s: largest change of the level in a second.
        rate_hz: updates a second.
    """

    kappa: float = 12.0
    rho0: float = 0.5
    hysteresis: float = 0.05
    dead_band: float = 0.05
    time_constant_s: float = 0.1
    rate_per_s: float = 4.0
    rate_hz: float = 50.0

    def __post_init__(self) -> None:
        limits = {
            "kappa": (self.kappa > 0.0, "> 0"),
            "rho0": (0.0 <= self.rho0 <= 1.0, "in [0, 1]"),
            "hysteresis": (0.0 <= self.hysteresis < 0.5, "in [0, 0.5)"),
            "dead_band": (0.0 <= self.dead_band < 1.0, "in [0, 1)"),
            "time_constant_s": (self.time_constant_s >= 0.0, ">= 0"),
            "rate_per_s": (self.rate_per_s > 0.0, "> 0"),
            "rate_hz": (self.rate_hz > 0.0, "> 0"),
        }
        defaults = {field.name: field.default for field in fields(self)}
        for name, (fine, limit) in limits.items():
            if not fine:
                value = getattr(self, name)
                raise InvalidValueError(f"gate {name} is {value}, must be {limit}: the default is {defaults[name]}")


def combined_risk(score: float, failure: float) -> float:
    """`rho = 1 - (1 - f) S`: low only where success is likely and failure is not."""
    return 1.0 - (1.0 - failure) * score


class Gate:
    """A `Trigger` whose level is continuous.

    It reads `parts["score"]` (S) and `parts["failure"]` (f), both in [0, 1]; one that is absent counts as good (S = 1,
    f = 0), and where both are absent the assessment's `risk` is taken for rho.
    """

    def __init__(self, config: GateConfig | None = None) -> None:
        self.config = config or GateConfig()
        self._keep = _kept(self.config.time_constant_s * self.config.rate_hz)
        self._most = self.config.rate_per_s / self.config.rate_hz
        self.reset()

    def reset(self) -> None:
        self.level = 0.0
        self.rho = 0.0  # as the last assessment had it
        self._held = 0.0  # rho behind the backlash
        self._smooth = 0.0

    def update(self, assessment: Assessment) -> float:
        """Take in one assessment; return the level in [0, 1].

        Raises:
            NonFiniteError: score, failure or risk is not a number.
        """
        self.rho = _risk_of(assessment)
        slack = self.config.hysteresis
        self._held = min(max(self._held, self.rho - slack), self.rho + slack)
        target = self.steady_level(self._held)
        self._smooth = target + self._keep * (self._smooth - target)
        step = min(max(self._smooth - self.level, -self._most), self._most)
        self.level = min(max(self.level + step, 0.0), 1.0)
        return self.level

    def steady_level(self, rho: float) -> float:
        """Where the level settles when the risk behind the backlash stays at `rho`."""
        raw = 1.0 / (1.0 + exp(-self.config.kappa * (rho - self.config.rho0)))
        floor = self.config.dead_band
        return max(0.0, raw - floor) / (1.0 - floor)


class ConstantLevel:
    """A `Trigger` that always says the same: constant guidance, and the gate's ablation at a matched mean level."""

    def __init__(self, level: float) -> None:
        if not 0.0 <= level <= 1.0:
            raise InvalidValueError(f"level is {level}, must be in [0, 1]: 0 is no assistance")
        self.level = level

    def reset(self) -> None:
        """There is nothing to forget."""

    def update(self, assessment: Assessment) -> float:
        return self.level


def _risk_of(assessment: Assessment) -> float:
    parts = assessment.parts
    if "score" in parts or "failure" in parts:
        score, failure = parts.get("score", 1.0), parts.get("failure", 0.0)
        rho = combined_risk(float(require_finite("score", score)), float(require_finite("failure", failure)))
    else:
        rho = float(require_finite("risk", assessment.risk))
    return min(max(rho, 0.0), 1.0)


def _kept(updates: float) -> float:
    """What a first-order low-pass keeps of its state per update, for a time constant of so many updates."""
    return exp(-1.0 / updates) if updates > 0.0 else 0.0
