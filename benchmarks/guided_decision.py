"""What one control decision of guided teleoperation takes: success score, failure head, gate, and where to pull.

A bimanual observation with three objects, networks of the learners' defaults. "place" is the decision as it runs,
"actor" and "ascent" the ablations that pull toward what the critic thinks better, "score" the monitor and gate alone;
they are measured in turns. Weights are random: what they say does not change what they cost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from idle import Quiet, parser, report

from handrail.assist.gate import Gate
from handrail.assist.guide_actor import GuideActor, ScoreAscent
from handrail.assist.place_guide import PlaceGuide
from handrail.assist.success_score import SuccessScore
from handrail.core.contracts import Recovery
from handrail.core.values import Array
from handrail.learn.cql import CQL, CQLConfig
from handrail.learn.next_place import NextPlace, NextPlaceConfig
from handrail.learn.next_place_data import Scene
from handrail.nets import Difference, StateFactory, one_thread
from handrail.tasks.bimanual.kinematics import forward, jacobian

TARGET_P99_MS = 1.0
STATE, POSE, OBJECTS, JOINTS = 46, 9, 3, 14
TOOLS = (28, 37)  # where their positions are in the state
Decide = Callable[[dict[str, Array], Array], object]


def learner() -> CQL:
    """The default networks, over a state and three objects."""
    apart = tuple(Difference(tool, STATE + POSE * i, 3) for tool in TOOLS for i in range(OBJECTS))
    sizes = {"state": STATE, "environment_state": POSE * OBJECTS}
    return CQL(CQLConfig(), StateFactory(sizes, apart), JOINTS, seed=0)


def decision(score: SuccessScore, guide: Recovery | None) -> Decide:
    """One decision, as `run.supervisor` asks for it."""
    gate = Gate()

    def decide(observation: dict[str, Array], command: Array) -> object:
        assessment = score.assess(observation, command)
        level = gate.update(assessment)
        return level if guide is None else guide.propose(observation, assessment)

    return decide


def measure(kinds: dict[str, Decide], count: int) -> dict[str, Array]:
    """Nanoseconds of `count` decisions of each kind, in turns."""
    rng = np.random.default_rng(0)
    found = {kind: np.empty(count) for kind in kinds}
    for i in range(count):
        state, place = (rng.standard_normal(size, np.float32) for size in (STATE, POSE * OBJECTS))
        observation = {"state": state, "environment_state": place}
        command = state[:JOINTS] + np.float32(0.1) * rng.standard_normal(JOINTS, np.float32)
        for kind, decide in kinds.items():
            started_ns = time.perf_counter_ns()
            decide(observation, command)
            found[kind][i] = time.perf_counter_ns() - started_ns
    return found


def main() -> int:
    flags = parser((__doc__ or "").splitlines()[0])
    flags.add_argument("--decisions", type=int, default=20_000, help="of each kind")
    options = flags.parse_args()
    one_thread()
    score = SuccessScore(learner())
    places = PlaceGuide(score, NextPlace(NextPlaceConfig(), Scene(TOOLS, (6, 13), OBJECTS), 0), forward, jacobian)
    guides = {"score": None, "place": places, "actor": GuideActor(score), "ascent": ScoreAscent(score)}
    kinds = {name: decision(score, guide) for name, guide in guides.items()}
    measure(kinds, 200)  # warm up
    with Quiet(options) as quiet:
        found = measure(kinds, 500 if options.smoke else options.decisions)
    percentiles = {kind: np.percentile(taken * 1e-6, (50, 99)).round(4).tolist() for kind, taken in found.items()}
    decisions = {kind: {"p50_ms": p50, "p99_ms": p99} for kind, (p50, p99) in percentiles.items()}
    met = decisions["place"]["p99_ms"] <= TARGET_P99_MS
    result = {"benchmark": "guided_decision", "decisions": decisions, "target_p99_ms": TARGET_P99_MS, "met": met}
    return report(result, quiet, options)


if __name__ == "__main__":
    sys.exit(main())
