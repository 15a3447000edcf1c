"""Run folders that look like real ones: an operator who steps in less and less while the policy gets better."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from handrail.core.values import Authority, Step, TakeoverCause
from handrail.store import DatasetWriter, EpisodeMeta

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


def frame(progress: float, operator: bool) -> np.ndarray:
    """A picture (72, 96, 3): a disc on its way to a slot, red while a person drives."""
    rows, columns = np.mgrid[:72, :96]
    image = np.full((72, 96, 3), 236, dtype=np.uint8)
    image[52:58] = (150, 160, 175)
    image[46:58, 78:86] = (90, 100, 115)
    disc = (rows - 42) ** 2 + (columns - 10 - 72 * progress) ** 2 < 49
    image[disc] = (200, 70, 40) if operator else (0, 114, 178)
    return image


def episode_steps(rng: np.random.Generator, length: int, takeovers: list[tuple[int, int]], success: bool) -> list[Step]:
    """One episode in which the operator drives during each (start, stop) of `takeovers`."""

    def see(t: int) -> dict[str, np.ndarray]:
        driven = any(a <= t < b for a, b in takeovers)
        return {"state": np.full(18, t / length, np.float32), "images.front": frame(t / length, driven)}

    steps = []
    for t in range(length):
        driven = any(a <= t < b for a, b in takeovers)
        near = max((np.exp(-abs(t - a) / 4.0) for a, _ in takeovers), default=0.0)
        last = t == length - 1
        action = rng.uniform(-1, 1, 5).astype(np.float32)
        steps.append(
            Step(
                observation=see(t), next_observation=see(t + 1), action=action, policy_action=action,
                operator_action=action if driven else None, assistant_action=None,
                authority=Authority.OPERATOR if driven else Authority.POLICY,
                takeover_cause=TakeoverCause.STUCK if driven else TakeoverCause.NONE,
                assist_level=0.0, risk=float(0.05 + 0.9 * near), value=t / length, reward=float(success and last),
                cost=0.0, terminated=success and last, truncated=last and not success,
                success=success and last, timestamp=t / 10, stamp_s=t / 10,
            )
        )  # fmt: skip
    return steps


def record_episodes(root: Path, training: int = 6, evaluation: int = 3, seed: int = 0) -> Path:
    """Write a real dataset: training episodes with ever fewer takeovers, then evaluation episodes alone."""
    rng = np.random.default_rng(seed)
    with DatasetWriter(root, 10) as writer:
        for index in range(training + evaluation):
            evaluated = index >= training
            count = 0 if evaluated else max(0, 3 - index // 2)
            takeovers = [(8 + 12 * k, 8 + 12 * k + int(rng.integers(4, 9))) for k in range(count)]
            success = index != training + evaluation - 1
            for step in episode_steps(rng, 48, takeovers, success):
                writer.add(step)
            writer.commit(
                EpisodeMeta(
                    task="TubeInsertion", instruction="insert the tube", run_seed=seed, success=success,
                    env_seed=1000 + index if evaluated else 10_000 + index,
                    operator_draw=None if evaluated else 7, operator_tier="" if evaluated else "ordinary",
                    failure_kind="" if success else "jammed", policy_version=str(100 * index),
                )
            )  # fmt: skip
    return root


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a small dataset; to be read only."""
    return record_episodes(tmp_path_factory.mktemp("recorded") / "episodes")


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write a run folder of this name below the test's own folder."""

    def write(name: str = "run", **options: object) -> Path:
        return write_run_folder(tmp_path / name, **options)  # type: ignore[arg-type]

    return write
