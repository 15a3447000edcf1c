"""`handrail devices`: what a person can steer with here, and whether it works."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from handrail.cli.parse import parse
from handrail.core.clock import SECOND_NS, Pacer, RealClock
from handrail.core.contracts import Operator
from handrail.core.errors import InvalidValueError, unknown_name
from handrail.core.values import Event, Intent, StepView
from handrail.operators.devices import DEVICES, open_device

SUMMARY = "list the input devices of this machine, or try one"

ACTIONS = ("list", "test")
RATE_HZ = 10


@dataclass(frozen=True)
class TestConfig:
    """Print what a device says, without a robot."""

    device: str = "keyboard"
    """keyboard, keyboard-window or gamepad"""
    seconds: float = 30.0
    """how long [s]; STOP ends it earlier"""
    action_dim: int = 5
    """4 (dx dy dz grip) or 5 (dx dy dz yaw grip)"""


@dataclass(frozen=True)
class ListConfig:
    """Say which devices are ready."""


def main(argv: list[str]) -> int:
    """`list` says which devices are ready, `test [--device NAME]` prints what one says."""
    action = argv[0] if argv and not argv[0].startswith("-") else "list"
    rest = argv[1:] if argv and not argv[0].startswith("-") else argv
    if action not in ACTIONS:
        raise unknown_name("devices action", action, ACTIONS)
    if action == "test":
        return _try(parse(TestConfig, _named(rest), prog="handrail devices test"))
    parse(ListConfig, rest, prog="handrail devices list")
    return _list()


def _named(rest: list[str]) -> list[str]:
    """`test gamepad` is short for `test --device gamepad`."""
    return ["--device", *rest] if rest and not rest[0].startswith("-") else rest


def _list() -> int:
    for find in DEVICES.values():
        found = find()
        print(f"{'ready' if found.ready else '-':<6} {found.name:<16} {found.text}")
    return 0


def _try(config: TestConfig) -> int:
    if not config.seconds > 0.0:
        raise InvalidValueError(f"--seconds is {config.seconds:g}, must be > 0: give how long to listen")
    with open_device(config.device, config.action_dim) as device:
        print("move it; STOP ends the test", flush=True)
        listen(device, config.seconds)
    return 0


def listen(device: Operator, seconds: float) -> None:
    """Print every intent of `device` at 10 Hz for `seconds`, or until it says STOP."""
    pacer = Pacer(RealClock(), SECOND_NS // RATE_HZ)
    device.reset(0)
    for step in itertools.count():
        if step >= seconds * RATE_HZ:
            return
        intent = device.intent(StepView({}, None, step / RATE_HZ))
        print(f"\r{_said(intent):<60}", end="\n" if intent is not None and intent.event is not None else "", flush=True)
        if intent is not None and intent.event is Event.STOP:
            return
        pacer.wait()


def _said(intent: Intent | None) -> str:
    if intent is None:
        return "hands off"
    motion = "" if intent.action is None else " ".join(f"{a:+.2f}" for a in intent.action)
    return " ".join(part for part in (motion, "" if intent.event is None else intent.event.name) if part)
