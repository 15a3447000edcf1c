"""Tuning trials of the FARL table's other methods on development seeds, appended to results/tuning.json.

    python tools/farl_trials.py ppo-lagrangian BoundedPush --runs /tmp/farl-trials
    python tools/farl_trials.py safety-q ObstructedPush --runs /tmp/farl-trials --steps 30000

Every trial is one online phase of run seed 100, which no table uses, from one offline phase (kept under --runs), with
one of `SETTINGS`; the empty one is the default. `score` is autonomous success on env seeds 0 to 39; what was paid for
it while learning is in `config`. Of a method's settings the table takes the one with the fewest failing episodes over
both tasks among those whose final return is within a tenth of unprotected `ppo`, or, where none is, of the best among
them. What is on record is skipped.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from handrail.bench.tuning import TUNING_FILE, Trial, record_trial, trials
from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS
from handrail.run.folder import RunFolder
from handrail.systems import farl
from handrail.systems.farl import FarlConfig

RUN_SEED = 100
SEEDS = DEVELOPMENT_ENV_SEEDS[:40]
Setting = dict[str, float]
"""Fields of `FarlConfig`, and of its PPO after "ppo."."""

SETTINGS: dict[str, tuple[Setting, ...]] = {
    "ppo": ({},),
    "ppo-lagrangian": (
        {"cost_limit": 1.0},
        {},
        {"cost_limit": 5.0},
        {"cost_limit": 1.0, "ppo.multiplier_learning_rate": 0.01},
        {"cost_limit": 1.0, "ppo.multiplier_learning_rate": 0.2},
    ),
    "ppo-penalty": ({"penalty": 10.0}, {"penalty": 1.0}, {"penalty": 3.0}, {}),
    "safety-q": ({"safety_eps": 0.2}, {}, {"safety_eps": 0.1}, {"safety_eps": 0.35}),
}


def configured(setting: Setting, steps: int) -> FarlConfig:
    """The standard budget with `setting` laid over it, cut to `steps` online steps."""
    base = replace(farl.BUDGETS["standard"], online_steps=steps, every=steps, film=False)
    ppo = {name.removeprefix("ppo."): value for name, value in setting.items() if name.startswith("ppo.")}
    own: dict[str, Any] = {name: value for name, value in setting.items() if not name.startswith("ppo.")}
    return replace(base, ppo=replace(base.ppo, **ppo), evaluate_episodes=len(SEEDS), final_episodes=1, **own)


def try_one(task: str, method: str, number: int, steps: int, runs: Path, file: Path) -> None:
    """One trial; its score is that of the last check on development seeds, after the last update."""
    setting = SETTINGS[method][number]
    folder = runs / task / f"{method}-{number}" / f"seed-{RUN_SEED}"
    config = configured(setting, steps)
    result = farl.run(task=task, method=method, seed=RUN_SEED, budget="trial", folder=folder, config=config)
    last = list(RunFolder.open(folder).lines("evaluation"))[-1]
    tried = {
        "trial": number, "run_seed": RUN_SEED, "online_steps": steps, **setting,
        **{name: round(result[name], 4) for name in ("failure_episode_rate", "success_rate_assisted")},
        "return_normalised": round(last["return_normalised"], 4),
    }  # fmt: skip
    record_trial(Trial("farl", task, method, tried, SEEDS, last["success_rate"]), file)
    sys.stdout.write(f"{task} {method}: {tried}, success {last['success_rate']:.2f}\n")
    sys.stdout.flush()


def on_record(task: str, method: str, file: Path) -> set[int]:
    """Numbers of this method's trials that earlier runs of this tool left."""
    wanted = {"system": "farl", "task": task, "method": method}
    found = [trial for trial in trials(file) if all(trial[key] == value for key, value in wanted.items())]
    return {trial["config"]["trial"] for trial in found if "trial" in trial["config"]}


def main() -> int:
    flags = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    flags.add_argument("method", choices=sorted(SETTINGS))
    flags.add_argument("task", choices=farl.TASKS)
    flags.add_argument("--steps", type=int, default=60_000, help="online steps of a trial")
    flags.add_argument("--runs", type=Path, required=True, help="where the runs are kept")
    flags.add_argument("--file", type=Path, default=TUNING_FILE, help="where trials are recorded")
    options = flags.parse_args()
    for number in range(len(SETTINGS[options.method])):
        if number not in on_record(options.task, options.method, options.file):
            try_one(options.task, options.method, number, options.steps, options.runs, options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
