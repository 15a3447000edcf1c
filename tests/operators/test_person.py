"""The person in the real tasks: somebody, the same somebody, and good enough."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from handrail.core.errors import InvalidValueError, UnknownNameError
from handrail.core.values import Intent, StepView, TakeoverCause
from handrail.operators import Person
from handrail.operators.person import Search, Sight
from handrail.operators.traits import draw_traits
from handrail.tasks import make
from handrail.tasks.hil.experts import expert_for


@pytest.fixture(scope="module", params=["PickCube", "TubeInsertion"])
def task(request: pytest.FixtureRequest) -> Iterator[object]:
    env = make(request.param)
    yield env
    env.close()


@pytest.fixture(scope="module")
def tube() -> Iterator[object]:
    env = make("TubeInsertion")
    yield env
    env.close()


def drive(env, person: Person, seed: int, steps: int = 100, draw: int | None = None, episode: int | None = 0):
    """One episode; returns success and every intent."""
    observation, _ = env.reset(seed=seed)
    person.reset(seed if draw is None else draw, episode)
    intents: list[Intent | None] = []
    info = {"success": False}
    for step in range(steps):
        intent = person.intent(StepView(observation, None, step / env.fps))
        intents.append(intent)
        action = env.hold(observation) if intent is None else intent.action
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            break
    return info["success"], intents


def test_an_expert_alone_succeeds(task) -> None:
    person = Person(task, expert_for(task), "expert", drives=True)
    outcomes = [drive(task, person, seed) for seed in range(4)]
    assert all(success for success, _ in outcomes)
    causes = {intent.cause for _, intents in outcomes for intent in intents if intent is not None}
    assert causes == {TakeoverCause.DEMONSTRATION}


def test_actions_are_legal_and_the_gripper_does_not_chatter(task) -> None:
    person = Person(task, expert_for(task), "expert", drives=True)
    changes = []
    for seed in range(3):
        _, intents = drive(task, person, seed)
        actions = np.array([intent.action for intent in intents])
        assert actions.dtype == np.float32 and actions.shape[1:] == task.action_space.shape
        assert np.all(np.abs(actions) <= 1.0)
        changes.append(np.count_nonzero(np.diff(actions[:, -1])))
    assert np.median(changes) <= 3  # open, close; a lapse may confuse the gripper with an axis


def test_the_same_draw_and_episode_is_the_same_to_the_bit(tube) -> None:
    runs = []
    for _ in range(2):
        person = Person(tube, expert_for(tube), "novice", drives=True)
        runs.append(np.array([i.action for i in drive(tube, person, 1, 30)[1]]))
    np.testing.assert_array_equal(runs[0], runs[1])


def test_successive_episodes_differ_and_are_counted_per_draw(tube) -> None:
    person = Person(tube, expert_for(tube), "ordinary", drives=True)
    first = np.array([i.action for i in drive(tube, person, 1, 10, draw=5, episode=None)[1]])
    traits = person.traits
    drive(tube, person, 1, 2, draw=6, episode=None)
    second = np.array([i.action for i in drive(tube, person, 1, 10, draw=5, episode=None)[1]])
    again = np.array([i.action for i in drive(tube, person, 1, 10, draw=5, episode=1)[1]])
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, again)
    np.testing.assert_array_equal(person.traits.bias_m, traits.bias_m)
    assert person.episodes == {5: 2, 6: 1}


def test_hands_off_until_stuck_then_stuck(tube) -> None:
    person = Person(tube, expert_for(tube))
    _, intents = drive(tube, person, 2)
    causes = [TakeoverCause.NONE if intent is None else intent.cause for intent in intents]
    assert causes[: round(person.traits.patience_s / 0.1)] == [TakeoverCause.NONE] * round(
        person.traits.patience_s / 0.1
    )
    assert set(causes) <= {TakeoverCause.NONE, TakeoverCause.STUCK}
    assert TakeoverCause.STUCK in causes


def test_watching_and_driving_disturb_no_physics(tube) -> None:
    """Looking at the truth changes nothing: with hands off, the episode is as without anybody."""
    person = Person(tube, expert_for(tube), patience_scale=1e6)
    states = []
    for watched in (False, True):
        observation, _ = tube.reset(seed=4)
        person.reset(4, 0)
        for step in range(15):
            if watched:
                assert person.intent(StepView(observation, None, step / 10)) is None
            observation, *_ = tube.step(np.full(5, 0.1, np.float32))
        states.append(observation["state"])
    np.testing.assert_array_equal(states[0], states[1])


def test_the_bias_shrinks_with_the_distance_down_to_a_floor() -> None:
    traits = draw_traits(3, "ordinary")
    mean = lambda d: np.mean([Sight(traits, np.random.default_rng(s)).bias(d)[0] for s in range(400)], axis=0)  # noqa: E731
    np.testing.assert_allclose(mean(0.5), traits.bias_m, atol=3e-4)
    np.testing.assert_allclose(mean(0.05), 0.5 * traits.bias_m, atol=2e-4)
    np.testing.assert_allclose(mean(0.0), 0.05 * traits.bias_m, atol=2e-5)


def test_the_search_waits_grows_and_ends_with_progress() -> None:
    search = Search(np.random.default_rng(0))
    radii = [np.linalg.norm(search.offset(True, 0.5)) for _ in range(20)]
    assert radii[:3] == [0.0, 0.0, 0.0]
    assert 0.0 < radii[10] < radii[15] <= 0.002
    assert np.linalg.norm(search.offset(True, 0.6)) == 0.0
    assert np.linalg.norm(search.offset(False, 0.6)) == 0.0


@pytest.mark.parametrize("name", ["patience_scale", "reaction_scale"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_bad_scales_are_refused(tube, name: str, value: float) -> None:
    with pytest.raises(InvalidValueError, match=f"{name} is {value}, must be > 0"):
        Person(tube, expert_for(tube), **{name: value})


def test_unknown_tier_is_refused(tube) -> None:
    with pytest.raises(UnknownNameError, match="unknown tier 'export': did you mean expert"):
        Person(tube, expert_for(tube), "export")
