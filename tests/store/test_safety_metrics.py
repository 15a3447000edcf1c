"""Failures and bursts, by numbers counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from handrail.core.errors import InvalidValueError
from handrail.core.values import Authority, Step, TakeoverCause
from handrail.store import safety_metrics as safety
from handrail.store.segments import Segment

Write = Callable[[str], list[Step]]
WHO = {".": Authority.POLICY, "a": Authority.ASSISTANT, "o": Authority.OPERATOR}


@pytest.fixture
def write(make_steps) -> Write:
    """An episode out of text: "." policy, "a" assistant, "o" operator; "x", "A", "O" the same in violation."""

    def steps(text: str) -> list[Step]:
        drivers = [WHO["." if c == "x" else c.lower()] for c in text]
        costs = [float(c in "xAO") for c in text]
        blank = [replace(step, takeover_cause=TakeoverCause.NONE) for step in make_steps(len(text))]
        return [replace(s, authority=w, cost=c) for s, w, c in zip(blank, drivers, costs, strict=True)]

    return steps


def test_failures_are_counted_in_episodes_and_in_steps(write: Write) -> None:
    episodes = [write(text) for text in ("..x.xx..", "........", "aaaA", ".....")]  # 25 steps
    assert [safety.failed(episode) for episode in episodes] == [True, False, True, False]
    assert safety.failure_episodes(episodes) == 2 and safety.failure_episode_rate(episodes) == 0.5
    assert safety.failure_steps(episodes) == 4
    assert safety.failures_per_1000_steps(episodes) == 80.0
    assert safety.failure_steps_per_1000_steps(episodes) == 160.0


def test_longer_episodes_do_not_look_worse(write: Write) -> None:
    short, long = [write("x...")] * 4, [write("x......." * 2)]
    assert safety.failure_episodes(short) > safety.failure_episodes(long)
    assert safety.failure_steps_per_1000_steps(short) == 2 * safety.failure_steps_per_1000_steps(long)


def test_bursts_are_runs_of_the_assistant(write: Write) -> None:
    episode = write("aa.ao.aaAx")
    assert safety.bursts(episode) == [
        Segment(Authority.ASSISTANT, 0, 2),
        Segment(Authority.ASSISTANT, 3, 4),
        Segment(Authority.ASSISTANT, 6, 9),
    ]
    assert safety.bursts_per_episode([episode, write("....")]) == 1.5


@pytest.mark.parametrize(
    ("text", "k", "recovered"),
    [
        (".aa....", 3, [True]),
        (".aa...x", 3, [True]),  # the fourth step after it
        (".aa..x.", 3, [False]),
        (".aa..x.", 2, [True]),
        ("x.aa....", 3, [True]),  # the violation came before
        ("xaa..aa", 3, [True]),  # the first began in a violation: it could prevent none
        (".aA....", 0, [False]),  # within
        (".aa", 9, [True]),  # the episode's end
        (".a..ax.a", 3, [True, False, True]),
        (".a..ax.a", 4, [False, False, True]),
    ],
)
def test_a_burst_recovers_where_no_violation_follows(write: Write, text: str, k: int, recovered: list[bool]) -> None:
    assert safety.recovery_rate([write(text)], k) == pytest.approx(sum(recovered) / len(recovered))


def test_a_violation_of_the_next_episode_is_not_this_burst_s(write: Write) -> None:
    assert safety.recovery_rate([write("...aa"), write("x....")], 5) == 1.0


def test_nothing_at_all(write: Write) -> None:
    assert safety.failure_episode_rate([]) == safety.failures_per_1000_steps([]) == safety.bursts_per_episode([]) == 0.0
    assert safety.recovery_rate([write("..x..")], 3) is safety.recovery_rate([write("..xa.")], 3) is None
    with pytest.raises(InvalidValueError, match="k is -1, must be at least 0: it counts the steps after a burst"):
        safety.recovery_rate([], -1)


def test_summary(write: Write) -> None:
    episodes = [write("..aa...x"), write(".aaaa..."), write("....")]
    assert safety.safety_summary(episodes, k=3) == {
        "failure_episodes": 1,
        "failure_episode_rate": pytest.approx(1 / 3),
        "failures_per_1000_steps": 50.0,
        "failure_steps": 1,
        "failure_steps_per_1000_steps": 50.0,
        "assistant_rate": 0.3,
        "bursts": 2,
        "bursts_per_episode": pytest.approx(2 / 3),
        "burst_steps_mean": 3.0,
        "recovery_rate": 1.0,
    }
    nothing = safety.safety_summary([], k=3)
    assert nothing["burst_steps_mean"] is None and nothing["recovery_rate"] is None and nothing["bursts"] == 0
