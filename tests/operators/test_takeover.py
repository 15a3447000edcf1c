"""The take-over law, on truths that are written down here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from handrail.core.values import TakeoverCause
from handrail.operators.takeover import TakeoverLaw
from handrail.operators.traits import Traits, draw_traits
from handrail.tasks.base import Truth

PERIOD_S = 0.1
NONE, STUCK, DANGER, FALSE_ALARM = (
    TakeoverCause.NONE,
    TakeoverCause.STUCK,
    TakeoverCause.DANGER,
    TakeoverCause.FALSE_ALARM,
)


def truth(progress: float, margin_m: float = float("inf"), phase: str = "reach") -> Truth:
    return Truth(progress, np.zeros(3), 0.0, 0.1, margin_m, 0.0, phase)


def somebody(**traits: float) -> Traits:
    calm = {"patience_s": 2.0, "miss_rate": 0.0, "false_alarm_rate": 0.0, "danger_m": 0.02, "stay_s": 0.5}
    return replace(draw_traits(0, "ordinary"), **(calm | traits))


def law(seed: int = 0, patience_scale: float = 1.0, reaction_scale: float = 1.0, **traits: float) -> TakeoverLaw:
    made = TakeoverLaw(somebody(**traits), PERIOD_S, patience_scale, reaction_scale)
    made.begin(np.random.default_rng(seed))
    return made


def first_step(made: TakeoverLaw, truths: list[Truth]) -> int:
    """Steps until they take over; -1 when they never do."""
    return next((i for i, t in enumerate(truths) if made.update(t) is not NONE), -1)


def test_steady_progress_is_left_alone() -> None:
    made = law()
    assert all(made.update(truth(0.01 * step)) is NONE for step in range(100))
    assert made.tally.troubles == 0


def test_flat_for_a_few_steps_is_no_trouble() -> None:
    made = law()
    truths = [truth(0.01 * step if step < 40 else 0.4 if step < 50 else 0.4 + 0.01 * (step - 50)) for step in range(90)]
    assert first_step(made, truths) == -1


def test_stuck_is_noticed_after_patience_and_a_reaction_of_median_0_6_s() -> None:
    after = [first_step(law(seed), [truth(0.3)] * 100) for seed in range(400)]
    reaction_s = (np.array(after) - 20) * PERIOD_S
    assert reaction_s.min() >= 0.1
    assert abs(np.median(reaction_s) - 0.6) <= 0.1
    assert 0.2 < np.log(reaction_s).std() < 0.4


def test_patience_and_reaction_scale() -> None:
    median = lambda **scales: np.median([first_step(law(s, **scales), [truth(0.3)] * 100) for s in range(200)])  # noqa: E731
    assert abs(median(patience_scale=2.0) - (40 + 6)) <= 1
    assert abs(median(patience_scale=0.5) - (10 + 6)) <= 1
    assert abs(median(reaction_scale=2.0) - (20 + 12)) <= 1


def test_danger_is_noticed_at_the_margin_and_has_its_cause() -> None:
    made = law()
    causes = [made.update(truth(0.01 * step, 0.1 if step < 30 else 0.01)) for step in range(60)]
    first = next(i for i, cause in enumerate(causes) if cause is not NONE)
    assert causes[first] is DANGER
    assert 31 <= first <= 45


def test_trouble_that_ends_during_the_reaction_is_let_be() -> None:
    made = law()
    truths = [truth(0.01 * step, 0.01 if step == 30 else 0.1) for step in range(100)]
    assert first_step(made, truths) == -1
    assert made.tally.troubles == 1


def test_misses_are_as_frequent_as_said() -> None:
    missed = [first_step(law(seed, miss_rate=0.1), [truth(0.3)] * 100) == -1 for seed in range(1000)]
    assert 0.07 < np.mean(missed) < 0.13


def test_false_alarms_are_as_frequent_as_said_and_last_a_second() -> None:
    held = []
    for seed in range(2000):
        made = law(seed, false_alarm_rate=0.03)
        causes = [made.update(truth(0.01 * step)) for step in range(100)]
        assert set(causes) <= {NONE, FALSE_ALARM}
        held.append(sum(cause is FALSE_ALARM for cause in causes))
    alarms = [steps for steps in held if steps]
    assert 0.02 < len(alarms) / 2000 < 0.042
    assert min(alarms) >= 10


def test_hands_back_after_progress_was_restored_and_stayed() -> None:
    made = law()
    start = first_step(made, [truth(0.3)] * 100)
    assert start > 0
    improved = [made.update(truth(0.6, phase="lift")) for _ in range(30)]
    held = improved.index(NONE)
    assert held >= 9  # at least a second in all
    assert all(cause is NONE for cause in improved[held : held + 5])  # until patience is over again


def test_progress_that_does_not_stay_is_not_restored() -> None:
    made = law()
    first_step(made, [truth(0.3)] * 100)
    flicker = [truth(0.6 if step % 4 < 3 else 0.3, phase="lift" if step % 4 < 3 else "reach") for step in range(60)]
    assert all(made.update(t) is STUCK for t in flicker)


def test_danger_is_held_until_it_is_well_over() -> None:
    made = law()
    first_step(made, [truth(0.01 * step, 0.01) for step in range(40)])
    assert all(made.update(truth(0.5, 0.025)) is DANGER for _ in range(30))
    causes = [made.update(truth(0.5, 0.05)) for _ in range(10)]
    assert NONE in causes


def test_two_laws_with_one_generator_seed_do_the_same() -> None:
    rng = np.random.default_rng(3)
    truths = [truth(float(p)) for p in np.cumsum(rng.uniform(-0.02, 0.03, 200))]
    one, other = law(7, miss_rate=0.1), law(7, miss_rate=0.1)
    assert [one.update(t) for t in truths] == [other.update(t) for t in truths]
