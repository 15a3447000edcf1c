"""Metrics: pure functions of steps, in the words of the design. No state, no files.

Most take the steps of one episode or of several in a row; an episode ends where a step is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from handrail.core.values import Authority, Step

from .episode_meta import EpisodeMeta


def success_rate(episodes: Iterable[Sequence[Step]]) -> float:
    """Share of episodes that succeeded; 0 for none."""
    outcomes = [succeeded(episode) for episode in episodes]
    return sum(outcomes) / len(outcomes) if outcomes else 0.0


def succeeded(episode: Sequence[Step]) -> bool:
    """Whether the task said so at any step of this episode."""
    return any(step.success for step in episode)


def intervention_rate(steps: Sequence[Step]) -> float:
    """IR: intervention steps / all steps. Assistant steps and demonstrations are no interventions."""
    return _share(step.intervention for step in steps)


def assistant_rate(steps: Sequence[Step]) -> float:
    """AR: assistant steps / all steps."""
    return _share(step.authority is Authority.ASSISTANT for step in steps)


def operator_steps(steps: Iterable[Step]) -> int:
    """Steps that a person drove, demonstrations included."""
    return sum(step.authority is Authority.OPERATOR for step in steps)


def assistant_steps(steps: Iterable[Step]) -> int:
    """Steps that the assistant drove."""
    return sum(step.authority is Authority.ASSISTANT for step in steps)


def operator_seconds(steps: Iterable[Step], fps: float) -> float:
    """Time that a person spent driving [s], demonstrations included."""
    return operator_steps(steps) / fps


def takeovers(steps: Iterable[Step]) -> dict[str, int]:
    """Rising edges of intervention by cause, e.g. {"STUCK": 2}."""
    edges: Counter[str] = Counter()
    held = False
    for step in steps:
        if step.intervention and not held:
            edges[step.takeover_cause.name] += 1
        held = step.intervention and not step.done
    return dict(edges)


def operator_steps_by_cause(steps: Iterable[Step]) -> dict[str, int]:
    """Operator steps by cause, demonstrations included."""
    return dict(Counter(step.takeover_cause.name for step in steps if step.authority is Authority.OPERATOR))


def failures(steps: Iterable[Step]) -> int:
    """IR failures: steps after which a person would have to act (cost 1)."""
    return sum(step.cost > 0 for step in steps)


def episode_return(steps: Iterable[Step]) -> float:
    """Undiscounted sum of rewards."""
    return float(sum(step.reward for step in steps))


def failure_modes(metas: Iterable[EpisodeMeta]) -> dict[str, int]:
    """Failed episodes by kind; "unknown" where nobody said."""
    return dict(Counter(meta.failure_kind or "unknown" for meta in metas if not meta.success))


def episode_summary(steps: Sequence[Step], fps: float, failure_kind: str = "") -> dict[str, Any]:
    """The numbers of one episode that go into `metrics.jsonl`."""
    success = succeeded(steps)
    return {
        "success": success,
        "return": episode_return(steps),
        "length": len(steps),
        "operator_steps": operator_steps(steps),
        "assistant_steps": assistant_steps(steps),
        "takeovers": takeovers(steps),
        "operator_steps_by_cause": operator_steps_by_cause(steps),
        "operator_seconds": operator_seconds(steps, fps),
        "failures": failures(steps),
        "failure_kind": "" if success else failure_kind,
    }


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0
