"""Who assists, method by method: what guided teleoperation is compared with, and its ablations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from handrail.assist import Scripted, Threshold
from handrail.assist.copilot import Advantage, Blended
from handrail.assist.gate import ConstantLevel, Gate, GateConfig
from handrail.assist.guidance import GuidanceConfig
from handrail.assist.guide_actor import GuideActor, ScoreAscent
from handrail.assist.place_guide import PlaceGuide, PlaceGuideConfig
from handrail.assist.success_score import SuccessScore
from handrail.core.contracts import Monitor, Recovery, Trigger
from handrail.run import Assist, Supervisor
from handrail.systems.guided_offline import LEARNERS, Artefacts
from handrail.systems.guided_station import Station
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.experts import ahead
from handrail.tasks.bimanual.kinematics import forward, jacobian


@dataclass(frozen=True)
class Method:
    """What distinguishes the methods of the table.

    Attributes:
        learner: which learner the score is of; see `guided_offline.LEARNERS`.
        level: "gate", "constant", "full", "matched" (constant at the gate's mean level on calibration episodes),
            "advantage" (IDA: full where the critic prefers the copilot's action), or "" for never.
        toward: "place" (where successful people's hands go next), "actor" (the critic's: up the score, near the data's
            successes), "ascent" (the score's gradient), "copilot", "path" (the scripted intent: privileged), or "".
        blended: the command itself is a mixture of the person's and the copilot's: nothing is felt.
    """

    learner: str = ""
    level: str = ""
    toward: str = ""
    blended: bool = False


METHODS_BY_NAME = {
    "unassisted": Method(),
    "constant": Method(level="constant", toward="place"),
    "potential-field": Method(level="full", toward="path"),
    "blending": Method(blended=True),
    "bc-copilot": Method(level="gate", toward="copilot"),
    "ida": Method(level="advantage", toward="copilot"),
    "ours": Method(level="gate", toward="place"),
    "no-cql": Method("no-cql", level="gate", toward="place"),
    "no-failure-head": Method("no-failure-head", level="gate", toward="place"),
    "no-gate": Method(level="matched", toward="place"),
    "value-actor": Method(level="gate", toward="actor"),
    "no-actor": Method(level="gate", toward="ascent"),
}
SOFTLY = ("actor", "ascent", "copilot")
"""What is pulled toward with another stiffness, see `AssistConfig.soft`."""
PRIVILEGED = ("potential-field",)
"""Methods that know the truth and the intended goal: an upper bound, not a competitor."""
assert all(method.learner in LEARNERS for method in METHODS_BY_NAME.values())


@dataclass(frozen=True)
class AssistConfig:
    """Settings of the methods (ours).

    Attributes:
        level: of constant guidance.
        share: of the copilot in a blended command.
        gain: of the correction of the critic's actor and of the score's gradient, as a spring renders it.
        place: how a next place is pulled toward; the potential field leads as far.
        min_steps, max_steps: length of a burst of IDA's.
    """

    level: float = 0.5
    share: float = 0.3
    gain: float = 1.0
    min_steps: int = 5
    max_steps: int = 100
    place: PlaceGuideConfig = field(default_factory=PlaceGuideConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    soft: tuple[float, float] = (40.0, 0.5)

    def rendering(self, toward: str) -> GuidanceConfig:
        """How a pull toward it is rendered."""
        return replace(self.guidance, hand_stiffness=self.soft) if toward in SOFTLY else self.guidance


def station(
    task: str,
    method: str,
    config: AssistConfig,
    built: Artefacts,
    gate: GateConfig,
    assist: Assist = "on",
    **options: Any,
) -> Station:
    """The station at which `method` is measured.

    Args:
        gate: whose rho0 is replaced by what was calibrated for the method's score.
        assist: "shadow" shows what help there would be, "off" leaves people alone. A blended command is help that
            cannot be shown without acting.
        options: of the task.
    """
    what = METHODS_BY_NAME[method]
    if what.blended and assist == "on":
        return Station(task, between=partial(Blended, copilot=built.copilot, share=config.share), **options)
    if not what.toward:
        return Station(task, **options)
    supervised = partial(_supervisor, method, config, built, gate, assist)
    return Station(task, supervised, guidance=config.rendering(what.toward), **options)


def gate_of(method: str, built: Artefacts, gate: GateConfig) -> GateConfig:
    """The gate as it was calibrated on the score of `method`."""
    return replace(gate, rho0=built.gates[METHODS_BY_NAME[method].learner].rho0)


def score_of(method: str, built: Artefacts) -> SuccessScore:
    return SuccessScore(built.learners[METHODS_BY_NAME[method].learner])


def monitor_of(method: str, score: SuccessScore, built: Artefacts) -> Monitor:
    """What the trigger of `method` hears: the score, or where the critic prefers the copilot's action."""
    return Advantage(score, built.copilot) if METHODS_BY_NAME[method].level == "advantage" else score


def trigger_of(method: str, config: AssistConfig, built: Artefacts, gate: GateConfig) -> Trigger:
    """How strongly `method` helps."""
    what = METHODS_BY_NAME[method]
    triggers: dict[str, Callable[[], Trigger]] = {
        "gate": lambda: Gate(gate_of(method, built, gate)),
        "constant": lambda: ConstantLevel(config.level),
        "full": lambda: ConstantLevel(1.0),
        "matched": lambda: ConstantLevel(built.gates[what.learner].level),
        "advantage": lambda: Threshold(0.5, 0.5, config.min_steps, config.max_steps),
    }
    return triggers[what.level]()


def place_guide(score: SuccessScore, built: Artefacts, config: AssistConfig) -> PlaceGuide:
    """Toward the next places of successful people."""
    return PlaceGuide(score, built.places, forward, jacobian, config.place)


def _supervisor(
    method: str, config: AssistConfig, built: Artefacts, gate: GateConfig, assist: Assist, env: BimanualTask
) -> Supervisor:
    score = score_of(method, built)
    guides: dict[str, Callable[[], Recovery]] = {
        "place": lambda: place_guide(score, built, config),
        "actor": lambda: GuideActor(score, config.gain),
        "ascent": lambda: ScoreAscent(score, config.gain),
        "copilot": lambda: built.copilot,
        "path": lambda: Scripted(lambda _: ahead(env, env.waypoint(), config.place.lead_m, config.place.lead_rad)),
    }
    guide = guides[METHODS_BY_NAME[method].toward]()
    return Supervisor(monitor_of(method, score, built), trigger_of(method, config, built, gate), guide, assist)
