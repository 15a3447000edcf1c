"""A tiny real system: a Gaussian bandit that learns with NumPy, in its own process, with checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handrail.systems import SYSTEMS

SYSTEM = """
import json, os, signal, time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

@dataclass(frozen=True)
class Config:
    online_steps: int

TASKS = ("Left", "Right")
METHODS = ("greedy", "bandit")
HEADLINE = "bandit"
HEADLINE_METHODS = ("bandit",)
BUDGETS = {"smoke": Config(200), "quick": Config(200), "standard": Config(400)}
RATE = {"greedy": 0.4, "bandit": 0.8}

def run(*, task, method, seed, budget, folder, resume=True):
    folder.mkdir(parents=True, exist_ok=True)
    if resume and (folder / "result.json").exists():
        return json.loads((folder / "result.json").read_text())
    state = {"step": 0, "estimate": 0.0, "starts": 0}
    if resume and (folder / "state.json").exists():
        state = json.loads((folder / "state.json").read_text())
    state["starts"] += 1
    for step in range(state["step"], BUDGETS[budget].online_steps):
        draw = np.random.default_rng([seed, step]).random() < RATE[method]
        state = state | {"step": step + 1, "estimate": state["estimate"] + (draw - state["estimate"]) / (step + 1)}
        if (step + 1) % 50 == 0:
            (folder / "state.tmp").write_text(json.dumps(state))
            (folder / "state.tmp").replace(folder / "state.json")
            with (folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps({"kind": "episode", "online_steps": step + 1}) + "\\n")
        trap = folder / f"trap-{step}"  # a test asks to be met here: halfway between two checkpoints
        if trap.exists():
            what = trap.read_text()
            trap.unlink()
            if what == "crash":
                raise RuntimeError("the bandit broke an arm")
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            (folder / "waiting").touch()
            time.sleep(60)
    episodes = (np.random.default_rng([seed, 7]).random(100) < RATE[method]).astype(int).tolist()
    result = {
        "system": "toy", "task": task, "method": method, "seed": seed, "budget": budget, "online_steps": state["step"],
        "episodes": 4, "success_rate_autonomous": sum(episodes) / 100, "episodes_success": episodes,
        "takeovers": {"STUCK": 2 + seed, **({"DANGER": 3} if seed == 0 else {})}, "operator_seconds_to_80": None,
        "estimate": state["estimate"], "starts": state["starts"], "wall_s": 1.0,
    }
    (folder / "result.json").write_text(json.dumps(result))
    return result
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Register the system "toy" for this test, in its own module."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "handrail_toy_system.py").write_text(SYSTEM)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setitem(SYSTEMS, "toy", "handrail_toy_system")
    yield "toy"
    sys.modules.pop("handrail_toy_system", None)
