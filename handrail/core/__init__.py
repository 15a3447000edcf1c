"""The value types and contracts that everything else is built from. NumPy only."""

from __future__ import annotations

from .arbiter import RULES, Claims, Ramp, StopLatch, arbitrate
from .chunk import ChunkQueue
from .clock import SECOND_NS, Pacer, RealClock, SimulatedClock
from .contracts import Clock, Encoder, Monitor, Operator, Policy, Recovery, Sink, Trigger, single
from .errors import (
    CheckpointError,
    CorruptError,
    DeviceError,
    HandrailError,
    InvalidValueError,
    NonFiniteError,
    RenderError,
    SchemaError,
    StoreError,
    UnknownNameError,
    WriteError,
    nearest,
    require_finite,
    unknown_name,
)
from .limits import Bound, Limits
from .values import (
    Array,
    Assessment,
    Authority,
    Command,
    Event,
    Intent,
    Observation,
    Proposal,
    Step,
    StepView,
    TakeoverCause,
)

__all__ = [
    # values
    "Array",
    "Assessment",
    "Authority",
    "Command",
    "Event",
    "Intent",
    "Observation",
    "Proposal",
    "Step",
    "StepView",
    "TakeoverCause",
    # contracts
    "Clock",
    "Encoder",
    "Monitor",
    "Operator",
    "Policy",
    "Recovery",
    "Sink",
    "Trigger",
    "single",
    # arbitration
    "RULES",
    "Claims",
    "Ramp",
    "StopLatch",
    "arbitrate",
    # limits, chunks, time
    "Bound",
    "ChunkQueue",
    "Limits",
    "Pacer",
    "RealClock",
    "SECOND_NS",
    "SimulatedClock",
    # errors
    "CheckpointError",
    "CorruptError",
    "DeviceError",
    "HandrailError",
    "InvalidValueError",
    "NonFiniteError",
    "RenderError",
    "SchemaError",
    "StoreError",
    "UnknownNameError",
    "WriteError",
    "nearest",
    "require_finite",
    "unknown_name",
]
