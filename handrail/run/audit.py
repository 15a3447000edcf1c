"""Audit: a monitor and a trigger, replayed over recorded episodes: when would they have helped, and how often in vain?

Nothing is executed: after the first step in which help would have begun, a recording shows what happened without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from handrail.core.contracts import Trigger
from handrail.core.errors import InvalidValueError
from handrail.core.values import Assessment, Authority, Step, TakeoverCause

DROVE_THE_EPISODE = (TakeoverCause.DEMONSTRATION, TakeoverCause.CORRUPTED)
"""An operator with one of these causes was the driver; what stood behind them as the policy is not of interest."""


class Assessor(Protocol):
    """The half of a monitor that a replay needs."""

    def reset(self) -> None: ...
    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]: ...


class Recorded:
    """Risk and value as they are on record, said at the time by whoever watched."""

    def reset(self) -> None:
        """It has no memory."""

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return [Assessment(step.risk, step.value) for step in episode]


@dataclass(frozen=True, slots=True)
class EpisodeAudit:
    """What a monitor and a trigger would have made of one episode. Steps are counted from 0.

    Attributes:
        steps: its length.
        alarms: steps at which a burst of help would have begun.
        helped_steps: steps with a level above 0.
        first_violation: the first step with cost 1; None for none.
        lead_steps: from the earliest alarm that foresaw it to the first violation. 0 is still in time: an action is
            assessed before it is executed. None where there was no violation, or no such alarm.
        false_alarms: alarms that no violation followed in time.
        late_alarms: alarms after the first violation; neither right nor wrong.
        helped_on_record: steps that an assistant had taken when the episode was recorded.
    """

    steps: int
    alarms: tuple[int, ...]
    helped_steps: int
    first_violation: int | None
    lead_steps: int | None
    false_alarms: int
    late_alarms: int
    helped_on_record: int

    @property
    def outcome(self) -> str:
        """foreseen, missed, false alarm or quiet."""
        if self.first_violation is not None:
            return "missed" if self.lead_steps is None else "foreseen"
        return "false alarm" if self.alarms else "quiet"


@dataclass(frozen=True, slots=True)
class Audit:
    """Episodes, and their totals under the names of `numbers`.

    Attributes:
        window: an alarm is right where the first violation comes at most so many steps after it, or within its burst.
        least_lead: steps that a helper needs; counts in `recall_at_lead`.
    """

    episodes: tuple[EpisodeAudit, ...]
    window: int
    least_lead: int

    def numbers(self) -> dict[str, Any]:
        """Totals; None where there is nothing to divide by.

        recall: foreseen / failure episodes; recall_at_lead: those foreseen at least `least_lead` steps ahead;
        false_alarm_episode_rate: episodes without a violation that had an alarm / episodes without a violation;
        assistant_rate: steps that would have been the assistant's / steps.
        """
        failed = [e for e in self.episodes if e.first_violation is not None]
        fine = [e for e in self.episodes if e.first_violation is None]
        leads = [e.lead_steps for e in failed if e.lead_steps is not None]
        steps, false_alarms = self._total("steps"), self._total("false_alarms")
        return {
            "episodes": len(self.episodes),
            "steps": steps,
            "failure_episodes": len(failed),
            "foreseen": len(leads),
            "recall": _share(len(leads), len(failed)),
            "recall_at_lead": _share(sum(lead >= self.least_lead for lead in leads), len(failed)),
            "lead_steps_median": float(np.median(leads)) if leads else None,
            "alarms": sum(len(e.alarms) for e in self.episodes),
            "false_alarms": false_alarms,
            "late_alarms": self._total("late_alarms"),
            "false_alarms_per_1000_steps": None if not steps else 1000.0 * false_alarms / steps,
            "false_alarm_episode_rate": _share(sum(bool(e.alarms) for e in fine), len(fine)),
            "assistant_rate": _share(self._total("helped_steps"), steps),
            "helped_on_record": self._total("helped_on_record"),
            "window": self.window,
            "least_lead": self.least_lead,
        }

    def as_dict(self) -> dict[str, Any]:
        """The totals, and under "by_episode" each episode with its outcome."""
        return {**self.numbers(), "by_episode": [{**asdict(e), "outcome": e.outcome} for e in self.episodes]}

    def _total(self, name: str) -> int:
        return sum(getattr(episode, name) for episode in self.episodes)


def audit(
    episodes: Iterable[Sequence[Step]], monitor: Assessor, trigger: Trigger, *, window: int = 20, least_lead: int = 5
) -> Audit:
    """Ask `monitor` about every step of `episodes` and tell `trigger` what it said, as in a run.

    Args:
        monitor: asked about the driver's action of each step, whoever acted in the end; `Recorded` says what was said.
        window: see `Audit`; 20 steps unless told otherwise (ours).
        least_lead: see `Audit`; 5 steps unless told otherwise (ours).

    Raises:
        InvalidValueError: window or least_lead is negative, or the monitor assessed fewer steps than there are.
    """
    for name, value in (("window", window), ("least_lead", least_lead)):
        if value < 0:
            raise InvalidValueError(f"{name} is {value}, must be at least 0: it counts steps")
    return Audit(tuple(_one(list(steps), monitor, trigger, window) for steps in episodes), window, least_lead)


def as_driven(episode: Sequence[Step]) -> list[Step]:
    """The same steps with the driver's action in the place of the executed one: what a trigger is told about."""
    return [s if s.takeover_cause in DROVE_THE_EPISODE else replace(s, action=s.policy_action) for s in episode]


def _one(episode: list[Step], monitor: Assessor, trigger: Trigger, window: int) -> EpisodeAudit:
    monitor.reset()
    trigger.reset()
    assessments = monitor.assess_many(as_driven(episode))
    if len(assessments) != len(episode):
        raise InvalidValueError(
            f"the monitor gave {len(assessments)} assessments of {len(episode)} steps: assess_many answers every step"
        )
    helped = np.array([trigger.update(assessment) > 0.0 for assessment in assessments], bool)
    bursts = _runs(helped)
    violation = next((i for i, step in enumerate(episode) if step.cost > 0), None)
    right = [start for start, stop in bursts if _foresaw(start, stop, violation, window)]
    late = [start for start, _ in bursts if violation is not None and start > violation]
    return EpisodeAudit(
        steps=len(episode),
        alarms=tuple(start for start, _ in bursts),
        helped_steps=int(helped.sum()),
        first_violation=violation,
        lead_steps=violation - right[0] if violation is not None and right else None,
        false_alarms=len(bursts) - len(right) - len(late),
        late_alarms=len(late),
        helped_on_record=sum(step.authority is Authority.ASSISTANT for step in episode),
    )


def _foresaw(start: int, stop: int, violation: int | None, window: int) -> bool:
    return violation is not None and start <= violation < max(stop, start + window + 1)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First step and the step after the last of each run of true flags (T,)."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
