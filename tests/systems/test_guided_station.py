"""A teleoperation station: who comes when, and that an episode depends on nothing that was before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from handrail.assist.copilot import JOINTS
from handrail.assist.gate import ConstantLevel
from handrail.assist.guidance import GuidanceConfig
from handrail.assist.guide_actor import GuideActor
from handrail.assist.place_guide import PlaceGuide
from handrail.assist.recovery import Scripted
from handrail.assist.success_score import SuccessScore
from handrail.core.contracts import Recovery
from handrail.core.values import Assessment, Authority
from handrail.learn.cql import CQL
from handrail.learn.next_place import NextPlace, NextPlaceConfig
from handrail.run import Supervisor
from handrail.store.trajectories import Trajectories
from handrail.systems.guided_offline import CRITIC, features, scene
from handrail.systems.guided_station import TIERS, Station, Visit, visits
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.kinematics import forward, jacobian

from ..assist.books import Books

HORIZON = 30
VISIT = Visit("ordinary", 3, 1, 7)


def pulling(env: BimanualTask) -> Supervisor:
    """Both tools are pulled to where the arms began."""
    return Supervisor(trigger=ConstantLevel(1.0), recovery=Scripted(lambda _: env.home))


@pytest.fixture(scope="module")
def station() -> Station:
    return Station("TransferCube", horizon=HORIZON)


def test_visits_count_their_seeds_on() -> None:
    found = list(visits("novice", range(5, 7), 2, 40))
    assert found == [
        Visit("novice", 5, 0, 40),
        Visit("novice", 5, 1, 41),
        Visit("novice", 6, 0, 42),
        Visit("novice", 6, 1, 43),
    ]


def test_an_episode_depends_on_nothing_before_it(station: Station) -> None:
    first, steps = station.run(VISIT)
    station.run(Visit("novice", 4, 0, 8))
    again, repeated = station.run(VISIT)
    assert again == first
    assert all(np.array_equal(one.action, other.action) for one, other in zip(steps, repeated, strict=True))
    other, _ = station.run(Visit("ordinary", 3, 2, 7))  # the same person on the same seed, on another day
    assert other.visit != first.visit


def test_the_person_drives_and_nothing_is_felt_alone(station: Station) -> None:
    outcome, steps = station.run(VISIT)
    assert all(step.authority is Authority.OPERATOR and not step.intervention for step in steps)
    assert outcome.time_s == HORIZON / 50
    assert (outcome.effort_j, outcome.torque_share, outcome.level) == (0.0, 0.0, 0.0)
    assert outcome.failure == "not_handed_over" and not outcome.irreversible


def test_a_switched_visit_means_the_other_goal(station: Station) -> None:
    meant, steps = station.run(VISIT)
    other, switched = station.run(Visit("ordinary", 3, 1, 7, switched=True))
    assert {meant.goal, other.goal} == {0, 1}
    assert np.array_equal(steps[0].observation["state"], switched[0].observation["state"])


def test_guidance_moves_the_hand_and_the_command_is_the_hands(station: Station) -> None:
    helped = Station("TransferCube", pulling, horizon=HORIZON)
    _, before = station.run(VISIT)
    outcome, steps = helped.run(VISIT)
    assert outcome.level == 1.0 and outcome.effort_j > 0.0 and 0.0 < outcome.torque_share < 1.0
    moved = [np.abs(one.action - other.action).max() for one, other in zip(steps, before, strict=True)]
    assert moved[0] == 0.0  # help is decided at the end of a step, and felt in the next
    assert max(moved) > 1e-3
    box = helped.env.action_space
    assert all(np.array_equal(step.action, np.clip(step.policy_action, box.low, box.high)) for step in steps)


def test_in_shadow_mode_nothing_is_felt(station: Station) -> None:
    shadow = Station("TransferCube", lambda env: Supervisor(None, ConstantLevel(1.0), pulling(env).recovery, "shadow"),
                     horizon=HORIZON)  # fmt: skip
    outcome, steps = shadow.run(VISIT)
    assert outcome.effort_j == 0.0 and outcome.level == 1.0
    _, alone = station.run(VISIT)
    assert all(np.array_equal(one.action, other.action) for one, other in zip(steps, alone, strict=True))


class Moody:
    """A trigger that says anything."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def reset(self) -> None:
        self._rng = np.random.default_rng(self._seed)

    def update(self, assessment: Assessment) -> float:
        return float(self._rng.uniform() * (self._rng.random() < 0.8))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("toward", ["place", "actor"])
def test_random_networks_never_inject_more_energy_into_random_people_than_the_tank_holds(
    station: Station, toward: str, seed: int
) -> None:
    data = Trajectories.of([station.run(VISIT)[1]])
    torch.manual_seed(seed)
    learner = CQL(replace(CRITIC, hidden=(16, 16)), features(station.env), JOINTS, seed)
    learner.fit_normaliser(data.batch())
    learner.fit_scales(data)
    places = NextPlace(NextPlaceConfig(hidden=(16,)), scene(station.env), seed)
    places.fit_normaliser(data)
    with torch.no_grad():
        for weights in (*learner.nets.parameters(), *places.net.parameters()):
            weights.mul_(4.0)  # wilder than anything that was trained

    def assist(env: BimanualTask) -> Supervisor:
        score = SuccessScore(learner)
        guides: dict[str, Recovery] = {
            "place": PlaceGuide(score, places, forward, jacobian),
            "actor": GuideActor(score, 4.0),
        }
        return Supervisor(score, Moody(seed), guides[toward])

    tank_j = 0.02 * (seed + 1)
    guided = Station("TransferCube", assist, guidance=GuidanceConfig(tank_j=tank_j), horizon=100)
    tier = TIERS[seed]
    assert guided.guidance is not None
    books = Books(guided.people[tier].leaders, guided.guidance)
    outcome, _ = guided.run(Visit(tier, seed, 0, seed))
    assert outcome.effort_j > 0.0
    books.require_the_bound()
