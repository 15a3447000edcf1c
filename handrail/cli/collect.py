"""`handrail collect`: demonstrations by a person, simulated or at a device, into a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track

from handrail.cli.operators import operator_from
from handrail.cli.parse import parse
from handrail.core.errors import InvalidValueError
from handrail.run import Supervised
from handrail.run.demonstrate import demonstrate
from handrail.run.film import Film
from handrail.run.record import record
from handrail.store import DatasetWriter
from handrail.tasks import make

SUMMARY: str = "record demonstrations into a LeRobot v3 dataset"


@dataclass(frozen=True)
class Collect:
    """Record successful episodes driven by an operator; failed ones are thrown away."""

    task: tyro.conf.Positional[str]
    """environment by name"""
    operator: str = "person:expert:0"
    """person:TIER:DRAW, keyboard or gamepad"""
    episodes: int = 20
    """successful episodes to record"""
    seed: int = 0
    """run seed of the resets"""
    out: Path = Path("data/demonstrations")
    """dataset; new episodes are appended"""
    film: bool = False
    """record the front camera as video"""


def main(argv: list[str]) -> int:
    options = parse(Collect, argv, "handrail collect")
    if options.episodes < 1:
        raise InvalidValueError(f"--episodes {options.episodes} is below 1: give how many to record")
    task = make(options.task)
    film = Film(task)
    film.rolling = options.film
    chosen = operator_from(options.operator, task, drives=True)
    with chosen as operator, DatasetWriter(options.out, task.fps, images="video" if options.film else "none") as writer:
        env = Supervised(film, operator=operator.operator, clock=operator.clock)
        episodes = demonstrate(env, options.episodes, options.seed, operator.draw)
        for seed, steps in track(episodes, description=f"recording {options.task}", total=options.episodes):
            record(writer, steps, task, env_seed=seed, run_seed=options.seed, **operator.described)
    Console().print(
        f"{options.episodes} episodes in {options.out}    look at them: handrail data view {options.out}",
        highlight=False,
    )
    return 0
