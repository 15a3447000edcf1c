"""`handrail demo`: the main job end to end, from no weights to a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from handrail.cli.parse import parse
from handrail.core.errors import unknown_name
from handrail.report import write_report
from handrail.systems import hil_serl

SUMMARY: str = "learn a task with a simulated person who helps, and report"

DEMO_BUDGETS = {
    "smoke": hil_serl.BUDGETS["smoke"],
    "demo": replace(
        hil_serl.BUDGETS["standard"], online_steps=10_000, demonstrations=8, final_episodes=30, record_every=20,
        evaluate_every=2_000,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Demo:
    """Learn to pick up a cube with help, then write a one-page report."""

    task: str = "PickCube"
    """environment by name"""
    seed: int = 0
    """run seed"""
    budget: str = "demo"
    """demo (five to seven minutes on two cores) or smoke (seconds)"""
    out: Path = Path("runs/demo")
    """where the run and report.html go; an earlier demo there is replaced"""


def main(argv: list[str]) -> int:
    options = parse(Demo, argv, "handrail demo")
    if options.budget not in DEMO_BUDGETS:
        raise unknown_name("budget", options.budget, DEMO_BUDGETS)
    config, console = DEMO_BUDGETS[options.budget], Console()
    console.print(
        f"A Panda learns {options.task} from a sparse reward and {config.demonstrations} demonstrations, while a "
        "simulated person takes over whenever it gets stuck.\nNothing is pre-trained."
    )
    result = hil_serl.run(
        task=options.task, method="hil-serl", seed=options.seed, budget=options.budget, folder=options.out,
        resume=False, config=config,
    )  # fmt: skip
    report = write_report([options.out], options.out / "report.html")
    console.print(
        f"autonomous success {result['success_rate_autonomous']:.0%}; operator at the controls "
        f"{result['intervention_rate_first']:.0%} of the first steps, "
        f"{result['intervention_rate_last']:.0%} of the last"
    )
    console.print(f"report: {report.resolve()}", highlight=False, soft_wrap=True)
    return 0
