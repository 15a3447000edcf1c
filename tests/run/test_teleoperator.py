"""An operator at two leader arms: rates, reproduction, and guidance that moves a hand and never a command."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from handrail.assist.guidance import Guidance
from handrail.core import Command, Operator
from handrail.core.values import Authority, StepView, TakeoverCause
from handrail.run.teleoperator import Teleoperator
from handrail.tasks.bimanual.transfer_cube import TransferCube

Decide = Callable[[Teleoperator, np.ndarray], None]


@pytest.fixture(scope="module")
def env() -> TransferCube:
    return TransferCube(horizon=1200)


def drive(env: TransferCube, operator: Teleoperator, steps: int, decide: Decide | None = None) -> np.ndarray:
    """Actions (T, 14) of the first `steps` steps."""
    observation, _ = env.reset(seed=3)
    operator.reset(1, episode=0)
    actions = []
    for step in range(steps):
        action = operator.intent(StepView(observation, None, step / env.fps)).action
        assert action is not None
        if decide is not None:
            decide(operator, action)
        observation, *_ = env.step(action)
        actions.append(action)
    return np.array(actions)


def toward(offset: float, level: float) -> Decide:
    return lambda operator, action: operator.guide(action + offset, level)


def test_it_is_an_operator_who_drives(env: TransferCube) -> None:
    operator = Teleoperator(env)
    assert isinstance(operator, Operator)
    observation, _ = env.reset(seed=0)
    operator.reset(0)
    intent = operator.intent(StepView(observation, None, 0.0))
    assert intent.cause is TakeoverCause.DEMONSTRATION
    assert intent.action is not None
    assert intent.action.dtype == np.float32
    np.testing.assert_allclose(intent.action, observation["state"][:14], atol=0.03)  # it begins where the follower is


def test_every_loop_keeps_its_rate(env: TransferCube) -> None:
    operator = Teleoperator(env, assistance=Guidance())
    drive(env, operator, 100)
    assert operator.scheduler is not None
    counts = {name: count.calls for name, count in operator.scheduler.counts.items()}
    replans = int(2.0 * operator.person.traits.replan_hz) + 1
    assert counts == {"feel": 100, "look": 20, "plan": replans, "hold": 1000, "device": 1000, "physics": 1000}
    assert all(count.missed == 0 for count in operator.scheduler.counts.values())
    assert operator.clock.now_ns() == 2_000_000_000


def test_two_runs_are_the_same_to_the_bit(env: TransferCube) -> None:
    runs = [drive(env, Teleoperator(env, assistance=Guidance()), 120, toward(0.05, 0.5)) for _ in range(2)]
    assert np.array_equal(runs[0], runs[1])


def test_guidance_at_level_zero_is_nobody(env: TransferCube) -> None:
    alone = drive(env, Teleoperator(env), 80)
    assert np.array_equal(drive(env, Teleoperator(env, assistance=Guidance()), 80), alone)
    assert np.array_equal(drive(env, Teleoperator(env, assistance=Guidance()), 80, toward(0.2, 0.0)), alone)


def test_guidance_moves_the_hand_and_the_command_is_where_the_hand_is(env: TransferCube) -> None:
    guidance = Guidance()
    operator = Teleoperator(env, assistance=guidance)
    alone = drive(env, Teleoperator(env), 15)
    guided = drive(env, operator, 15, lambda who, _: who.guide(env.home + 0.3, 1.0))
    shift = guided - alone
    assert shift[0] == pytest.approx(0.0)  # the decision comes after the first command
    assert np.abs(shift[1]).max() < 0.05  # a force does not jump
    assert shift[-1, [0, 7]].min() > 0.005
    assert np.abs(shift).max() < 0.6
    np.testing.assert_array_equal(guided[-1], operator.leaders.read()[0].astype(np.float32))
    assert 0.0 < guidance.mean_share <= 1.0


def test_guidance_that_is_not_renewed_ends(env: TransferCube) -> None:
    guidance = Guidance()
    operator, felt = Teleoperator(env, assistance=guidance), []

    def once(who: Teleoperator, action: np.ndarray) -> None:
        felt.append(float(np.abs(guidance.last).max()))
        if len(felt) == 5:
            who.guide(action + 0.1, 1.0)

    drive(env, operator, 20, once)
    assert felt[:5] == [0.0] * 5
    assert min(felt[5:10]) > 0.1  # held for 0.1 s
    assert felt[11:] == [0.0] * 9


def test_guidance_of_the_last_command_is_felt(env: TransferCube) -> None:
    guidance = Guidance()
    operator = Teleoperator(env, assistance=guidance)
    observation, _ = env.reset(seed=3)
    operator.reset(1, episode=0)
    last = Command(env.home, Authority.OPERATOR, 0.5, 0.5 * (env.home + 0.2))
    operator.intent(StepView(observation, last, 0.0))
    guide = operator.loop.guide.get()
    assert guide is not None
    assert guide.level == 0.5
    np.testing.assert_allclose(guide.desired, env.home + 0.2)
    assert guidance.last.any()


@pytest.mark.parametrize("authority", [Authority.OPERATOR, Authority.STOP])
def test_a_command_without_guidance_lets_go_at_once(env: TransferCube, authority: Authority) -> None:
    guidance = Guidance()
    operator = Teleoperator(env, assistance=guidance)
    observation, _ = env.reset(seed=3)
    operator.reset(1, episode=0)
    operator.intent(StepView(observation, Command(env.home, Authority.OPERATOR, 1.0, env.home + 0.2), 0.0))
    assert guidance.last.any()
    operator.intent(StepView(observation, Command(env.home, authority), 0.02))
    assert not guidance.last.any()


def test_an_expert_hands_the_cube_over(env: TransferCube) -> None:
    operator = Teleoperator(env, "expert")
    observation, _ = env.reset(seed=1)
    operator.reset(2)
    done, success, step = False, False, 0
    while not done:
        action = operator.intent(StepView(observation, None, step / env.fps)).action
        assert action is not None
        observation, _, terminated, truncated, info = env.step(action)
        done, success, step = terminated or truncated, info["success"], step + 1
    assert success, env.failure_kind()
