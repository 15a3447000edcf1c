"""One step's decision: assess the driver's proposal, ask the assistant, hear the operator, arbitrate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from handrail.core.arbiter import Ramp, StopLatch, arbitrate
from handrail.core.chunk import ChunkQueue
from handrail.core.contracts import Monitor, Recovery, Trigger
from handrail.core.errors import InvalidValueError, unknown_name
from handrail.core.values import Array, Assessment, Authority, Command, Intent, Observation, Proposal

Assist = Literal["on", "shadow", "off"]
CALM = Assessment(risk=0.0, value=0.0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and why.

    Attributes:
        command: what the robot is told, before limits.
        assessment: of the driver's proposed action.
        executed: of the executed action; differs from `assessment` during assistance only, and where it was asked for.
        level: what the trigger asked for, in [0, 1]; in shadow mode it is logged and does not act.
        assistant: the assistant's action (A,), if it made one.
    """

    command: Command
    assessment: Assessment
    executed: Assessment
    level: float
    assistant: Array | None


@dataclass
class Supervisor:
    """Monitor, trigger and recovery, composed. Any of them may be missing: then nothing is noticed, or nobody helps.

    Args:
        assist: "on" acts; "shadow" computes and logs level and risk without acting; "off" does not even assess.
        ramp_steps: steps over which the assistant's level rises and falls; 0 switches.
        assess_executed: during assistance, ask the monitor about the executed action as well, and record that. False
            asks once a step, about the driver's action, and records that: for monitors that are expensive, or that
            remember what they were asked.
    """

    monitor: Monitor | None = None
    trigger: Trigger | None = None
    recovery: Recovery | None = None
    assist: Assist = "on"
    ramp_steps: int = 0
    assess_executed: bool = True
    _queue: ChunkQueue = field(default_factory=ChunkQueue, repr=False)
    _stop: StopLatch = field(default_factory=StopLatch, repr=False)

    def __post_init__(self) -> None:
        if self.assist not in ("on", "shadow", "off"):
            raise unknown_name("assist mode", self.assist, ("on", "shadow", "off"))
        self._ramp = Ramp(self.ramp_steps)

    def reset(self) -> None:
        for part in (self.monitor, self.trigger, self.recovery, self._stop, self._ramp):
            if part is not None:
                part.reset()
        self._queue.discard()

    def decide(
        self,
        observation: Observation,
        driver: Proposal,
        intent: Intent | None,
        hold: Array,
        hands_off: bool = False,
    ) -> Decision:
        """Turn one step's proposals into a `Decision`.

        Args:
            hold: (A,), what a stop executes.
            hands_off: the person who drives has let go. What the assistant proposes is then a guidance without a hand
                to move: it is logged, and does not act.

        Raises:
            InvalidValueError: the recovery proposed an action of another width than A.
        """
        assessment, level = self._assess(observation, driver.actions[0])
        assistant = self._assist(observation, assessment) if level > 0.0 else None
        if assistant is not None and driver.source is not Authority.OPERATOR and not hands_off:
            _require_width(assistant.actions, hold)  # guidance has a width of its own
        acting = assistant if self.assist == "on" and not hands_off else None
        stop = self._stop.update(intent)
        command = arbitrate(driver, acting, intent, level, stop, hold)
        if assistant is None or (acting is not None and command.authority is not Authority.ASSISTANT):
            self._queue.discard()
        executed = assessment
        if command.authority is Authority.ASSISTANT and self.monitor is not None and self.assess_executed:
            executed = self.monitor.assess(observation, command.action)
        return Decision(command, assessment, executed, level, None if assistant is None else assistant.actions[0])

    def _assess(self, observation: Observation, action: Array) -> tuple[Assessment, float]:
        if self.assist == "off":
            return CALM, 0.0
        assessment = CALM if self.monitor is None else self.monitor.assess(observation, action)
        target = 0.0 if self.trigger is None else self.trigger.update(assessment)
        return assessment, self._ramp.update(target)

    def _assist(self, observation: Observation, assessment: Assessment) -> Proposal | None:
        """The next action of the assistant's chunk, as a chunk of one; asks the recovery when the chunk is used up."""
        if self.recovery is None:
            return None
        action = self._queue.next()
        if action is None:
            proposal = self.recovery.propose(observation, assessment)
            if proposal is None:
                return None
            self._queue.refill(proposal)
            action = self._queue.next()
        return None if action is None else Proposal(action[None], Authority.ASSISTANT)


def _require_width(actions: Array, hold: Array) -> None:
    """Blending would stretch an action of one number over all dimensions without a word."""
    if actions.shape[1:] != hold.shape:
        raise InvalidValueError(
            f"the recovery proposed an action of shape {actions.shape[1:]}, the driver's have {hold.shape}: "
            "give one number per action dimension"
        )
