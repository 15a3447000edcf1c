"""`kill -9` at random moments of real recording processes loses no committed episode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from handrail.store import Dataset, check, repair

SCRIPT = Path(__file__).with_name("kill_rounds.py")


def rounds(root: Path, count: int, images: str) -> list[dict]:
    command = [sys.executable, str(SCRIPT), str(root), str(count), images]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("count", "images"), [(50, "none"), (10, "image"), (10, "video")])
def test_kill_at_random_moments(tmp_path, count, images) -> None:
    root = tmp_path / "set"
    said = rounds(root, count, images)
    assert len(said) == count
    committed = -1
    for entry in said:
        assert entry["opened"] >= committed + 1, "an episode that was committed before the kill is gone after it"
        committed = max([committed, *entry["committed"]])
    hit = sum(entry["leftovers"] > 0 for entry in said[1:])
    assert hit, "no kill fell into a commit, so that nothing was shown: shorten the steps between them"
    assert not [problem for problem in check(root) if problem.kind == "damaged"]
    dataset = Dataset(root)
    assert dataset.num_episodes >= committed + 1
    for number in range(dataset.num_episodes):
        state = dataset.episode(number).columns["observation.state"]
        np.testing.assert_array_equal(state, [[number, i] for i in range(4)])
    if images != "none":
        assert len(dataset.episode(dataset.num_episodes - 1).images("front")) == 4
    repair(root)
    assert check(root) == [] and repair(root) == []
    assert Dataset(root).num_episodes == dataset.num_episodes
