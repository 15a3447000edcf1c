"""Gymnasium environments by name. A task is one file and one line in `TASKS`."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym

from handrail.core.errors import unknown_name
from handrail.tasks.gl import require_mujoco

require_mujoco()

TASKS = {
    "BoundedPush": "handrail.tasks.failurebench.bounded_push:BoundedPush",
    "BoundedSoccer": "handrail.tasks.failurebench.bounded_soccer:BoundedSoccer",
    "FragilePushWall": "handrail.tasks.failurebench.fragile_push_wall:FragilePushWall",
    "ObstructedPush": "handrail.tasks.failurebench.obstructed_push:ObstructedPush",
    "BoxStack": "handrail.tasks.bimanual.box_stack:BoxStack",
    "DrawerPlace": "handrail.tasks.bimanual.drawer_place:DrawerPlace",
    "LidOpen": "handrail.tasks.bimanual.lid_open:LidOpen",
    "PegInsertion": "handrail.tasks.bimanual.peg_insertion:PegInsertion",
    "PenPick": "handrail.tasks.bimanual.pen_pick:PenPick",
    "PlugSocket": "handrail.tasks.bimanual.plug_socket:PlugSocket",
    "Pour": "handrail.tasks.bimanual.pour:Pour",
    "TowelFold": "handrail.tasks.bimanual.towel_fold:TowelFold",
    "TrayCarry": "handrail.tasks.bimanual.tray_carry:TrayCarry",
    "TransferCube": "handrail.tasks.bimanual.transfer_cube:TransferCube",
    "PickCube": "handrail.tasks.hil.pick_cube:PickCube",
    "TubeInsertion": "handrail.tasks.hil.tube_insertion:TubeInsertion",
}


def make(name: str, **options: Any) -> Any:
    """Build a task by name; `options` go to its class.

    Raises:
        UnknownNameError: no such task; the text lists the nearest ones.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    module, _, attribute = TASKS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)(**options)


def register() -> None:
    """Register every task with Gymnasium as `handrail/<Name>-v0`."""
    for name, entry_point in TASKS.items():
        identifier = f"handrail/{name}-v0"
        if identifier not in gym.registry:
            gym.register(identifier, entry_point=entry_point)


register()
