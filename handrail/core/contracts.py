"""The protocols that everything plugs into. Nothing here is inherited from: matching the shape is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from .values import Array, Assessment, Authority, Intent, Observation, Proposal, Step, StepView


@runtime_checkable
class Policy(Protocol):
    """observation -> action chunk (H, A)."""

    def reset(self) -> None: ...
    def act(self, observation: Observation) -> Proposal: ...


@runtime_checkable
class Monitor(Protocol):
    """observation and the action about to be executed -> `Assessment`."""

    def reset(self) -> None: ...
    def assess(self, observation: Observation, action: Array) -> Assessment: ...
    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]: ...


@runtime_checkable
class Trigger(Protocol):
    """A stream of assessments -> assistance level in [0, 1]."""

    def reset(self) -> None: ...
    def update(self, assessment: Assessment) -> float: ...


@runtime_checkable
class Recovery(Protocol):
    """What the assistant proposes: an action, a chunk toward a goal, or a guidance direction."""

    def reset(self) -> None: ...
    def propose(self, observation: Observation, assessment: Assessment) -> Proposal | None: ...


@runtime_checkable
class Operator(Protocol):
    """A person, real or simulated, with a device. `draw` seeds who they are; None from `intent` means hands off."""

    def reset(self, draw: int) -> None: ...
    def intent(self, view: StepView) -> Intent | None: ...


@runtime_checkable
class Clock(Protocol):
    """Where all time comes from."""

    def now_ns(self) -> int: ...
    def sleep_until_ns(self, deadline_ns: int) -> None: ...


@runtime_checkable
class Encoder(Protocol):
    """Observation batch -> features (B, D). Learners take one and never look behind it."""

    output_dim: int

    def encode(self, observation: object) -> object: ...


class Sink(Protocol):
    """Whatever wants every executed step: a writer, a buffer, a counter."""

    def add(self, step: Step) -> None: ...


def single(action: Array, source: int, made_at_s: float = 0.0) -> Proposal:
    """Wrap one action (A,) as a chunk of length 1."""
    return Proposal(np.asarray(action, dtype=np.float32)[None], Authority(source), made_at_s)
