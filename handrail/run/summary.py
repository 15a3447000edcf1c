"""What a run's metrics say of one episode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from handrail.core.values import Authority, Step


def summarise(steps: Sequence[Step], rate_hz: float) -> dict[str, Any]:
    """The numbers of one episode, as a line of `metrics.jsonl` holds them.

    A takeover is a rising edge of the operator's authority, counted under the cause it began with.
    """
    held = [step.intervention for step in steps]
    edges = [i for i, now in enumerate(held) if now and (i == 0 or not held[i - 1])]
    return {
        "success": steps[-1].success,
        "return": sum(step.reward for step in steps),
        "length": len(steps),
        "operator_steps": sum(held),
        "assistant_steps": sum(step.authority is Authority.ASSISTANT for step in steps),
        "takeovers": dict(Counter(steps[i].takeover_cause.name for i in edges)),
        "operator_steps_by_cause": dict(Counter(step.takeover_cause.name for step in steps if step.intervention)),
        "operator_seconds": sum(held) / rate_hz,
        "cost_steps": sum(step.cost > 0 for step in steps),
        "clipped_steps": sum(step.clipped for step in steps),
    }
