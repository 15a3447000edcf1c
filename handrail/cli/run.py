"""`handrail run`: a trained policy drives, an operator, real or simulated, can take over, and it goes on record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from handrail.cli.parse import parse
from handrail.cli.recording import recording
from handrail.core.errors import InvalidValueError
from handrail.core.seeds import training_env_seed
from handrail.core.values import Event
from handrail.nets import one_thread
from handrail.run.folder import RunFolder
from handrail.run.loop import run_episode
from handrail.systems import load

SUMMARY: str = "let a trained policy drive while an operator may take over"
FIRST_EPISODE = 2_000_000
"""Episode index from which the resets of supervised runs are drawn, apart from training's."""


@dataclass(frozen=True)
class Run:
    """Run the policy of a training run under supervision and record it.

    `handrail run guided-teleop --operator TIER:DRAW` assists a person at two leader arms instead; it has flags of its
    own.
    """

    run: tyro.conf.Positional[Path]
    """run folder that `handrail train` wrote"""
    operator: str = "person:ordinary:0"
    """person:TIER:DRAW, keyboard, gamepad, trace:FILE or none"""
    episodes: int = 10
    """episodes to run"""
    seed: int = 0
    """seed of the resets"""
    out: Path = Path("data/supervised")
    """dataset; new episodes are appended"""
    film: bool = False
    """record the front camera as video"""


def main(argv: list[str]) -> int:
    if argv[:1] == ["guided-teleop"]:
        from handrail.cli import run_guided

        return run_guided.main(argv[1:])
    options = parse(Run, argv, "handrail run")
    if options.episodes < 1:
        raise InvalidValueError(f"--episodes {options.episodes} is below 1: give how many to run")
    one_thread()
    names = RunFolder.open(options.run).read_config()
    policy = load(names["system"]).load_policy(options.run)
    console, success, held = Console(), [], []
    with recording(names["task"], options.operator, options.out, film=options.film, drives=False) as to:
        for index in range(options.episodes):
            seed = training_env_seed(options.seed, FIRST_EPISODE + index)
            steps = run_episode(to.env, policy, seed=seed, operator_draw=to.chosen.draw)
            if to.env.last_event is Event.RERECORD:
                console.print(f"episode {index + 1}: thrown away by the operator")
                continue
            to.keep(steps, env_seed=seed, run_seed=options.seed, policy_version=str(options.run))
            success.append(steps[-1].success)
            held += [step.intervention for step in steps]
            ended = "success" if success[-1] else to.task.failure_kind() or "ended"
            console.print(f"episode {index + 1}: {ended}, {len(steps)} steps")
    if success:
        console.print(
            f"assisted success {np.mean(success):.0%} over {len(success)} episodes, operator at the controls "
            f"{np.mean(held):.0%} of the steps    look: handrail data view {options.out}",
            highlight=False,
        )
    return 0
