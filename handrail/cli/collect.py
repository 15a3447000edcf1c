"""`handrail collect`: demonstrations by a person into a dataset. `collect failurebench` is in collect_scripted.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track

from handrail.cli.parse import parse
from handrail.cli.recording import recording
from handrail.core.errors import InvalidValueError
from handrail.run.demonstrate import demonstrate

SUMMARY: str = "record demonstrations into a LeRobot v3 dataset"


@dataclass(frozen=True)
class Collect:
    """Record successful episodes driven by an operator; failed ones are thrown away.

    `handrail collect failurebench --task TASK --kind KIND` records scripted episodes instead; it has flags of its own.
    """

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
    if argv[:1] == ["failurebench"]:
        from handrail.cli import collect_scripted

        return collect_scripted.main(argv[1:])
    options = parse(Collect, argv, "handrail collect")
    if options.episodes < 1:
        raise InvalidValueError(f"--episodes {options.episodes} is below 1: give how many to record")
    with recording(options.task, options.operator, options.out, film=options.film, drives=True) as to:
        episodes = demonstrate(to.env, options.episodes, options.seed, to.chosen.draw)
        for seed, steps in track(episodes, description=f"recording {options.task}", total=options.episodes):
            to.keep(steps, env_seed=seed, run_seed=options.seed)
    Console().print(
        f"{options.episodes} episodes in {options.out}    look at them: handrail data view {options.out}",
        highlight=False,
    )
    return 0
