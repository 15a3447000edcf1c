"""The audit: alarms, leads and false alarms counted by hand, and agreement with the run that it replays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from handrail.assist import Never, Rejection, SafetyQMonitor, Threshold
from handrail.core.contracts import Trigger
from handrail.core.errors import InvalidValueError
from handrail.core.limits import Limits
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal, Step, TakeoverCause
from handrail.run import Supervised, Supervisor, run_episode
from handrail.run.audit import EpisodeAudit, Recorded, as_driven, audit

ONE = np.ones(1, np.float32)
BLANK = Step(
    observation={"state": np.zeros(2)}, next_observation={"state": np.zeros(2)}, action=ONE, policy_action=ONE,
    operator_action=None, assistant_action=None, authority=Authority.POLICY, takeover_cause=TakeoverCause.NONE,
    assist_level=0.0, risk=0.0, value=1.0, reward=0.0, cost=0.0, terminated=False, truncated=False, success=False,
    timestamp=0.0, stamp_s=0.0,
)  # fmt: skip


def written(text: str) -> list[Step]:
    """An episode out of text: "!" a step of high risk, "x" a violation, "X" both."""
    return [replace(BLANK, risk=0.9 if c in "!X" else 0.1, cost=float(c in "xX")) for c in text]


def one(text: str, window: int = 4, **settings: int) -> EpisodeAudit:
    return audit([written(text)], Recorded(), Threshold(0.5, 0.5, **settings), window=window).episodes[0]


@pytest.mark.parametrize(
    ("text", "alarms", "violation", "lead", "false", "late", "outcome"),
    [
        ("........", (), None, None, 0, 0, "quiet"),
        ("..!!....", (2,), None, None, 1, 0, "false alarm"),
        ("..!!.x..", (2,), 5, 3, 0, 0, "foreseen"),
        ("..!...x.", (2,), 6, 4, 0, 0, "foreseen"),  # just within the window
        (".!....x.", (1,), 6, None, 1, 0, "missed"),  # just outside it
        (".!!!!!X.", (1,), 6, 5, 0, 0, "foreseen"),  # help was going on
        ("..!.!.x.", (2, 4), 6, 4, 0, 0, "foreseen"),  # the earliest of two
        ("!.....!x", (0, 6), 7, 1, 1, 0, "foreseen"),
        ("...X....", (3,), 3, 0, 0, 0, "foreseen"),  # with the very action
        ("...x!..x", (4,), 3, None, 0, 1, "missed"),  # after the first one
        ("..!x.!..", (2, 5), 3, 1, 0, 1, "foreseen"),
        ("x.......", (), 0, None, 0, 0, "missed"),
    ],
)
def test_one_episode(text, alarms, violation, lead, false, late, outcome) -> None:
    found = one(text)
    assert (found.alarms, found.first_violation, found.lead_steps) == (alarms, violation, lead)
    assert (found.false_alarms, found.late_alarms, found.outcome) == (false, late, outcome)
    assert found.steps == 8 and found.helped_steps == sum(c in "!X" for c in text)


def test_the_trigger_decides_what_an_alarm_is() -> None:
    assert one("!.!.!.!.").alarms == (0, 2, 4, 6)
    assert one("!.!.!.!.", cool_down=3).alarms == (0, 4)
    committed = one("!.......", min_steps=5)
    assert committed.alarms == (0,) and committed.helped_steps == 5
    assert audit([written("!!!x")], Recorded(), Never()).episodes[0].outcome == "missed"


def test_totals() -> None:
    texts = ["........", "..!!....", "..!!.x..", ".!......", "...x!..x", "!..!..xx", "!x......"]
    found = audit(map(written, texts), Recorded(), Threshold(0.5, 0.5), window=4, least_lead=3)
    assert found.numbers() == {
        "episodes": 7, "steps": 56, "failure_episodes": 4, "foreseen": 3, "recall": 0.75, "recall_at_lead": 0.5,
        "lead_steps_median": 3.0, "alarms": 7, "false_alarms": 3, "late_alarms": 1,
        "false_alarms_per_1000_steps": pytest.approx(3000 / 56), "false_alarm_episode_rate": pytest.approx(2 / 3),
        "assistant_rate": pytest.approx(9 / 56), "helped_on_record": 0, "window": 4, "least_lead": 3,
    }  # fmt: skip
    said = json.loads(json.dumps(found.as_dict()))
    assert [e["outcome"] for e in said["by_episode"]][:3] == ["quiet", "false alarm", "foreseen"]
    assert said["by_episode"][2]["alarms"] == [2] and said["by_episode"][2]["lead_steps"] == 3


def test_nothing_to_divide_by() -> None:
    numbers = audit([], Recorded(), Never()).numbers()
    names = ("recall", "recall_at_lead", "lead_steps_median", "false_alarm_episode_rate", "assistant_rate")
    assert all(numbers[name] is None for name in names) and numbers["false_alarms_per_1000_steps"] is None
    assert audit([[]], Recorded(), Never()).episodes[0].outcome == "quiet"


def speed(observation: Observation, action: Array) -> float:
    """A risk that depends on both."""
    return 0.1 * abs(float(np.asarray(observation["state"])[2])) + 0.05 * float(action[0])


class Varies:
    """A policy whose proposals alternate, so that what is assessed matters."""

    def reset(self) -> None:
        self.sign = 1.0

    def act(self, observation: Observation) -> Proposal:
        self.sign = -self.sign
        return Proposal(self.sign * ONE[None], Authority.POLICY)


class Noted:
    """A trigger that notes the levels of another one."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger, self.levels = trigger, list[float]()

    def reset(self) -> None:
        self.trigger.reset()

    def update(self, assessment: Assessment) -> float:
        self.levels.append(self.trigger.update(assessment))
        return self.levels[-1]


def pendulum(assist: str, **options: object) -> tuple[list[Step], list[float]]:
    """A real episode of 200 steps, assisted by standing still; what the trigger said."""
    trigger = Noted(Threshold(0.3, 0.1, min_steps=2, cool_down=5))
    watching = Supervisor(SafetyQMonitor(speed), trigger, Rejection(lambda seen: 0 * ONE), assist=assist, **options)  # type: ignore[arg-type]
    env = Supervised(gym.make("Pendulum-v1"), watching, limits=Limits(-2 * ONE, 2 * ONE))
    return run_episode(env, Varies(), seed=0), trigger.levels


def replayed(steps: Sequence[Step], monitor: Recorded | SafetyQMonitor) -> list[float]:
    trigger = Noted(Threshold(0.3, 0.1, min_steps=2, cool_down=5))
    audit([steps], monitor, trigger)
    return trigger.levels


@pytest.mark.parametrize("assist", ["on", "shadow"])
def test_the_monitor_of_a_run_repeats_what_its_trigger_did(assist: str) -> None:
    """Also where the assistant acted: the trigger had been told of the driver's action, and so it is again."""
    steps, levels = pendulum(assist)
    assert 10 < sum(levels) < 190
    assert replayed(steps, SafetyQMonitor(speed)) == levels


@pytest.mark.parametrize(("assist", "options"), [("shadow", {}), ("on", {"assess_executed": False})])
def test_the_recorded_risk_repeats_it_where_it_is_the_drivers(assist: str, options: dict[str, bool]) -> None:
    steps, levels = pendulum(assist, **options)
    assert replayed(steps, Recorded()) == levels


def test_helped_steps_on_record_are_counted() -> None:
    steps, levels = pendulum("on")
    assert audit([steps], Recorded(), Never()).numbers()["helped_on_record"] == sum(levels)


def test_the_driver_of_a_demonstration_is_the_person() -> None:
    held = replace(BLANK, action=2 * ONE, policy_action=0 * ONE, authority=Authority.OPERATOR)
    causes = (TakeoverCause.DEMONSTRATION, TakeoverCause.CORRUPTED, TakeoverCause.STUCK)
    driven = as_driven([replace(held, takeover_cause=cause) for cause in causes])
    assert [float(step.action[0]) for step in driven] == [2.0, 2.0, 0.0]


def test_mistakes_are_told() -> None:
    for settings, text in (
        ({"window": -1}, "window is -1, must be at least 0"),
        ({"least_lead": -2}, "least_lead is -2"),
    ):
        with pytest.raises(InvalidValueError, match=text):
            audit([], Recorded(), Never(), **settings)

    class Lazy(Recorded):
        def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
            return super().assess_many(episode)[1:]

    with pytest.raises(InvalidValueError, match="the monitor gave 7 assessments of 8 steps: assess_many answers every"):
        audit([written("........")], Lazy(), Never())
