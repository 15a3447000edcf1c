"""The look-ahead: C_H worked out by hand, on real tasks what then came true, and an episode that never noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from handrail.assist import LookAhead, Rejection, Threshold
from handrail.core.contracts import Monitor
from handrail.core.errors import HandrailError, InvalidValueError
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal, Step
from handrail.run import Supervised, Supervisor, run_episode
from handrail.tasks import make

RIGHT, STAY = np.ones(1, np.float32), np.zeros(1, np.float32)


class Cliff(gym.Env[Array, Array]):
    """Walk along a line; costs 1 wherever x > 3. Ends at x <= -3, or after `horizon` steps. `wind` makes it random."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, wind: float = 0.0, horizon: int = 50) -> None:
        self.wind, self.horizon, self.stepped = wind, horizon, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.steps = 0.0, 0
        return np.array([self.x]), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self.stepped += 1
        self.steps += 1
        self.x += float(action[0]) + self.wind * float(self.np_random.normal())
        return np.array([self.x]), 0.0, self.x <= -3.0, self.steps >= self.horizon, {"cost": int(self.x > 3.0)}

    def snapshot(self) -> tuple[float, int, Any]:
        return self.x, self.steps, self.np_random.bit_generator.state

    def restore(self, snapshot: tuple[float, int, Any]) -> None:
        self.x, self.steps, self.np_random.bit_generator.state = snapshot


class Does:
    """A policy without memory: a function of the observation, as a chunk of `repeat`."""

    def __init__(self, act: Callable[[Observation], Array], repeat: int = 1) -> None:
        self.act_on, self.repeat, self.asked = act, repeat, 0

    def reset(self) -> None:
        """It has no memory."""

    def act(self, observation: Observation) -> Proposal:
        self.asked += 1
        return Proposal(np.repeat(self.act_on(observation)[None], self.repeat, 0), Authority.POLICY)


GOES_RIGHT = Does(lambda seen: RIGHT)


def cliff(x: float = 0.0, **options: Any) -> Cliff:
    env = Cliff(**options)
    env.reset(seed=0)
    env.x = x
    return env


def assess(env: Cliff, horizon: int, gamma: float = 0.9, action: Array = RIGHT, **options: Any) -> Assessment:
    return LookAhead(env, GOES_RIGHT, horizon, gamma, **options).assess({}, action)


@pytest.mark.parametrize(
    ("x", "horizon", "action", "powers", "lead"),
    [
        (0.0, 2, RIGHT, [], -1),  # x is 1, 2, 3
        (0.0, 3, RIGHT, [3], 3),  # and then 4
        (0.0, 5, RIGHT, [3, 4, 5], 3),
        (0.0, 5, STAY, [4, 5], 4),  # the assessed action comes first, then the policy
        (3.0, 0, RIGHT, [0], 0),  # the action alone
        (3.0, 0, STAY, [], -1),
        (-2.0, 50, -RIGHT, [], -1),  # ends the episode: nothing comes after
    ],
)
def test_risk_is_the_discounted_sum_of_costs(x, horizon, action, powers, lead) -> None:
    found = assess(cliff(x), horizon, action=action)
    assert found.risk == pytest.approx(sum(0.9**power for power in powers), abs=1e-12)
    assert found.value == max(0.0, 1.0 - found.risk) and found.parts == {"lead_steps": lead}


def test_no_discount_counts_the_violations() -> None:
    assert assess(cliff(3.0), 9, gamma=1.0).risk == 10.0


def test_time_that_runs_out_ends_the_look_ahead() -> None:
    env = cliff(horizon=5)
    env.steps = 1  # four are left: x is 1, 2, 3, 4
    assert assess(env, 20, gamma=1.0).risk == 1.0 and env.stepped == 4 and env.steps == 1


def test_stopping_at_the_first_violation_is_a_lower_bound() -> None:
    env = cliff()
    assert assess(env, 20, stop_at_first=True).risk == pytest.approx(0.9**3) and env.stepped == 4
    assert assess(cliff(), 20).risk > 0.9**3
    assert assess(cliff(), 2, stop_at_first=True).risk == 0.0


def test_a_clear_look_ahead_stands_for_as_many_steps_as_are_trusted() -> None:
    env = cliff(-1.0)
    watcher = LookAhead(env, GOES_RIGHT, 2, 1.0, stop_at_first=True, trust=2)
    risks, looked = [], []
    for _ in range(4):  # x is -1, 0, 1, 2 before the steps
        before = env.stepped
        risks.append(watcher.assess({}, RIGHT).risk)
        looked.append(env.stepped - before)
        env.step(RIGHT)
    assert looked == [4, 0, 3, 2]  # at -1: 0, 1, 2, 3; at 0 that stands; at 1: 2, 3, and 4, a violation; at 2: 3, 4
    assert risks == [0.0, 0.0, 1.0, 1.0]
    watcher.reset()
    env.x = -1.0
    assert watcher.assess({}, RIGHT).risk == 0.0
    watcher.reset()  # a new episode is looked at afresh
    env.x = 3.0
    assert watcher.assess({}, RIGHT).risk == 1.0
    with pytest.raises(InvalidValueError, match="trust is 0, must be at least 1"):
        LookAhead(env, GOES_RIGHT, 2, 1.0, trust=0)


def test_chunks_are_carried_out() -> None:
    policy, env = Does(lambda seen: RIGHT if seen["state"][0] < 1.5 else -RIGHT, repeat=3), cliff()  # type: ignore
    found = LookAhead(env, policy, 4, 1.0).assess({}, RIGHT)
    # x is 1, then a chunk of three to the right (2, 3, 4), then the policy turns back (3)
    assert found.risk == 1.0 and found.parts["lead_steps"] == 3 and policy.asked == 2


def test_afterwards_everything_is_where_it_was() -> None:
    env = cliff(2.5, wind=0.5)
    before = env.snapshot()
    assess(env, 20)
    assert env.snapshot() == before

    def fall(seen: Observation) -> Array:
        raise HandrailError("the policy broke")

    with pytest.raises(HandrailError, match="the policy broke"):
        LookAhead(env, Does(fall), 3, 0.9).assess({}, RIGHT)
    assert env.snapshot() == before, "also when the look-ahead breaks off"


def alone(env: gym.Env, policy: Does, monitor: LookAhead | None, seed: int) -> tuple[list[Step], Supervised]:
    """An episode that the monitor watches in shadow mode."""
    supervised = Supervised(env, Supervisor(monitor, assist="shadow"))
    return run_episode(supervised, policy, seed=seed), supervised


def same(one: Sequence[Step], other: Sequence[Step]) -> bool:
    """Whether two episodes are equal to the bit."""

    def essence(step: Step) -> list[Any]:
        seen = [value.tobytes() for o in (step.observation, step.next_observation) for value in o.values()]  # type: ignore
        return [*seen, step.action.tobytes(), step.reward, step.cost, step.terminated, step.truncated, step.success]

    return len(one) == len(other) and all(essence(a) == essence(b) for a, b in zip(one, other, strict=True))


def wander(action_dim: int) -> Does:
    """Acts at random, the same for the same observation."""

    def act(seen: Observation) -> Array:
        rng = np.random.default_rng(np.frombuffer(np.asarray(seen["state"], np.float32).tobytes(), np.uint32))
        return rng.uniform(-1.0, 1.0, action_dim).astype(np.float32)

    return Does(act)


def drag(seen: Observation) -> Array:
    """Grip the puck and drag it to the right, over the line and on."""
    state = np.asarray(seen["state"])
    over, height = state[4:6] - state[:2], state[2]
    if np.linalg.norm(over) > 0.05:
        return np.clip([*(25 * over), 10 * (0.2 - height), -1.0], -1.0, 1.0).astype(np.float32)
    if height > 0.06:
        return np.clip([*(10 * over), -1.0, -1.0], -1.0, 1.0).astype(np.float32)
    return np.array([0.5 * (state[3] < 0.6), 0.0, 0.0, 1.0], np.float32)


@pytest.mark.parametrize(
    ("build", "policy"),
    [
        (lambda: Cliff(wind=0.7, horizon=40), wander(1)),
        (lambda: make("TubeInsertion", horizon=4), wander(5)),
        (lambda: make("BoundedPush", horizon=105), Does(drag)),
        (lambda: make("ObstructedPush", horizon=30), wander(4)),
    ],
    ids=["cliff", "TubeInsertion", "BoundedPush", "ObstructedPush"],
)
def test_the_episode_never_notices(build: Callable[[], Any], policy: Does) -> None:
    """Watched or not, it is the same to the bit, and so is the generator; and what was foreseen came true."""
    env, other = build(), build()
    monitor = LookAhead(env, policy, 3, 0.9)
    watched, _ = alone(env, policy, monitor, seed=3)
    unwatched, _ = alone(other, policy, None, seed=3)
    assert same(watched, unwatched)
    assert env.np_random.bit_generator.state == other.np_random.bit_generator.state
    assert [step.risk for step in watched] == [a.risk for a in monitor.assess_many(watched)]


def test_hindsight_is_the_costs_that_followed() -> None:
    env = Cliff(horizon=9)
    steps, _ = alone(env, GOES_RIGHT, None, 0)  # x is 1 .. 9: violated from the fourth step on
    risks = [a.risk for a in LookAhead(env, GOES_RIGHT, 2, 1.0).assess_many(steps)]
    assert risks == [0, 1, 2, 3, 3, 3, 3, 2, 1], "the episode's end cuts the last ones"
    assert [a.risk for a in LookAhead(env, GOES_RIGHT, 2, 1.0, stop_at_first=True).assess_many(steps)] == [0] + [1] * 8


def test_what_it_foresees_can_be_prevented() -> None:
    """A driver pushes the puck over the line; with the oracle, and nobody but a robot that stands still, it stays."""
    env, policy = make("BoundedPush", horizon=105), Does(drag)
    fell, _ = alone(env, policy, None, 0)
    assert sum(step.cost for step in fell) > 5
    oracle = LookAhead(env, policy, 8, 0.9, stop_at_first=True)
    supervisor = Supervisor(oracle, Threshold(0.0, 0.0), Rejection(env.hold), assess_executed=False)
    held = run_episode(Supervised(env, supervisor), policy, seed=0)
    assert sum(step.cost for step in held) == 0.0
    first = next(i for i, step in enumerate(fell) if step.cost)
    began = next(i for i, step in enumerate(held) if step.authority is Authority.ASSISTANT)
    assert began == first - 8 and same(fell[:began], held[:began])


def test_it_is_a_monitor_and_checks_its_settings() -> None:
    assert isinstance(LookAhead(Cliff(), GOES_RIGHT, 0, 1.0), Monitor)
    for horizon, gamma, text in (
        (-1, 0.9, "horizon is -1, must be at least 0: it counts steps after the action"),
        (5, 0.0, "gamma_risk is 0.0, must be in (0, 1]: it is a discount"),
        (5, 1.1, "gamma_risk is 1.1, must be in (0, 1]: it is a discount"),
    ):
        with pytest.raises(InvalidValueError) as error:
            LookAhead(Cliff(), GOES_RIGHT, horizon, gamma)
        assert str(error.value) == text


def test_a_task_that_tells_no_cost_is_refused() -> None:
    class Silent(Cliff):
        def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
            return *super().step(action)[:4], {}

    env = Silent()
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="info has no 'cost', a look-ahead needs it: use a task that tells"):
        LookAhead(env, GOES_RIGHT, 3, 0.9).assess({}, RIGHT)
