"""Trials of guided teleoperation on development persons: what a setting is worth before anything is evaluated.

    python tools/guided_trials.py BoxStack ours --set offline.cql.updates=6000 offline.calm=0.4 --record
    python tools/guided_trials.py BoxStack potential-field

Learns from the training persons of run seed 100, which no table uses (kept in --runs, one folder a configuration), and
lets development draws 0 to 9 drive twice each on env seeds 0 to 19, alone and assisted. `--record` appends the trial to
results/tuning.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from handrail.bench.tuning import Trial, record_trial
from handrail.core.config import config_hash, from_mapping
from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS
from handrail.nets import one_thread
from handrail.store.atomic import write_atomically
from handrail.systems import guided_methods, guided_offline, guided_teleop
from handrail.systems.guided_measures import told
from handrail.systems.guided_station import Outcome, Station, visits
from handrail.systems.guided_teleop import GuidedConfig

RUN_SEED = 100
PEOPLE, EACH = 10, 2
SHOWN = ("success", "time_ratio", "irreversible_failure", "effort", "level", "failure_modes")


def changed(config: GuidedConfig, pairs: list[str]) -> GuidedConfig:
    """`config` with "offline.cql.updates=6000" and the like applied; values are JSON."""
    values = json.loads(json.dumps(asdict(config)))
    for pair in pairs:
        name, _, text = pair.partition("=")
        *path, last = name.split(".")
        inner = values
        for key in path:
            inner = inner[key]
        if last not in inner:
            raise SystemExit(f"no setting {name}: {', '.join(inner)}")
        inner[last] = json.loads(text)
    return from_mapping(GuidedConfig, values)


def alone(task: str, tier: str, folder: Path) -> list[Outcome]:
    """What development persons do without help, measured once."""
    file = folder / f"alone-{tier}.json"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        station = Station(task)
        found = [asdict(station.run(visit)[0]) for visit in come(tier)]
        write_atomically(file, json.dumps(found).encode())
    return [from_mapping(Outcome, one) for one in json.loads(file.read_text())]


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def come(tier: str) -> Any:
    return visits(tier, range(PEOPLE), EACH, DEVELOPMENT_ENV_SEEDS[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="trials of guided teleoperation on development persons")
    parser.add_argument("task", choices=guided_teleop.TASKS)
    parser.add_argument("method", choices=guided_teleop.METHODS)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="of GuidedConfig")
    parser.add_argument("--budget", default="standard", choices=guided_teleop.BUDGETS)
    parser.add_argument("--runs", type=Path, default=Path("runs/guided-trials"))
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    one_thread()
    config = changed(guided_teleop.BUDGETS[asked.budget], asked.set)
    folder = asked.runs / asked.task / config_hash(json.loads(json.dumps(asdict(config.offline)))) / f"seed-{RUN_SEED}"
    learner = guided_methods.METHODS_BY_NAME[asked.method].learner
    built = guided_offline.build(asked.task, RUN_SEED, config.offline, folder, learner, say, evaluated=False)
    station = guided_methods.station(asked.task, asked.method, config.assist, built, config.offline.gate)
    before = alone(asked.task, "ordinary", asked.runs / asked.task)
    helped = [station.run(visit)[0] for visit in come("ordinary")]
    found, unhelped = told(helped, before), told(before, before)
    shown = {name: found[name] for name in SHOWN} | {"alone": unhelped["success"]}
    sys.stdout.write(json.dumps(shown) + "\n")
    if asked.record:
        setting = {"set": asked.set, "score": "success of ordinary development persons"} | shown
        seeds = [one.visit.env_seed for one in helped]
        record_trial(Trial("guided-teleop", asked.task, asked.method, setting, seeds, found["success"]))


if __name__ == "__main__":
    main()
