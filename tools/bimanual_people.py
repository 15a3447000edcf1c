"""How well simulated people do the bimanual tasks alone: what the difficulty of the tasks is fixed by.

    python tools/bimanual_people.py TransferCube PegInsertion --horizon 1500

Development draws and env seeds only. One line a task and tier: success within the horizon, how it grows with the
horizon, the time of those who succeed, why the others fail, and how fast it was simulated. `--json` keeps
everything.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS
from handrail.systems.guided_station import TIERS, Outcome, Station, visits

PEOPLE = {"novice": (5, 2), "ordinary": (10, 2), "expert": (5, 2)}  # draws, episodes each
HORIZONS_S = (8, 10, 12, 14, 15, 16, 18, 20, 25)


def measured(station: Station, tier: str, share: float) -> tuple[list[Outcome], float]:
    """The outcomes of one tier, and simulated seconds per second of processor time."""
    people, each = PEOPLE[tier]
    started = time.process_time()
    come = visits(tier, range(max(1, round(people * share))), each, DEVELOPMENT_ENV_SEEDS[0])
    found = [station.run(visit)[0] for visit in come]
    return found, sum(one.time_s for one in found) / (time.process_time() - started)


def line(task: str, tier: str, found: list[Outcome], rate: float) -> str:
    wins = [one.time_s for one in found if one.success]
    grows = "  ".join(f"{h}s {np.mean([one.success and one.time_s <= h for one in found]):.2f}" for h in HORIZONS_S)
    why = Counter(one.failure for one in found if not one.success).most_common()
    success, mean_s = np.mean([one.success for one in found]), f"{np.mean(wins):.1f} s" if wins else "never"
    told = ", ".join(f"{kind} {count}" for kind, count in why)
    return f"{task:13} {tier:9} {success:.2f} of {len(found)} {mean_s:7} | {grows} | {told} | {rate:.1f} x real time\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="how well simulated people do the bimanual tasks alone")
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--horizon", type=int, help="steps; longer than the task's own shows what more time would do")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the tasks")
    parser.add_argument("--tiers", nargs="+", choices=TIERS, default=TIERS)
    parser.add_argument("--share", type=float, default=1.0, help="of the people that come")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    options: dict[str, Any] = {name: float(value) for name, value in (pair.split("=") for pair in asked.set)}
    if asked.horizon:
        options["horizon"] = asked.horizon
    kept: dict[str, Any] = {}
    for task in asked.tasks:
        station = Station(task, **options)
        for tier in asked.tiers:
            found, rate = measured(station, tier, asked.share)
            sys.stdout.write(line(task, tier, found, rate))
            sys.stdout.flush()
            kept.setdefault(task, {"options": options})[tier] = [asdict(one) for one in found]
            if asked.json:
                asked.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
