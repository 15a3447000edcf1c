"""One step's decision: who is asked what, how often, and what of it reaches the record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from handrail.assist import Rejection, Scripted, Threshold
from handrail.core.contracts import single
from handrail.core.errors import InvalidValueError
from handrail.core.limits import Limits
from handrail.core.values import Array, Assessment, Authority, Intent, Observation, Proposal, Step
from handrail.run import Decision, Supervised, Supervisor, run_episode
from handrail.store import Dataset, DatasetWriter, EpisodeMeta, metrics
from handrail.store.segments import segments

HOLD, PUSH, PULL = (np.full(1, value, np.float32) for value in (0.0, 1.0, -1.0))
SEEN: Observation = {"state": np.zeros(2, np.float32)}
DRIVER = single(PUSH, Authority.POLICY)


@dataclass
class Asked:
    """A monitor that remembers what it was asked: the risk is how often so far, the value tells the action."""

    actions: list[float] = field(default_factory=list)

    def reset(self) -> None:
        self.actions.clear()

    def assess(self, observation: Observation, action: Array) -> Assessment:
        self.actions.append(float(action[0]))
        return Assessment(float(len(self.actions)), value=0.5 + 0.5 * float(action[0]))

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return [self.assess(step.observation, step.action) for step in episode]


class Level:
    """A trigger that gives one level."""

    def __init__(self, level: float) -> None:
        self.level = level

    def reset(self) -> None:
        """It has no memory."""

    def update(self, assessment: Assessment) -> float:
        return self.level


def supervisor(level: float = 1.0, **options: object) -> tuple[Supervisor, Asked]:
    monitor = Asked()
    return Supervisor(monitor, Level(level), Scripted(lambda seen: PULL), **options), monitor  # type: ignore[arg-type]


def test_during_assistance_the_executed_action_is_assessed_as_well() -> None:
    watching, monitor = supervisor()
    decision = watching.decide(SEEN, DRIVER, None, HOLD)
    assert monitor.actions == [1.0, -1.0]
    assert (decision.assessment, decision.executed) == (Assessment(1.0, 1.0), Assessment(2.0, 0.0))


def test_a_monitor_may_be_asked_once_a_step() -> None:
    watching, monitor = supervisor(assess_executed=False)
    decision = watching.decide(SEEN, DRIVER, None, HOLD)
    assert monitor.actions == [1.0] and decision.executed is decision.assessment == Assessment(1.0, 1.0)
    assert decision.command.authority is Authority.ASSISTANT and np.array_equal(decision.command.action, PULL)


@pytest.mark.parametrize("assess_executed", [True, False])
@pytest.mark.parametrize(
    ("level", "assist", "intent"), [(0.0, "on", None), (1.0, "shadow", None), (1.0, "on", Intent(HOLD))]
)
def test_without_assistance_it_is_asked_once_anyway(assess_executed, level, assist, intent) -> None:
    watching, monitor = supervisor(level, assist=assist, assess_executed=assess_executed)
    decision = watching.decide(SEEN, DRIVER, intent, HOLD)
    assert monitor.actions == [1.0] and decision.executed is decision.assessment


def test_without_a_monitor_a_trigger_hears_that_all_is_calm() -> None:
    def decided(trigger: Threshold | Level) -> Decision:
        return Supervisor(None, trigger, Scripted(lambda seen: PULL)).decide(SEEN, DRIVER, None, HOLD)

    quiet, helped = decided(Threshold(0.0, 0.0)), decided(Level(1.0))
    assert quiet.level == 0.0 and quiet.command.authority is Authority.POLICY and quiet.assistant is None
    assert helped.command.authority is Authority.ASSISTANT, "a control that never looks at the risk helps all the same"
    assert quiet.executed == helped.executed == Assessment(0.0, 0.0)


def test_a_recovery_with_nothing_to_propose_leaves_the_driver() -> None:
    silent = Supervisor(Asked(), Level(1.0), Scripted(lambda seen: None))
    decision = silent.decide(SEEN, DRIVER, None, HOLD)
    assert decision.level == 1.0 and decision.command.authority is Authority.POLICY and decision.assistant is None


def test_an_action_of_another_width_is_refused_and_not_stretched() -> None:
    three = np.ones(3, np.float32)
    wrong = Supervisor(Asked(), Level(0.5), Scripted(lambda seen: PULL))
    with pytest.raises(
        InvalidValueError, match=r"an action of shape \(1,\), the driver's have \(3,\): give one number"
    ):
        wrong.decide(SEEN, single(three, Authority.POLICY), None, three)


def test_guidance_of_a_driving_operator_has_a_width_of_its_own() -> None:
    guide = Supervisor(Asked(), Level(0.5), Scripted(lambda seen: np.array([2.0, 4.0], np.float32)))
    command = guide.decide(SEEN, single(PUSH, Authority.OPERATOR), None, HOLD).command
    assert np.array_equal(command.action, PUSH) and np.array_equal(command.guidance, [1.0, 2.0])  # type: ignore


class Rising:
    """The risk rises by 0.1 a step while the driver goes on, and is 0 for a robot that stands."""

    def reset(self) -> None:
        self.step = -1

    def assess(self, observation: Observation, action: Array) -> Assessment:
        self.step += bool(action[0])
        risk = 0.1 * (self.step % 5) if action[0] else 0.0
        return Assessment(risk, 1.0 - risk)

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return [self.assess(step.observation, step.action) for step in episode]


class Pushes:
    def reset(self) -> None:
        """It has no memory."""

    def act(self, observation: Observation) -> Proposal:
        return DRIVER


def pendulum(watching: Supervisor, steps: int = 20) -> list[Step]:
    env = gym.make("Pendulum-v1", max_episode_steps=steps)
    return run_episode(Supervised(env, watching, limits=Limits(2 * PULL, 2 * PUSH)), Pushes(), seed=0)


def on_disk(steps: Sequence[Step], root: Path) -> list[Step]:
    with DatasetWriter(root, 30, images="none") as writer:
        for step in steps:
            writer.add(step)
        writer.commit(EpisodeMeta("Pendulum"))
    return Dataset(root).episode(0).steps()


@pytest.mark.parametrize("source", [lambda steps, root: steps, on_disk], ids=["in memory", "on disk"])
def test_the_reason_for_assistance_is_on_record(source: Callable[..., list[Step]], tmp_path: Path) -> None:
    """Risk of the driver is 0, .1, .2, .3, .4 over and over: above 0.25 in the last two of five steps."""
    watching = Supervisor(Rising(), Threshold(0.25, 0.25), Rejection(lambda seen: HOLD))
    steps = source(pendulum(watching), tmp_path / "set")
    helped = [i % 5 >= 3 for i in range(20)]
    assert [step.authority is Authority.ASSISTANT for step in steps] == helped
    assert [step.assist_level for step in steps] == [float(h) for h in helped]
    for i, (step, help_given) in enumerate(zip(steps, helped, strict=True)):
        assert np.array_equal(step.policy_action, PUSH)
        assert np.array_equal(step.action, HOLD if help_given else PUSH)
        if help_given:
            assert step.assistant_action is not None and np.array_equal(step.assistant_action, HOLD)
            assert (step.risk, step.value) == (0.0, 1.0), "of the executed action"
        else:
            assert step.assistant_action is None and step.risk == pytest.approx(0.1 * (i % 5))
    assert metrics.assistant_rate(steps) == 0.4 and metrics.intervention_rate(steps) == 0.0
    assert metrics.episode_summary(steps, 30)["assistant_steps"] == 8
    bursts = [part for part in segments(steps) if part.authority is Authority.ASSISTANT]
    assert [(part.start, len(part)) for part in bursts] == [(3, 2), (8, 2), (13, 2), (18, 2)]


def test_asked_once_a_step_the_record_holds_the_drivers_risk() -> None:
    options = {"recovery": Rejection(lambda seen: HOLD), "assess_executed": False}
    steps = pendulum(Supervisor(Rising(), Threshold(0.25, 0.25), **options))  # type: ignore[arg-type]
    assert [step.risk for step in steps] == pytest.approx([0.1 * (i % 5) for i in range(20)])
    assert [step.authority is Authority.ASSISTANT for step in steps] == [i % 5 >= 3 for i in range(20)]
