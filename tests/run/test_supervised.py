"""`Supervised` on real environments: what is executed, what is told, who wins, what ends an episode."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest

from handrail.core.clock import SimulatedClock
from handrail.core.errors import InvalidValueError, NonFiniteError, UnknownNameError
from handrail.core.limits import Limits
from handrail.core.values import (
    Array,
    Assessment,
    Authority,
    Event,
    Intent,
    Observation,
    Proposal,
    StepView,
    TakeoverCause,
)
from handrail.run import Supervised, Supervisor, episode, run_episode

ZERO, HALF, ONE = (np.full(1, value, np.float32) for value in (0.0, 0.5, 1.0))


class Scripted:
    """An operator who does what a function of the step index says."""

    def __init__(self, script: Callable[[int], Intent | None]) -> None:
        self.script = script

    def reset(self, draw: int) -> None:
        self.draw, self.index = draw, -1

    def intent(self, view: StepView) -> Intent | None:
        self.index += 1
        return self.script(self.index)


class Level:
    """Monitor and trigger in one: the risk is what a function of the step says, the level is the risk."""

    def __init__(self, risk: Callable[[int], float]) -> None:
        self.risk = risk

    def reset(self) -> None:
        self.index = -1

    def assess(self, observation: Observation, action: Array) -> Assessment:
        self.index += 1
        return Assessment(self.risk(self.index), 0.5)

    def assess_many(self, episode: object) -> list[Assessment]:
        return []

    def update(self, assessment: Assessment) -> float:
        return assessment.risk


class Backwards:
    """A recovery that proposes chunks of three: -1, -2/3, -1/3."""

    def __init__(self) -> None:
        self.asked = 0

    def reset(self) -> None:
        self.asked = 0

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal:
        self.asked += 1
        return Proposal(-np.array([[1.0], [2 / 3], [1 / 3]], np.float32), Authority.ASSISTANT)


class Constant:
    def reset(self) -> None:
        """Nothing to reset."""

    def act(self, observation: Observation) -> Proposal:
        return Proposal(HALF[None], Authority.POLICY)


def pendulum(**options: object) -> Supervised:
    return Supervised(gym.make("Pendulum-v1"), limits=Limits(-2 * ONE, 2 * ONE), **options)  # type: ignore[arg-type]


def assisted(risk: Callable[[int], float], assist: str = "on", **options: object) -> Supervised:
    level = Level(risk)
    return pendulum(supervisor=Supervisor(level, level, Backwards(), assist=assist), **options)  # type: ignore[arg-type]


def roll(env: Supervised, steps: int, seed: int = 0) -> list[dict[str, object]]:
    env.reset(seed=seed, options={"operator_draw": 3})
    return [env.step(HALF)[4] for _ in range(steps)]


def test_nobody_objects() -> None:
    info = roll(pendulum(), 3)[-1]
    assert info["authority"] == Authority.POLICY and not info["is_intervention"]
    assert np.array_equal(info["executed_action"], HALF)
    assert "intervene_action" not in info and "teleop_action" not in info


def test_operator_is_executed_and_told_under_every_name() -> None:
    env = pendulum(operator=Scripted(lambda i: Intent(ONE, cause=TakeoverCause.STUCK) if 2 <= i < 5 else None))
    infos = roll(env, 7)
    assert [info["is_intervention"] for info in infos] == [False, False, True, True, True, False, False]
    for name in ("executed_action", "intervene_action", "teleop_action"):
        assert np.array_equal(infos[3][name], ONE)
    assert env.operator.draw == 3  # type: ignore[union-attr]


def test_every_operator_step_is_an_operator_step_in_the_record() -> None:
    env = pendulum(operator=Scripted(lambda i: Intent(ONE, cause=TakeoverCause.STUCK) if i % 5 == 2 else None))
    steps = run_episode(env, Constant(), seed=0)
    held = [step.intervention for step in steps]
    assert held == [i % 5 == 2 for i in range(200)]
    assert all(np.array_equal(step.action, ONE if step.intervention else HALF) for step in steps)
    assert all(np.array_equal(step.policy_action, HALF) for step in steps)
    assert all((step.takeover_cause is TakeoverCause.STUCK) == step.intervention for step in steps)
    assert steps[-1].truncated and not steps[-1].terminated


def test_stop_holds_is_latched_and_truncates() -> None:
    env = pendulum(operator=Scripted(lambda i: Intent(ONE, event=Event.STOP if i == 1 else None)))
    env.reset(seed=0)
    env.step(HALF)
    for _ in range(2):  # the second step has no stop event any more
        _, _, terminated, truncated, info = env.step(HALF)
        assert truncated and not terminated
        assert info["authority"] == Authority.STOP and np.array_equal(info["executed_action"], ZERO)


@pytest.mark.parametrize(
    ("event", "terminated", "truncated", "reward", "success"),
    [
        (Event.SUCCESS, True, False, 1.0, True),
        (Event.FAILURE, True, False, 0.0, False),
        (Event.TERMINATE, False, True, None, False),
        (Event.RERECORD, False, True, None, False),
    ],
)
def test_what_the_operator_says_ends_the_episode(event, terminated, truncated, reward, success) -> None:
    env = pendulum(operator=Scripted(lambda i: Intent(event=event)))
    env.reset(seed=0)
    _, got, ended, cut, info = env.step(HALF)
    assert (ended, cut, info["success"]) == (terminated, truncated, success)
    assert got == reward or (reward is None and got < 0)
    assert info["operator_event"] == event.name.lower()


def test_assistant_follows_its_chunk_and_drops_the_rest() -> None:
    env = assisted(lambda i: 1.0 if i in (1, 2, 6) else 0.0)
    env.reset(seed=0)
    executed = []
    for _ in range(6):
        executed.append(float(env.step(HALF)[4]["executed_action"][0]))
    # step 2 assesses the executed action too, so the script's index runs ahead by one a helped step
    assert executed[:3] == pytest.approx([0.5, -1.0, 0.5])
    assert env.last_step is not None


def test_level_between_zero_and_one_blends() -> None:
    info = roll(assisted(lambda i: 0.25), 1)[0]
    assert info["executed_action"] == pytest.approx(0.75 * HALF - 0.25 * ONE)
    assert info["authority"] == Authority.ASSISTANT and info["assist_level"] == 0.25


def test_assistant_is_told_as_intervention_only_if_asked() -> None:
    assert "intervene_action" not in roll(assisted(lambda i: 1.0), 1)[0]
    info = roll(assisted(lambda i: 1.0, assistant_as="intervention"), 1)[0]
    assert info["is_intervention"] and np.array_equal(info["intervene_action"], -ONE)
    assert info["authority"] == Authority.ASSISTANT


def test_shadow_logs_and_never_acts() -> None:
    env = assisted(lambda i: 1.0, assist="shadow")
    info = roll(env, 1)[0]
    assert np.array_equal(info["executed_action"], HALF) and info["authority"] == Authority.POLICY
    assert info["assist_level"] == 1.0 and info["risk"] == 1.0
    assert env.last_step is not None and np.array_equal(env.last_step.assistant_action, -ONE)


def test_a_shadow_s_chunk_does_not_outlive_its_burst() -> None:
    env = assisted(lambda i: float(i != 1), assist="shadow")
    env.reset(seed=0)
    proposed = []
    for _ in range(3):
        env.step(HALF)
        assert env.last_step is not None
        proposed.append(env.last_step.assistant_action)
    assert np.array_equal(proposed[0], -ONE) and proposed[1] is None and np.array_equal(proposed[2], -ONE)


def test_off_does_not_even_assess() -> None:
    info = roll(assisted(lambda i: 1.0, assist="off"), 1)[0]
    assert info["risk"] == info["assist_level"] == 0.0 and np.array_equal(info["executed_action"], HALF)


def test_operator_beats_the_assistant() -> None:
    level = Level(lambda i: 1.0)
    operator = Scripted(lambda i: Intent(ONE))
    info = roll(pendulum(supervisor=Supervisor(level, level, Backwards()), operator=operator), 1)[0]
    assert info["authority"] == Authority.OPERATOR and np.array_equal(info["executed_action"], ONE)


def test_authority_ramps() -> None:
    level = Level(lambda i: 1.0)
    env = pendulum(supervisor=Supervisor(level, level, Backwards(), ramp_steps=4))
    assert [info["assist_level"] for info in roll(env, 6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_clipped_steps_are_counted() -> None:
    env = pendulum()
    env.reset(seed=0)
    env.step(5 * ONE)
    env.step(HALF)
    assert env.clipped_steps == 1 and env.last_step is not None and not env.last_step.clipped


def test_a_policy_chunk_is_discarded_when_the_operator_takes_over() -> None:
    class Counting(Constant):
        asked = 0

        def act(self, observation: Observation) -> Proposal:
            self.asked += 1
            return Proposal(np.repeat(HALF[None], 10, 0), Authority.POLICY)

    policy = Counting()
    env = pendulum(operator=Scripted(lambda i: Intent(ONE) if i == 4 else None))
    list(zip(range(12), episode(env, policy, seed=0), strict=False))
    assert policy.asked == 2  # steps 0..4, then anew from 5


def test_nan_is_refused_wherever_it_comes_from() -> None:
    env = pendulum()
    env.reset(seed=0)
    with pytest.raises(NonFiniteError, match="action of POLICY holds nan at index \\[0\\]"):
        env.step(np.array([np.nan], np.float32))

    class Broken(gym.ObservationWrapper):
        def observation(self, observation):
            return observation * np.nan

    broken = Supervised(Broken(gym.make("Pendulum-v1")))
    with pytest.raises(NonFiniteError, match="observation 'state' holds NaN"):
        broken.reset(seed=0)
        broken.step(HALF)


def test_a_late_step_holds_and_truncates() -> None:
    clock = SimulatedClock()
    env = pendulum(clock=clock, fps=10, stale_after_s=0.5)
    env.reset(seed=0)
    assert not env.step(HALF)[3]
    clock.sleep_until_ns(clock.now_ns() + 600_000_000)
    _, _, _, truncated, info = env.step(HALF)
    assert truncated and info["authority"] == Authority.STOP


def test_settings_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="Supervised needs a Box"):
        Supervised(gym.make("CartPole-v1"))
    with pytest.raises(UnknownNameError, match="unknown assist mode 'shadwo': did you mean shadow"):
        Supervisor(assist="shadwo")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown assistant_as"):
        pendulum(assistant_as="policies")


def test_where_the_operator_drives_help_is_felt_and_never_edits_their_command() -> None:
    level = Level(lambda i: 0.5)
    views: list[StepView] = []

    class Feeling(Scripted):
        def intent(self, view: StepView) -> Intent | None:
            views.append(view)
            return super().intent(view)

    drives = Feeling(lambda i: Intent(ONE, cause=TakeoverCause.DEMONSTRATION))
    env = pendulum(supervisor=Supervisor(level, level, Backwards()), operator=drives, driven_by="operator")
    infos = roll(env, 3)
    assert all(np.array_equal(info["executed_action"], ONE) for info in infos)
    assert [info["authority"] for info in infos] == [Authority.OPERATOR] * 3
    felt = views[1].last_command
    assert felt is not None and felt.level == 0.5 and felt.guidance is not None
    np.testing.assert_allclose(felt.guidance, -0.5 * ONE)  # the recovery's first proposal, times the level
    step = env.last_step
    assert step is not None and np.array_equal(step.policy_action, ONE) and not step.intervention


def test_hands_off_leaves_the_robot_to_the_policy_even_where_the_operator_drives() -> None:
    """Guidance is for a hand: with full help at hand, nothing but the policy's own action is executed."""
    level = Level(lambda i: 1.0)
    for assist in (Supervisor(), Supervisor(level, level, Backwards())):
        drives = Scripted(lambda i: Intent(ONE) if i == 0 else None)
        env = pendulum(supervisor=assist, operator=drives, driven_by="operator")
        infos = roll(env, 2)
        assert [info["authority"] for info in infos] == [Authority.OPERATOR, Authority.POLICY]
        assert np.array_equal(infos[1]["executed_action"], HALF)
    with pytest.raises(UnknownNameError, match="unknown driven_by 'person'"):
        pendulum(driven_by="person")
