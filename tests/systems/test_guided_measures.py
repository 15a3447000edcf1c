"""The measures of guided teleoperation on outcomes whose numbers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handrail.assist.gate import ConstantLevel, Gate, GateConfig
from handrail.core.values import Assessment, Authority, Step, TakeoverCause
from handrail.operators.hand import REACTION_SHARES
from handrail.systems.guided_film import worth_seeing
from handrail.systems.guided_measures import Heldout, displaced, kept_goal, mean, ratio, score_numbers, told
from handrail.systems.guided_offline import GateCalibration, fit_gate, levels_of
from handrail.systems.guided_station import Outcome, Visit


def outcome(tier: str, success: bool, time_s: float, *, switched: bool = False, **known: object) -> Outcome:
    facts = {"goal": 0, "irreversible": False, "failure": "" if success else "late", "effort_j": 2.0}
    facts |= {"torque_share": 0.1, "level": 0.2, **known}
    return Outcome(visit=Visit(tier, 0, 0, 0, switched), success=success, time_s=time_s, **facts)  # type: ignore[arg-type]


ALONE = [
    outcome("ordinary", True, 10.0),
    outcome("ordinary", False, 15.0),
    outcome("novice", False, 15.0),
    outcome("expert", True, 8.0),
    outcome("ordinary", True, 9.0, switched=True),
    outcome("ordinary", True, 9.0, switched=True),
    outcome("ordinary", False, 15.0, switched=True),
]
HELPED = [
    outcome("ordinary", True, 8.0),
    outcome("ordinary", True, 9.0),
    outcome("novice", False, 3.0, irreversible=True, failure="dropped"),
    outcome("expert", True, 7.0, torque_share=0.02),
    outcome("ordinary", True, 9.0, switched=True),
    outcome("ordinary", False, 15.0, switched=True, failure="wrong_goal"),
    outcome("ordinary", True, 15.0, switched=True),
]


def test_the_numbers_of_a_method() -> None:
    found = told(HELPED, ALONE)
    assert found["success"] == found["success_ordinary"] == 1.0
    assert (found["success_novice"], found["success_expert"]) == (0.0, 1.0)
    assert found["episodes_success"] == [1, 1] and found["episodes_time_s"] == [8.0, 9.0]
    assert found["time_ratio"] == pytest.approx(0.8)  # of the one pair in which both succeed
    assert found["completion_time"] == 8.5
    assert found["irreversible_failure"] == 0.0  # the novice's counts for novices
    assert found["transparency"] == 0.02  # of experts
    assert found["effort"] == 2.0
    assert found["authority"] == 0.5 and found["episodes_authority"] == [1, 0]  # two get the other goal alone
    assert {found[f"success_{kind}"] for kind in REACTION_SHARES} == {1.0, None}  # draw 0 is one of the three
    assert found["wrong_goal"] == 0.0  # of meant visits: that one wanted the other goal


def test_nothing_to_measure_is_null() -> None:
    assert mean([]) is None and ratio([]) is None
    found = told([ALONE[1]], [ALONE[1]])
    assert found["time_ratio"] is None and found["authority"] is None and found["completion_time"] is None
    assert found["success_novice"] is None
    assert kept_goal(ALONE, ALONE) == [1, 1]


def assessed(risk: float, count: int = 100) -> list[Assessment]:
    return [Assessment(risk, 1.0 - risk, {"score": 1.0 - risk, "failure": 0.0})] * count


def test_the_gate_is_calm_on_good_episodes_and_opens_on_others() -> None:
    good, bad = assessed(0.3), assessed(0.9)
    found = fit_gate([good, bad], [True, False], GateConfig(), calm=0.05)
    assert found.calm <= 0.05
    tighter, chosen = (Gate(GateConfig(rho0=found.rho0 - less)) for less in (0.01, 0.0))
    assert np.mean(levels_of(good, tighter)) > 0.05  # it is the lowest such threshold
    assert found.level == pytest.approx((found.calm + np.mean(levels_of(bad, chosen))) / 2)
    assert found.level > 0.3


def episode(success: bool, count: int = 100, failed_at: int | None = None) -> list[Step]:
    nothing = np.zeros(1, np.float32)
    before = ({}, {}, nothing, nothing, None, None, Authority.OPERATOR, TakeoverCause.DEMONSTRATION, 0.0, 0.0, 0.0, 0.0)
    return [
        Step(*before, float(index == failed_at), False, False, success and index == count - 1, 0.0, 0.0)
        for index in range(count)
    ]


def test_the_numbers_of_a_score() -> None:
    """An alarm is a risk above one half: the failing episode's is on for its last 40 steps."""
    risky = [*assessed(0.2, 60), *assessed(0.9, 40)]
    seen = Heldout([episode(True), episode(False, failed_at=99)], [assessed(0.2), risky])
    found = score_numbers(seen, Gate(GateConfig(rho0=0.5)), horizon=50, rate_hz=50.0)
    assert found["lead_s"] == pytest.approx(40 / 50) and found["called"] == 1.0 and found["false_alarms"] == 0.0
    assert found["auroc"] == pytest.approx(1 - 0.5 * 60 / 100)  # 60 of its steps look as good as the other's
    assert found["failure_auroc"] == 0.5  # f says nothing here


def test_false_assist_is_of_the_methods_own_trigger() -> None:
    calm = Heldout([episode(True)], [assessed(0.0)])
    shares = [score_numbers(calm, trigger, 50, 50.0)["false_assist"] for trigger in (
        Gate(GateConfig(rho0=0.5)), ConstantLevel(0.5), ConstantLevel(0.05)
    )]  # fmt: skip
    assert shares == [0.0, 1.0, 0.0]  # a level of 0.05 is not felt
    failing = Heldout([episode(False)], [assessed(1.0)])
    assert score_numbers(failing, ConstantLevel(1.0), 50, 50.0)["false_assist"] is None  # nobody was fine alone


def test_how_far_a_hand_would_go() -> None:
    home = np.tile([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5], (3, 2)).astype(np.float32)
    there = home.copy()
    there[1, 7] += 0.1  # the right waist turns
    there[2, 6] += 0.3  # a trigger moves no hand
    moved, turned = displaced(home, there)
    assert turned == pytest.approx(0.1, abs=1e-4)
    assert 0.02 < moved < 0.08  # 0.1 rad at a hand 0.2 to 0.8 m from the waist
    assert displaced(home, home) == (0.0, 0.0)


def test_without_a_good_episode_all_count() -> None:
    found = fit_gate([assessed(1.0)], [False], GateConfig(), calm=0.01)
    assert isinstance(found, GateCalibration)
    assert found.rho0 == 1.0  # no threshold is calm enough: the highest


def test_the_film_shows_a_failure_that_help_prevented() -> None:
    assert worth_seeing(HELPED, ALONE) == HELPED[1].visit
    slower = [outcome("ordinary", True, 9.0), replace(HELPED[0], visit=Visit("ordinary", 4, 0, 4))]
    assert worth_seeing(slower, [slower[0], ALONE[0]]).draw == 4  # nobody was saved: who gained most time
