"""`Supervised`: any Gymnasium environment with somebody watching. The user's own loop around it stays as it is."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from handrail.core.clock import SECOND_NS, Pacer, RealClock, SimulatedClock
from handrail.core.contracts import Clock, Operator
from handrail.core.errors import InvalidValueError, NonFiniteError, unknown_name
from handrail.core.limits import Limits
from handrail.core.values import (
    Array,
    Authority,
    Command,
    Event,
    Intent,
    Observation,
    Proposal,
    Step,
    StepView,
    TakeoverCause,
    as_mapping,
)
from handrail.run.supervisor import Decision, Supervisor

LATENCY_SAMPLES = 10_000


class Supervised(gym.Wrapper[Any, Array, Any, Array]):
    """Steps `env` with the command that supervisor and operator agree on, and says in `info` what was executed.

    `info` carries `executed_action` (A,), `authority` (int), `risk`, `value`, `assist_level`, `is_intervention` always;
    `intervene_action` (HIL-SERL's name) and `teleop_action` (LeRobot's and gym-hil's) on steps that a foreign loop
    should take for a person's.

    Args:
        env: a Gymnasium environment with a `Box` action space; its observation is a mapping or one array.
        supervisor: watches and assists; a bare one watches nothing.
        operator: a person, real or simulated; None for nobody.
        limits: every command passes them; the action space's box when not given.
        clock: simulated time when not given; a `RealClock` paces the loop at `fps`.
        fps: steps a second; the environment's when not given.
        assistant_as: whether a foreign loop is told of an assistant's step as the policy's own or as an intervention.
        driven_by: "operator" where the person proposes first, as in teleoperation: `step`'s action counts only while
            their hands are off, and assistance is a guidance for their hands instead of an action: nobody is guided
            whose hands are off.
        stale_after_s: with a real clock, a longer gap between two steps holds the robot and truncates the episode;
            0 for never.
    """

    def __init__(
        self,
        env: gym.Env[Any, Array],
        supervisor: Supervisor | None = None,
        operator: Operator | None = None,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        fps: float | None = None,
        assistant_as: Literal["policy", "intervention"] = "policy",
        driven_by: Literal["policy", "operator"] = "policy",
        stale_after_s: float = 0.0,
    ) -> None:
        super().__init__(env)
        space = env.action_space
        if not isinstance(space, spaces.Box):
            raise InvalidValueError(
                f"action space is {space}, Supervised needs a Box: wrap the env to continuous actions"
            )
        if assistant_as not in ("policy", "intervention"):
            raise unknown_name("assistant_as", assistant_as, ("policy", "intervention"))
        if driven_by not in ("policy", "operator"):
            raise unknown_name("driven_by", driven_by, ("policy", "operator"))
        self.supervisor, self.operator = supervisor or Supervisor(), operator
        self.limits = limits or Limits(space.low, space.high)
        self.rate_hz = float(fps or getattr(env.unwrapped, "fps", 0) or env.metadata.get("render_fps") or 10.0)
        self.clock = clock or SimulatedClock()
        self.pacer = Pacer(self.clock, round(SECOND_NS / self.rate_hz))
        self.assistant_as, self.driven_by, self.stale_after_s = assistant_as, driven_by, stale_after_s
        self.last_step: Step | None = None
        self.last_event: Event | None = None  # what the operator said in the last step
        self.decide_ms: deque[float] = deque(maxlen=LATENCY_SAMPLES)
        self.clipped_steps = 0
        self._stopwatch = RealClock()
        self._still = np.zeros(space.shape, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset everything; `options={"operator_draw": n}` says who the operator is."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.supervisor.reset()
        if self.operator is not None:
            self.operator.reset(int((options or {}).get("operator_draw", 0)))
        self._observation = as_mapping(observation)
        self._last: Command | None = None
        self._cause = TakeoverCause.NONE
        self._index = 0
        self.pacer.start()
        self._stamp_s = 0.0
        return observation, info

    @property
    def observation(self) -> Observation:
        """The present observation, as a mapping."""
        return self._observation

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Propose `action` (A,) on behalf of the policy and execute what is decided.

        Raises:
            NonFiniteError: NaN or infinity in the action that would be executed, or in the observation that comes back.
        """
        started_ns = self._stopwatch.now_ns()
        seen, stamp_s = self._observation, self._stamp_s
        view = StepView(seen, self._last, stamp_s)
        intent = self.operator.intent(view) if self.operator is not None else None
        if self._is_stale():
            intent = Intent(event=Event.STOP)
        driver = self._driver(action, intent, stamp_s)
        hands_off = self.driven_by == "operator" and driver.source is not Authority.OPERATOR
        decision = self.supervisor.decide(seen, driver, intent, self._hold(seen), hands_off)
        last_action = None if self._last is None else self._last.action
        command, clipped = self.limits.apply(decision.command, seen, last_action)
        self.decide_ms.append((self._stopwatch.now_ns() - started_ns) * 1e-6)

        observation, reward, terminated, truncated, info = self.env.step(command.action)
        terminated, truncated, reward, success = _heard(intent, command, terminated, truncated, float(reward), info)
        self._observation = as_mapping(observation)
        _require_finite_state(self._observation)
        self.clipped_steps += clipped
        self.last_event = None if intent is None else intent.event
        self._cause = (
            intent.cause if intent is not None and command.authority is Authority.OPERATOR else TakeoverCause.NONE
        )
        self.last_step = Step(
            observation=seen,
            next_observation=self._observation,
            action=command.action,
            policy_action=driver.actions[0],
            operator_action=None if intent is None else intent.action,
            assistant_action=decision.assistant,
            authority=command.authority,
            takeover_cause=self._cause,
            assist_level=decision.level,
            risk=decision.executed.risk,
            value=decision.executed.value,
            reward=reward,
            cost=float(info.get("cost", 0)),
            terminated=terminated,
            truncated=truncated,
            success=success,
            timestamp=self._index / self.rate_hz,
            stamp_s=stamp_s,
            clipped=clipped,
        )
        self._last, self._index = command, self._index + 1
        self._stamp_s = self.pacer.wait()
        return observation, reward, terminated, truncated, info | self._told(decision, command, intent)

    def _told(self, decision: Decision, command: Command, intent: Intent | None) -> dict[str, Any]:
        operator = command.authority is Authority.OPERATOR
        assistant = command.authority is Authority.ASSISTANT and self.assistant_as == "intervention"
        told: dict[str, Any] = {
            "executed_action": command.action,
            "authority": int(command.authority),
            "risk": decision.executed.risk,
            "value": decision.executed.value,
            "assist_level": decision.level,
            "is_intervention": operator or assistant,
            "success": bool(self.last_step and self.last_step.success),
        }
        if operator or assistant:
            told["intervene_action"] = told["teleop_action"] = command.action
        if intent is not None and intent.event is not None:
            told["operator_event"] = intent.event.name.lower()
        return told

    def _driver(self, action: Array, intent: Intent | None, stamp_s: float) -> Proposal:
        """Who proposes first: the policy, or a person who is the driver."""
        if self.driven_by == "operator" and intent is not None and intent.action is not None:
            return Proposal(np.asarray(intent.action, np.float32)[None], Authority.OPERATOR, stamp_s)
        return Proposal(np.asarray(action, np.float32)[None], Authority.POLICY, stamp_s)

    def _hold(self, observation: Observation) -> Array:
        hold = getattr(self.env.unwrapped, "hold", None)
        return self._still if hold is None else hold(observation)

    def _is_stale(self) -> bool:
        return self.stale_after_s > 0.0 and self.pacer.elapsed_s() - self._stamp_s > self.stale_after_s


def _heard(
    intent: Intent | None, command: Command, terminated: bool, truncated: bool, reward: float, info: dict[str, Any]
) -> tuple[bool, bool, float, bool]:
    """Apply what the operator said to the end of the step: terminated, truncated, reward, success."""
    success = bool(info.get("success", False))
    if command.authority is Authority.STOP:
        return terminated, not terminated, reward, success
    event = None if intent is None else intent.event
    if event is Event.SUCCESS:
        return True, False, 1.0, True
    if event is Event.FAILURE:
        return True, False, 0.0, False
    if event in (Event.TERMINATE, Event.RERECORD):
        return terminated, not terminated, reward, success
    return terminated, truncated, reward, success


def _require_finite_state(observation: Observation) -> None:
    for key, value in observation.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise NonFiniteError(
                f"observation '{key}' holds NaN or infinity; every entry must be finite: check the sensor or simulator"
            )
