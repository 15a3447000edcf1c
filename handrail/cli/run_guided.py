"""`handrail run guided-teleop`: a simulated person drives two arms, assisted by a trained run, on record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from handrail.cli.parse import parse
from handrail.core.errors import InvalidValueError, unknown_name
from handrail.core.seeds import training_env_seed

SUMMARY: str = "assist a simulated person at two leader arms"
FIRST_EPISODE = 6_000_000
"""Episode index from which the resets are drawn, apart from those of training and of other verbs."""


@dataclass(frozen=True)
class RunGuided:
    """Let a simulated person drive a task of a trained run, assisted as in that run, and record it."""

    task: str | None = None
    """bimanual task by name; that of --run, else TransferCube"""
    operator: str = "ordinary:0"
    """TIER:DRAW: who drives, for example novice:7"""
    run: Path | None = None
    """run folder that `handrail train guided-teleop` wrote; that of ours at the standard budget if not given"""
    assist: str = "on"
    """on; shadow shows what help there would be, off leaves them alone"""
    episodes: int = 1
    """episodes to run"""
    seed: int = 0
    """seed of the resets"""
    out: Path = Path("data/teleoperation")
    """dataset; new episodes are appended"""
    view: bool = False
    """film the front camera, with score, level and torque below: view.mp4 beside the dataset"""


def main(argv: list[str]) -> int:
    options = parse(RunGuided, argv, "handrail run guided-teleop")
    tier, draw = who(options.operator)
    if options.episodes < 1:
        raise InvalidValueError(f"--episodes {options.episodes} is below 1: give how many to run")
    if options.assist not in ("on", "shadow", "off"):
        raise unknown_name("assist mode", options.assist, ("on", "shadow", "off"))
    from handrail.nets import one_thread
    from handrail.run.record import record
    from handrail.store import DatasetWriter
    from handrail.systems import guided_teleop
    from handrail.systems.guided_film import record_filmed
    from handrail.systems.guided_station import Visit

    one_thread()
    task = options.task or guided_teleop.TASKS[0]
    if task not in guided_teleop.TASKS:
        raise unknown_name("task", task, guided_teleop.TASKS)
    folder = options.run or Path("runs", "guided-teleop", "standard", task, guided_teleop.HEADLINE, "seed-0")
    trained = guided_teleop.load(folder)
    if options.task not in (None, trained.task):
        raise InvalidValueError(f"--task {options.task} is not that of {folder}, {trained.task}: give one of the two")
    station = trained.station(options.assist)  # type: ignore[arg-type]
    console, won = Console(), []
    with DatasetWriter(options.out, station.env.fps, images="video" if options.view else "none") as writer:
        for index in range(options.episodes):
            visit = Visit(tier, draw, index, training_env_seed(options.seed, FIRST_EPISODE + index))
            if options.view:
                outcome = record_filmed(station, visit, writer)
            else:
                outcome, steps = station.run(visit)
                known = {"operator_draw": draw, "operator_tier": tier, "env_seed": visit.env_seed}
                record(writer, steps, station.env, **known)
            won.append(outcome.success)
            ended = "success" if outcome.success else outcome.failure.replace("_", " ")
            felt = f"mean level {outcome.level:.2f}, effort of guidance {outcome.effort_j:.1f} J"
            console.print(f"episode {index + 1}: {ended} after {outcome.time_s:.1f} s, {felt}", highlight=False)
    station.film.close()
    if options.view:
        from handrail.report.teleop_report import write_view

        console.print(f"film: {write_view(options.out, options.episodes)}", highlight=False)
    console.print(
        f"{tier} {draw}: success {np.mean(won):.0%} over {len(won)} episodes    look: handrail data view {options.out}",
        highlight=False,
    )
    return 0


def who(text: str) -> tuple[str, int]:
    """Tier and draw of "novice:7".

    Raises:
        UnknownNameError: there is no such tier.
        InvalidValueError: the draw is not a whole number.
    """
    from handrail.operators.traits import TIERS

    tier, _, number = text.partition(":")
    if tier not in TIERS:
        raise unknown_name("tier", tier, TIERS)
    if not (number or "0").isdigit():
        raise InvalidValueError(f"operator '{text}' has draw '{number}', a whole number is needed: {tier}:7")
    return tier, int(number or "0")
