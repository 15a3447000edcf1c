"""Run folders that look like real ones: an operator who steps in less and less while the policy gets better."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CAUSES = ("STUCK", "DANGER", "FALSE_ALARM")
WriteRun = Callable[..., Path]


def episode_line(rng: np.random.Generator, index: int, skill: float) -> dict[str, object]:
    """One training episode at a policy's `skill` in [0, 1]; `online_steps` is filled in by the caller."""
    count = int(rng.poisson(1.6 * (1.0 - skill)))
    causes = rng.choice(CAUSES, size=count, p=(0.6, 0.3, 0.1))
    lengths = rng.integers(4, 16, size=count) * (1.4 - 0.6 * skill)
    length = int(np.clip(rng.normal(75 - 25 * skill, 10), 20, 100))
    steps = {c: int(min(lengths[causes == c].sum(), length // 3)) for c in CAUSES if (causes == c).any()}
    success = bool(rng.random() < 0.35 + 0.62 * skill)
    return {
        "kind": "episode", "episode": index, "success": success, "return": float(success), "length": length,
        "operator_steps": sum(steps.values()), "assistant_steps": 0,
        "takeovers": {c: int((causes == c).sum()) for c in steps}, "operator_steps_by_cause": steps,
        "operator_seconds": sum(steps.values()) / 10, "failure_kind": "" if success else "jammed",
        "clipped_steps": int(rng.random() < 0.02), "overruns": 0, "stops": 0,
    }  # fmt: skip


def metric_lines(seed: int, steps: int, pace: float) -> list[dict[str, object]]:
    """The whole `metrics.jsonl` of a run over `steps` online steps; a larger `pace` learns faster."""
    rng = np.random.default_rng(seed)
    lines: list[dict[str, object]] = []
    done, index = 0, 0
    while done < steps:
        skill = 1.0 - np.exp(-pace * 3.5 * done / steps)
        line = episode_line(rng, index, skill)
        before, done = done, done + int(str(line["length"]))
        lines.append({**line, "online_steps": done})
        index += 1
        if done // 500 > before // 500:
            loss = {
                "critic_loss": 0.02 * (1.2 - skill) * rng.lognormal(0, 0.25),
                "actor_loss": -skill + rng.normal(0, 0.05),
            }
            lines.append({"kind": "update", "online_steps": done, **loss, "temperature": 0.1 * np.exp(-3 * skill)})
            sample = rng.lognormal(np.log(0.8), 0.35, 50).round(3).tolist()
            lines.append({"kind": "latency", "online_steps": done, "decide_ms": sample})
        if done // (steps // 6) > before // (steps // 6):
            rate = float(np.clip(skill - 0.05 + rng.normal(0, 0.04), 0, 1).round(2))
            modes = {
                "stuck": round(40 * (1 - rate)),
                "jammed": round(20 * (1 - rate)),
                "dropped": round(9 * (1 - rate)),
            }
            lines.append({"kind": "evaluation", "online_steps": done, "success_rate": rate, "episodes": 20,
                          "return_mean": rate, "failure_modes": modes})  # fmt: skip
    return lines


def write_run_folder(
    folder: Path,
    *,
    seed: int = 0,
    method: str = "hil-serl",
    steps: int = 6000,
    pace: float = 1.0,
    finished: bool = True,
) -> Path:
    """Write config, metrics and result as a system does; no recorded episodes."""
    folder.mkdir(parents=True)
    command = f"handrail train hil-serl --task TubeInsertion --method {method} --seed {seed}"
    config = {
        "system": "hil-serl", "method": method, "task": "TubeInsertion", "seed": seed, "budget": "quick",
        "git": "b6c60cd1f0aa", "command": command,
        "learner": {"critics": 2, "updates_per_step": 4, "hidden": [256, 256], "discount": 0.97},
        "online_steps": steps, "demonstrations": 20,
    }  # fmt: skip
    lines = metric_lines(seed, steps, pace)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if finished:
        last = [line for line in lines if line["kind"] == "evaluation"][-1]
        result = {"success_rate_autonomous": last["success_rate"], "wall_s": 512.0}
        (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write a run folder of this name below the test's own folder."""

    def write(name: str = "run", **options: object) -> Path:
        return write_run_folder(tmp_path / name, **options)  # type: ignore[arg-type]

    return write
