"""Recording a state step, reading a random window of 64 steps, opening a set of 1,000 episodes.

Recorded are episodes of 100 steps, 18 + 7 numbers of state and 5 of action. `add_us` is what the loop pays at a step;
`step_us` has the commit's share in it: data, final observation and index row on disk, each fsynced. The peer is the
least that could be done: the same columns as one fsynced `.npz` an episode, without index, statistics or layout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from idle import Quiet, parser, report

from handrail.core.values import Array, Authority, Step, TakeoverCause
from handrail.store import Dataset, DatasetWriter, EpisodeMeta
from handrail.store.layout import INDEX

LENGTH = 100
WINDOW = 64
WINDOWS = 2_000
META = EpisodeMeta("TubeInsertion", "insert the tube", 0, 0, 3, "ordinary", True)
TARGET_STEP_US, TARGET_WINDOW_MS, TARGET_OPEN_S = 50.0, 1.0, 1.0


def steps(rng: np.random.Generator) -> list[Step]:
    """One episode of a state task; the operator drives a quarter of it."""
    seen = [{"state": vector(rng, 18), "environment_state": vector(rng, 7)} for _ in range(LENGTH + 1)]
    return [step(i, seen[i], seen[i + 1], vector(rng, 5)) for i in range(LENGTH)]


def vector(rng: np.random.Generator, width: int) -> Array:
    return rng.normal(size=width).astype(np.float32)


def step(i: int, now: dict[str, Array], after: dict[str, Array], action: Array) -> Step:
    operated, last = i % 20 < 5, i == LENGTH - 1
    who = (Authority.OPERATOR, TakeoverCause.STUCK) if operated else (Authority.POLICY, TakeoverCause.NONE)
    hands = (action if operated else None, None)
    outcome = (float(last), 0.0, last, False, last)
    return Step(now, after, action, action, *hands, *who, 0.0, 0.1, 0.9, *outcome, i / 10, i / 10 + 0.001)


def seconds(action: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    action()
    return time.perf_counter() - started_s


def add_all(writer: DatasetWriter, episode: list[Step]) -> None:
    for one in episode:
        writer.add(one)


def writing(root: Path, episode: list[Step], count: int) -> dict[str, float]:
    """Record `count` episodes; medians over episodes."""
    adds_s, commits_s = [], []
    with DatasetWriter(root, 10) as writer:
        for _ in range(count):
            adds_s.append(seconds(lambda: add_all(writer, episode)))
            commits_s.append(seconds(lambda: writer.commit(META)))
    tenth = max(1, count // 10)
    add_us, commit_ms = 1e6 * statistics.median(adds_s) / LENGTH, 1e3 * statistics.median(commits_s)
    return {
        "add_us": round(add_us, 2),
        "commit_ms": round(commit_ms, 3),
        "step_us": round(add_us + 1e3 * commit_ms / LENGTH, 2),
        "commit_growth": round(statistics.median(commits_s[-tenth:]) / statistics.median(commits_s[:tenth]), 3),
    }


def plain_writing(folder: Path, columns: dict[str, Array], count: int) -> float:
    """Write the same columns as `.npz`, fsynced; median microseconds a step."""
    folder.mkdir()

    def write(number: int) -> None:
        with open(folder / f"{number}.npz", "wb") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())

    return round(1e6 * statistics.median(seconds(lambda i=i: write(i)) for i in range(count)) / LENGTH, 2)


def reading(root: Path) -> dict[str, float]:
    """Read random windows of a set whose episodes are in memory."""
    dataset = Dataset(root)
    for episode in dataset:
        len(episode.final_observation)
    picks = np.random.default_rng(1).integers(0, dataset.num_steps, WINDOWS).tolist()
    times_ms = [1e3 * seconds(lambda at=at: dataset.window(at, WINDOW, WINDOW)) for at in picks]
    p50, p99 = np.percentile(times_ms, (50, 99))
    return {"window_ms_p50": round(float(p50), 4), "window_ms_p99": round(float(p99), 4)}


def opening(root: Path, copy: Path) -> dict[str, float]:
    """Open the set: as it was recorded, and as a copy whose journal is gone, so that every file is read."""
    shutil.copytree(root, copy)
    forgotten_s = []
    for _ in range(3):
        (copy / INDEX).unlink(missing_ok=True)
        forgotten_s.append(seconds(lambda: Dataset(copy)))
    return {
        "open_s": round(statistics.median(seconds(lambda: Dataset(root)) for _ in range(5)), 4),
        "open_without_journal_s": round(statistics.median(forgotten_s), 4),
    }


def measure(folder: Path, count: int) -> dict[str, object]:
    episode = steps(np.random.default_rng(0))
    writing(folder / "warm-up", episode, 3)
    root = folder / "set"
    found: dict[str, float] = writing(root, episode, count)
    found["plain_npz_step_us"] = plain_writing(folder / "plain", Dataset(root).episode(0).columns, min(count, 100))
    found |= reading(root) | opening(root, folder / "copy")
    return {
        "benchmark": "store",
        "episodes": count,
        **found,
        "target_step_us": TARGET_STEP_US,
        "target_window_ms": TARGET_WINDOW_MS,
        "target_open_s": TARGET_OPEN_S,
        "met_step": found["step_us"] <= TARGET_STEP_US,
        "met_window": found["window_ms_p99"] <= TARGET_WINDOW_MS,
        "met_open": found["open_s"] <= TARGET_OPEN_S,
    }


def main() -> int:
    flags: argparse.ArgumentParser = parser((__doc__ or "").splitlines()[0])
    flags.add_argument("--folder", type=Path, help="where to write; the system's temporary folder when not given")
    options = flags.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, Quiet(options) as quiet:
        result = measure(Path(folder), 20 if options.smoke else 1_000)
    return report(result, quiet, options)


if __name__ == "__main__":
    sys.exit(main())
