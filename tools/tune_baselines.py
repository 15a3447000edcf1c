"""Tuning trials of the HIL-SERL table's other methods, so that every method gets as many as `hil-serl` did.

    python tools/tune_baselines.py bc TubeInsertion --trials 18
    python tools/tune_baselines.py hg-dagger TubeInsertion --trials 18
    python tools/tune_baselines.py rlpd PickCube --trials 4

Trial 0 is the default setting. The cloning methods then go on by random search over `draw` (the same settings on every
task; `hg-dagger` tries the best of `bc` first), `rlpd` down the list `RLPD_SETTINGS`. Every trial is one training run
of run seed 100, which no table uses, scored by autonomous success on env seeds 0 to 19, and is appended to
results/tuning.json as it ends; what is there already is skipped. At the end the two best trials and the default are
scored again on env seeds 0 to 99.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from handrail.bench.tuning import TUNING_FILE, Trial, record_trial, trials
from handrail.core.config import from_mapping
from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS
from handrail.learn import BCConfig, RLPDConfig
from handrail.nets import one_thread
from handrail.run.evaluate import evaluate
from handrail.systems import hil_serl
from handrail.systems.hil_serl import HilSerlConfig, Training

RUN_SEED = 100
TRIAL_SEEDS, CONFIRM_SEEDS = DEVELOPMENT_ENV_SEEDS[:20], DEVELOPMENT_ENV_SEEDS
CONFIRMED = 2
ONLINE_STEPS = {"bc": 1, "hg-dagger": 6_000, "rlpd": 9_000}  # that of bc counts nothing: it is offline
BC_UPDATES = (1_000, 4_000)
WINNERS = 3  # of bc, tried first by hg-dagger

Setting = dict[str, Any]
"""Fields of `HilSerlConfig` and, under "bc" or "rlpd", of the learner's own config."""

RLPD_SETTINGS: tuple[Setting, ...] = (
    {},
    {"rlpd": asdict(RLPDConfig())},
    {"rlpd": asdict(replace(hil_serl.LEARNER, target_entropy=-5.0))},
    {"rlpd": asdict(replace(hil_serl.LEARNER, bc_weight=0.1))},
)
"""As tuned through `hil-serl`; the public defaults; more exploration; less of a pull toward the demonstrations."""


def draw(rng: np.random.Generator) -> Setting:
    """One point of the space in which the cloning methods are searched."""
    bc = {
        "head": str(rng.choice(["gaussian", "flow"])),
        "horizon": int(rng.choice([1, 4, 8])),
        "hidden": [256] * int(rng.choice([2, 3])),
        "learning_rate": _log_uniform(rng, 3e-4, 3e-3),
        "weight_decay": float(rng.choice([0.0, 1e-4, 1e-2])),
        "layer_norm": bool(rng.integers(2)),
        "min_std": float(rng.choice([0.03, 0.1, 0.3])),
        "batch_size": int(rng.choice([128, 256])),
    }
    return {"bc": bc, "bc_updates": int(_log_uniform(rng, *BC_UPDATES))}


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.2g}")


class Search:
    """The trials of one method on one task."""

    def __init__(self, method: str, task: str, file: Path) -> None:
        self.method, self.task, self.file = method, task, file
        self._learners: dict[int, Any] = {}
        self._first: Training | None = None

    def run(self, count: int) -> None:
        settings = self.settings(count)
        for number, setting in enumerate(settings):
            if number not in self.on_record():
                self._record(number, setting, TRIAL_SEEDS)
        scores = self.on_record()
        best = heapq.nlargest(CONFIRMED, range(count), key=scores.__getitem__)
        for number in dict.fromkeys([0, *best]):
            if number not in self.on_record(confirmed=True):
                self._record(number, settings[number], CONFIRM_SEEDS)

    def settings(self, count: int) -> list[Setting]:
        """The first `count` trials; the default is the first of them."""
        if self.method == "rlpd":
            return list(RLPD_SETTINGS[:count])
        rng = np.random.default_rng([RUN_SEED, self.method == "hg-dagger"])
        winners = best_settings("bc", self.task, self.file)[:WINNERS] if self.method == "hg-dagger" else []
        return [{}, *winners, *(draw(rng) for _ in range(count))][:count]

    def on_record(self, confirmed: bool = False) -> dict[int, float]:
        """Trial number -> score, of what earlier runs of this tool left."""
        seeds = CONFIRM_SEEDS if confirmed else TRIAL_SEEDS
        return {
            trial["config"]["trial"]: trial["score"]
            for trial in of_this_tool(self.method, self.task, self.file)
            if len(trial["seeds"]) == len(seeds)
        }

    def _record(self, number: int, setting: Setting, seeds: range) -> None:
        if number not in self._learners:
            self._learners[number] = self._train(setting)
        assert self._first is not None
        score = evaluate(self._first.alone, self._learners[number], seeds).success_rate
        config = {"trial": number, "run_seed": RUN_SEED, "online_steps": ONLINE_STEPS[self.method], **setting}
        record_trial(Trial("hil-serl", self.task, self.method, config, seeds, score), self.file)
        sys.stdout.write(f"{self.task} {self.method} trial {number}: {score:.2f} on {len(seeds)} seeds, {setting}\n")
        sys.stdout.flush()

    def _train(self, setting: Setting) -> Any:
        """Train from demonstrations, the same in all trials, to the end of the online phase."""
        scene = self._first.scene if self._first else None
        training = Training(self.task, self.method, RUN_SEED, configured(setting, ONLINE_STEPS[self.method]), scene)
        if self._first is None:
            training.collect_demonstrations()
            self._first, self._demonstrations = training, training.demonstrations.state()
        training.demonstrations.load_state(self._demonstrations)
        training.learn_demonstrations()
        while training.method.online and training.steps < training.config.online_steps:
            training.run_episode()
        return training.learner


def configured(setting: Setting, online_steps: int) -> HilSerlConfig:
    """The system's default with `setting` laid over it."""
    base = replace(HilSerlConfig(), online_steps=online_steps)
    changed: Setting = {key: value for key, value in setting.items() if key not in ("bc", "rlpd")}
    changed["bc"] = from_mapping(BCConfig, asdict(base.bc) | setting.get("bc", {}))
    changed["rlpd"] = from_mapping(RLPDConfig, asdict(base.rlpd) | setting.get("rlpd", {}))
    return replace(base, **changed)


def of_this_tool(method: str, task: str, file: Path) -> list[Mapping[str, Any]]:
    wanted = {"system": "hil-serl", "task": task, "method": method}
    found = [trial for trial in trials(file) if all(trial[key] == value for key, value in wanted.items())]
    return [trial for trial in found if trial["config"].get("run_seed") == RUN_SEED]


def best_settings(method: str, task: str, file: Path) -> list[Setting]:
    """Settings other than the default of `method`'s trials on record, best first."""
    found = [trial for trial in of_this_tool(method, task, file) if len(trial["seeds"]) == len(TRIAL_SEEDS)]
    ranked = sorted((t for t in found if t["config"]["trial"] > 0), key=lambda trial: -trial["score"])
    return [{key: t["config"][key] for key in ("bc", "bc_updates")} for t in ranked]


def main() -> int:
    flags = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    flags.add_argument("method", choices=sorted(ONLINE_STEPS))
    flags.add_argument("task", choices=hil_serl.TASKS)
    flags.add_argument("--trials", type=int, required=True, metavar="N", help="trials 0 to N-1, the default among them")
    flags.add_argument("--file", type=Path, default=TUNING_FILE, help="where they are recorded")
    options = flags.parse_args()
    one_thread()
    Search(options.method, options.task, options.file).run(options.trials)
    return 0


if __name__ == "__main__":
    sys.exit(main())
