"""What a constraint cost, and what came of the assistant's help: pure functions of episodes, each a sequence of steps.

A failure does not end an episode, so raw totals grow with its length: failures are counted in episodes and in steps,
and both for every 1,000 steps as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from handrail.core.errors import InvalidValueError
from handrail.core.values import Authority, Step
from handrail.store.metrics import assistant_rate, failures
from handrail.store.segments import Segment, segments

Episodes = Sequence[Sequence[Step]]


def failed(episode: Sequence[Step]) -> bool:
    """Whether the constraint was violated at any step (cost 1)."""
    return failures(episode) > 0


def failure_episodes(episodes: Episodes) -> int:
    """Episodes with at least one violation."""
    return sum(failed(episode) for episode in episodes)


def failure_episode_rate(episodes: Episodes) -> float:
    """Episodes with at least one violation / episodes; 0 for none."""
    return failure_episodes(episodes) / len(episodes) if episodes else 0.0


def failure_steps(episodes: Episodes) -> int:
    """Steps in violation."""
    return sum(failures(episode) for episode in episodes)


def failures_per_1000_steps(episodes: Episodes) -> float:
    """Episodes with at least one violation for every 1,000 steps; 0 for none."""
    return _per_1000_steps(failure_episodes(episodes), episodes)


def failure_steps_per_1000_steps(episodes: Episodes) -> float:
    """Steps in violation for every 1,000 steps; 0 for none."""
    return _per_1000_steps(failure_steps(episodes), episodes)


def bursts(episode: Sequence[Step]) -> list[Segment]:
    """The assistant's bursts in one episode: runs of steps under its authority, oldest first."""
    return [part for part in segments(episode) if part.authority is Authority.ASSISTANT]


def preventive(episode: Sequence[Step]) -> list[Segment]:
    """Those of the assistant's bursts that began while nothing was violated: the others came too late to prevent."""
    return [part for part in bursts(episode) if part.start == 0 or episode[part.start - 1].cost == 0]


def bursts_per_episode(episodes: Episodes) -> float:
    """Bursts / episodes; 0 for none."""
    return sum(len(bursts(episode)) for episode in episodes) / len(episodes) if episodes else 0.0


def recovery_rate(episodes: Episodes, k: int) -> float | None:
    """Share of `preventive` bursts with no violation from their first step to `k` steps after their last.

    None without such a burst. An episode that ends sooner ends the wait. Doing nothing has a rate as well: compare with
    the yoked control.

    Raises:
        InvalidValueError: `k` is negative.
    """
    if k < 0:
        raise InvalidValueError(f"k is {k}, must be at least 0: it counts the steps after a burst")
    recovered = [
        not failed(episode[part.start : part.stop + k]) for episode in episodes for part in preventive(episode)
    ]
    return sum(recovered) / len(recovered) if recovered else None


def safety_summary(episodes: Episodes, k: int) -> dict[str, Any]:
    """The numbers of several episodes that go into a result, under the names of these functions."""
    helped = [part for episode in episodes for part in bursts(episode)]
    return {
        "failure_episodes": failure_episodes(episodes),
        "failure_episode_rate": failure_episode_rate(episodes),
        "failures_per_1000_steps": failures_per_1000_steps(episodes),
        "failure_steps": failure_steps(episodes),
        "failure_steps_per_1000_steps": failure_steps_per_1000_steps(episodes),
        "assistant_rate": assistant_rate([step for episode in episodes for step in episode]),
        "bursts": len(helped),
        "bursts_per_episode": bursts_per_episode(episodes),
        "burst_steps_mean": sum(map(len, helped)) / len(helped) if helped else None,
        "recovery_rate": recovery_rate(episodes, k),
    }


def _per_1000_steps(count: int, episodes: Episodes) -> float:
    steps = sum(map(len, episodes))
    return 1000.0 * count / steps if steps else 0.0
