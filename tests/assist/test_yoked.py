from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from handrail.assist.yoked import YokedTrigger, bursts, place, recorded_levels
from handrail.core.contracts import Trigger
from handrail.core.errors import InvalidValueError
from handrail.core.values import Assessment, Authority, Step, TakeoverCause
from handrail.store import Dataset, DatasetWriter, EpisodeMeta

CALM, ALARM = Assessment(0.0, 1.0), Assessment(100.0, 0.0)


def _levels(text: str) -> np.ndarray:
    return np.array([0.0 if c == "." else int(c) / 9 for c in text])


def _episode(trigger: YokedTrigger, length: int, assessment: Assessment = CALM) -> np.ndarray:
    trigger.reset()
    return np.array([trigger.update(assessment) for _ in range(length)])


def _signature(levels: np.ndarray) -> Counter[tuple[float, ...]]:
    return Counter(tuple(burst) for burst in bursts(levels))


def test_bursts_are_the_runs_of_positive_levels() -> None:
    assert [len(b) for b in bursts(_levels("99..9..45"))] == [2, 1, 2]
    assert bursts(_levels("....")) == [] and bursts(np.zeros(0)) == []


def test_same_number_and_length_at_other_times() -> None:
    recorded = [_levels("..999....45...9....."), _levels("...................."), _levels("9.9.9.9.9.9.9.9.9.9.")]
    trigger = YokedTrigger(recorded, seed=0)
    assert isinstance(trigger, Trigger)
    given = [_episode(trigger, 20) for _ in recorded]
    assert [_signature(g) for g in given] == [_signature(r) for r in recorded]
    assert trigger.owed == 0
    assert not np.array_equal(given[0], recorded[0])


def test_times_depend_on_the_seed_and_not_on_the_risk() -> None:
    recorded = [_levels("..999....45...9.....")] * 4
    a, b = YokedTrigger(recorded, 1), YokedTrigger(recorded, 1)
    assert all(np.array_equal(_episode(a, 20), _episode(b, 20, ALARM)) for _ in recorded)
    c = YokedTrigger(recorded, 2)
    assert any(not np.array_equal(_episode(YokedTrigger(recorded, 1), 20), _episode(c, 20)) for _ in range(3))


def test_every_placement_is_equally_likely() -> None:
    rng = np.random.default_rng(0)
    count = Counter(tuple(place([np.ones(2), np.ones(1)], 6, rng)[0] > 0) for _ in range(6000))
    # lengths 2 and 1 with a gap in 6 steps: 2 free steps among 3 gaps, 6 ways, and 2 orders
    assert len(count) == 12
    assert max(abs(n - 500) for n in count.values()) < 5 * np.sqrt(500)


def test_bursts_that_an_early_end_left_out_are_owed() -> None:
    recorded = [_levels("9.9.9.9.9."), _levels(".........."), _levels("..........")]
    trigger = YokedTrigger(recorded, seed=3)
    first = _episode(trigger, 4)
    later = [_episode(trigger, 10) for _ in range(2)]
    assert len(bursts(first)) < 5
    assert sum(len(bursts(levels)) for levels in (first, *later)) == 5 and trigger.owed == 0


def test_after_the_recording_nothing_is_given() -> None:
    trigger = YokedTrigger([_levels("99......")], seed=0)
    assert _episode(trigger, 12)[8:].sum() == 0.0
    assert _episode(trigger, 12).sum() == 0.0


def test_no_recording_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="yoked to no episode, the least is 1: record the method first"):
        YokedTrigger([], seed=0)


def test_levels_are_read_from_a_recorded_dataset(tmp_path: Path) -> None:
    recorded = [_levels("..99.9"), _levels("....")]
    with DatasetWriter(tmp_path / "set", 10, images="none") as writer:
        for levels in recorded:
            for index, level in enumerate(levels):
                writer.add(_step(index, float(level), last=index == len(levels) - 1))
            writer.commit(META)
    found = recorded_levels(Dataset(tmp_path / "set"))
    assert len(found) == 2 and all(np.allclose(f, r) for f, r in zip(found, recorded, strict=True))
    assert YokedTrigger(found, seed=0).owed == 0


META = EpisodeMeta(
    task="Left", instruction="go left", env_seed=0, run_seed=0, operator_draw=0, operator_tier="none", success=False,
    failure_kind="timeout", policy_version="0", config_hash="0",
)  # fmt: skip


def _step(index: int, level: float, last: bool) -> Step:
    seen, action = {"state": np.zeros(2, np.float32)}, np.zeros(1, np.float32)
    return Step(
        observation=seen, next_observation=seen, action=action, policy_action=action, operator_action=None,
        assistant_action=None, authority=Authority.ASSISTANT if level else Authority.POLICY,
        takeover_cause=TakeoverCause.NONE, assist_level=level, risk=0.0, value=0.0, reward=0.0, cost=0.0,
        terminated=False, truncated=last, success=False, timestamp=index / 10, stamp_s=index / 10,
    )  # fmt: skip


def test_a_resumed_trigger_goes_on_as_the_unbroken_one() -> None:
    recorded = [_levels("..999....45...9....."), _levels("9.9.9.9.9.9.9.9.9.9."), _levels(".....999999999......")]
    whole, begun, resumed = (YokedTrigger(recorded, 3) for _ in range(3))
    assert np.array_equal(_episode(whole, 7), _episode(begun, 7))  # an early end leaves some of it owed
    resumed.load_state(json.loads(json.dumps(begun.state())))
    assert resumed.owed == whole.owed > 0
    assert all(np.array_equal(_episode(whole, 20), _episode(resumed, 20)) for _ in range(4))
