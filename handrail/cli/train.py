"""`handrail train`: one training run of a system, resumable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    """hil-serl"""
    task: str = "PickCube"
    """environment by name"""
    method: str = ""
    """a method of the system's table; the system itself when not given"""
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
    system, method = load(options.system), options.method or options.system
    for kind, name, known in (
        ("task", options.task, system.TASKS),
        ("method", method, system.METHODS),
        ("budget", options.budget, system.BUDGETS),
    ):
        if name not in known:
            raise unknown_name(kind, name, known)
    folder = options.out or Path("runs", options.system, options.budget, options.task, method, f"seed-{options.seed}")
    if not options.resume and (folder / "config.json").exists():
        raise InvalidValueError(f"{folder} holds a run already: add --resume to go on with it, or give another --out")
    result = system.run(
        task=options.task, method=method, seed=options.seed, budget=options.budget, folder=folder, resume=options.resume
    )
    console, rate = Console(), result["intervention_rate"]
    helped = "no online steps" if rate is None else f"operator {rate:.1%} of {result['online_steps']} steps"
    console.print(
        f"{method} on {options.task}: autonomous success {result['success_rate_autonomous']:.0%} over "
        f"{len(result['episodes_success'])} episodes, {helped}"
    )
    console.print(f"run folder: {folder}    see it: handrail report {folder}", highlight=False)
    return 0
