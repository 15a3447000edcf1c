"""Whole systems by name: each composes the packages above and owns its collect and update."""

from __future__ import annotations

import importlib
from types import ModuleType

from handrail.core.errors import unknown_name

SYSTEMS: dict[str, str] = {
    "hil-serl": "handrail.systems.hil_serl",
    "farl": "handrail.systems.farl",
    "guided-teleop": "handrail.systems.guided_teleop",
}


def load(name: str) -> ModuleType:
    """Import a system: a module with `TASKS`, `METHODS`, `BUDGETS` and `run`.

    Raises:
        UnknownNameError: no such system.
    """
    if name not in SYSTEMS:
        raise unknown_name("system", name, SYSTEMS)
    return importlib.import_module(SYSTEMS[name])
