"""A failure and the same episode without one, found and filmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handrail.assist import Threshold
from handrail.assist.recovery import Scripted
from handrail.core.values import Array, Assessment, Authority, Observation, Step
from handrail.run import Supervised, Supervisor
from handrail.run.prevented import Pair
from handrail.store import Dataset
from handrail.store.safety_metrics import failed
from handrail.systems.farl_data import BadDriver, retreat_of
from handrail.tasks.failurebench.bounded_push import BoundedPush


class NearALine:
    """Risk grows as the puck comes near a line that it must not cross."""

    def __init__(self, task: BoundedPush) -> None:
        self.task = task

    def reset(self) -> None:
        """It has no memory."""

    def assess(self, observation: Observation, action: Array) -> Assessment:
        x, y = np.asarray(observation["state"], np.float64)[4:6]
        margin_m = min(self.task.half_width - abs(x), y - self.task.y_low, self.task.y_high - y)
        return Assessment(float(np.exp(-max(margin_m, 0.0) / 0.01)), 0.0)

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        return [self.assess(step.observation, step.action) for step in episode]


@pytest.fixture(scope="module")
def task() -> BoundedPush:
    return BoundedPush(horizon=400)


@pytest.fixture
def pair(task: BoundedPush) -> Pair:
    driver = BadDriver(task)

    def begin(env_seed: int) -> BadDriver:
        driver.begin(env_seed)
        return driver

    trigger = Threshold(float(np.exp(-2.0)), float(np.exp(-3.0)), min_steps=5)
    return Pair(task, begin, Supervisor(NearALine(task), trigger, Scripted(retreat_of(task))))


def test_the_pair_is_a_failure_alone_and_none_when_watched(pair: Pair, task: BoundedPush, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    seed = pair.find(range(40))
    assert seed is not None
    pair.record(seed, task, tmp_path)
    data = Dataset(tmp_path)
    assert data.num_episodes == 2 and not (tmp_path / "half").exists()
    alone, watched = (data.episode(index) for index in (0, 1))
    assert alone.meta.env_seed == watched.meta.env_seed == seed
    assert alone.columns["next.cost"].sum() > 0 and not np.any(alone.columns["authority"])
    assert watched.columns["next.cost"].sum() == 0 and watched.meta.success
    assert np.any(watched.columns["authority"] == Authority.ASSISTANT)
    first_help = int(np.argmax(watched.columns["authority"].ravel() == Authority.ASSISTANT))
    assert np.array_equal(alone.columns["action"][:first_help], watched.columns["action"][:first_help])
    assert alone.images("front").shape[1:] == (240, 320, 3)


def test_a_failure_that_is_only_put_off_is_better_than_none(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, run = pair.find(range(40)), pair._run
    assert whole is not None

    def late(env: Supervised, seed: int) -> list[Step]:
        steps = run(env, seed)
        return [*steps[:-1], replace(steps[-1], success=False)]

    monkeypatch.setattr(pair, "_run", late)
    found = pair.find(range(40))
    assert found is not None and found <= whole and not failed(run(pair.watched, found))


def test_nothing_is_found_where_nobody_fails(pair: Pair) -> None:
    assert pair.find([]) is None
