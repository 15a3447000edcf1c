"""`handrail train`: one training run of a system, resumable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from handrail.cli.parse import parse
from handrail.core.errors import InvalidValueError, unknown_name
from handrail.systems import load

SUMMARY: str = "train a system on a task"


@dataclass(frozen=True)
class Train:
    """Train a system on a task, evaluate it alone, and write a run folder."""

    system: tyro.conf.Positional[str]
    """hil-serl, farl or guided-teleop"""
    task: str = ""
    """environment by name; the system's first when not given"""
    method: str = ""
    """a method of the system's table; the system itself, or its headline method, when not given"""
    seed: int = 0
    """run seed"""
    budget: str = "standard"
    """smoke, quick, standard or paper"""
    out: Path | None = None
    """run folder; runs/SYSTEM/BUDGET/TASK/METHOD/seed-N when not given"""
    resume: bool = False
    """go on from the last checkpoint in the run folder"""


def main(argv: list[str]) -> int:
    options = parse(Train, argv, "handrail train")
    system = load(options.system)
    method = options.method or (options.system if options.system in system.METHODS else system.HEADLINE)
    task = options.task or system.TASKS[0]
    for kind, name, known in (
        ("task", task, system.TASKS),
        ("method", method, system.METHODS),
        ("budget", options.budget, system.BUDGETS),
    ):
        if name not in known:
            raise unknown_name(kind, name, known)
    folder = options.out or Path("runs", options.system, options.budget, task, method, f"seed-{options.seed}")
    if not options.resume and (folder / "config.json").exists():
        raise InvalidValueError(f"{folder} holds a run already: add --resume to go on with it, or give another --out")
    result = system.run(
        task=task, method=method, seed=options.seed, budget=options.budget, folder=folder, resume=options.resume
    )
    console = Console()
    console.print(f"{method} on {task}: {_told(result)}", highlight=False)
    console.print(f"run folder: {folder}    see it: handrail report {folder}", highlight=False, soft_wrap=True)
    return 0


def _told(result: Mapping[str, Any]) -> str:
    """One run in a line."""
    if result["success_rate_autonomous"] is None:  # a person drives, also at evaluation
        ratio, count = result["time_ratio"], len(result["episodes_success"])
        faster = "" if ratio is None else f", {ratio:.0%} of the time that they take alone"
        return f"ordinary persons succeed in {result['success']:.0%} of {count} episodes{faster}"
    rate = result["intervention_rate"]
    helped = "no online steps" if rate is None else f"operator {rate:.1%} of {result['online_steps']} steps"
    alone = f"autonomous success {result['success_rate_autonomous']:.0%}"
    return f"{alone} over {len(result['episodes_success'])} episodes, {helped}"
