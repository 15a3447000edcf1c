"""`handrail eval`: a trained policy alone, on fixed env seeds. `handrail eval monitor` is in eval_monitor.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from handrail.cli.parse import parse
from handrail.core.errors import InvalidValueError
from handrail.core.seeds import EVALUATION_ENV_SEEDS
from handrail.nets import one_thread
from handrail.run.folder import RunFolder
from handrail.systems import load

SUMMARY: str = "evaluate a trained run alone, or a monitor over recorded episodes"


@dataclass(frozen=True)
class Eval:
    """Evaluate the last checkpoint of a run: mean action, nobody watching.

    `handrail eval monitor RUN_OR_DATASET` audits a monitor instead; it has flags of its own.
    """

    run: tyro.conf.Positional[Path]
    """run folder that `handrail train` wrote"""
    episodes: int = 100
    """the first of the 100 evaluation seeds"""
    json: bool = False
    """print numbers for a program"""


def main(argv: list[str]) -> int:
    if argv[:1] == ["monitor"]:
        from handrail.cli import eval_monitor

        return eval_monitor.main(argv[1:])
    options = parse(Eval, argv, "handrail eval")
    if not 1 <= options.episodes <= len(EVALUATION_ENV_SEEDS):
        raise InvalidValueError(
            f"--episodes {options.episodes} is not in 1..{len(EVALUATION_ENV_SEEDS)}: there are 100 evaluation seeds"
        )
    one_thread()
    config = RunFolder.open(options.run).read_config()
    evaluation = load(config["system"]).evaluate_run(options.run, EVALUATION_ENV_SEEDS[: options.episodes])
    numbers = {
        "task": config["task"], "method": config["method"], "seed": config["seed"], "episodes": options.episodes,
        "success_rate_autonomous": evaluation.success_rate, "return_mean": evaluation.return_mean,
        "failure_modes": evaluation.failures,
    }  # fmt: skip
    if options.json:
        print(json.dumps(numbers))
    else:
        failures = ", ".join(f"{kind} {count}" for kind, count in evaluation.failures.items()) or "none"
        Console().print(
            f"{config['method']} on {config['task']}, seed {config['seed']}: success {evaluation.success_rate:.0%} "
            f"over {options.episodes} episodes; failures: {failures}"
        )
    return 0
