"""Operators by what a user types: `person:TIER:DRAW`, a device's name, `trace:FILE`, or `none`. No verb of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handrail.core.clock import RealClock, SimulatedClock
from handrail.core.contracts import Clock, Operator
from handrail.core.errors import InvalidValueError, unknown_name
from handrail.operators import Person
from handrail.operators.devices import DEVICES, open_device
from handrail.operators.player import Player
from handrail.operators.traits import TIERS
from handrail.tasks.hil.experts import expert_for

KINDS = ("none", "person", "trace", *DEVICES)


@dataclass(frozen=True)
class Chosen:
    """An operator with the clock that suits them: people at devices live in real time."""

    operator: Operator | None
    clock: Clock
    draw: int = 0
    tier: str = ""

    @property
    def described(self) -> dict[str, Any]:
        """What goes on record about them."""
        return {"operator_draw": self.draw, "operator_tier": self.tier}


@contextmanager
def operator_from(text: str, task: Any, drives: bool) -> Iterator[Chosen]:
    """Open the operator that `text` names; a device is closed, and made safe, on the way out.

    Raises:
        UnknownNameError: no such kind of operator, or tier.
        InvalidValueError: the draw is not a number.
        DeviceError: the device is not there.
    """
    kind, *rest = text.split(":")
    if kind not in KINDS:
        raise unknown_name("operator", kind, KINDS)
    if kind == "none":
        yield Chosen(None, SimulatedClock())
    elif kind == "person":
        tier, draw = _person(text, rest)
        yield Chosen(Person(task, expert_for(task), tier=tier, drives=drives), SimulatedClock(), draw, tier)
    elif kind == "trace":
        yield Chosen(Player(Path(":".join(rest))), SimulatedClock())
    else:
        with open_device(kind, task.action_space.shape[0], drives=drives) as device:
            yield Chosen(device, RealClock())


def _person(text: str, rest: list[str]) -> tuple[str, int]:
    tier = rest[0] if rest else "ordinary"
    if tier not in TIERS:
        raise unknown_name("tier", tier, TIERS)
    number = rest[1] if len(rest) > 1 else "0"
    if not number.isdigit():
        raise InvalidValueError(f"operator '{text}' has draw '{number}', a whole number is needed: person:{tier}:7")
    return tier, int(number)
