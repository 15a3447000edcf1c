"""FARL end to end, small: one offline phase for all methods, help on record, exact resumption, the yoked control."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handrail.bench.protocol import REQUIRED_KEYS
from handrail.core.errors import CheckpointError, InvalidValueError, UnknownNameError
from handrail.core.values import Authority
from handrail.run.folder import RunFolder
from handrail.store import Dataset, checkpoint
from handrail.store.trajectories import Trajectories
from handrail.systems import farl
from handrail.systems.farl_offline import REWARD_MOST, learnable, paid

SMOKE = farl.BUDGETS["smoke"]
CONFIG = replace(
    SMOKE, online_steps=1_200, every=500, evaluate_episodes=2, final_episodes=3, record_every=1, film=False,
    offline=replace(SMOKE.offline, clone_updates=100, world_model_updates=60),
    ppo=replace(SMOKE.ppo, batch_size=400, hidden=(32, 32)),
)  # fmt: skip
CONFIG = replace(CONFIG, offline=replace(CONFIG.offline, policy=replace(CONFIG.offline.policy, hidden=(32, 32))))


def train(runs: Path, method: str = "farl", name: str = "", seed: int = 3) -> dict[str, object]:
    folder = runs / (name or method) / f"seed-{seed}"
    return farl.run(task="BoundedSoccer", method=method, seed=seed, budget="smoke", folder=folder, config=CONFIG)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    train(folder)
    return folder


def test_result_says_what_the_table_needs(runs: Path) -> None:
    result = RunFolder(runs / "farl" / "seed-3").read_result()
    assert result is not None and all(key in result for key in REQUIRED_KEYS)
    lines = list(RunFolder(runs / "farl" / "seed-3").lines("episode"))
    assert result["episodes"] == len(lines) and result["online_steps"] == sum(line["length"] for line in lines)
    assert result["failure_episodes"] == sum(line["failures"] > 0 for line in lines)
    assert result["bursts"] == sum(len(line["bursts"]) for line in lines) > 0
    assert 0.0 < result["assistant_rate"] < 1.0 and 0.0 <= result["auroc"] <= 1.0
    assert set(result["collected"]) == {"task", "failure", "recovery", "calibration"}
    bad = result["collected"]["failure"]
    assert bad["kept"] == bad["episodes"] and bad["failures_kept"] == bad["failures"] > 0.4 * bad["kept"]


def test_help_on_record_is_help_in_the_metrics(runs: Path) -> None:
    data = Dataset(runs / "farl" / "seed-3" / "episodes")
    lines = list(RunFolder(runs / "farl" / "seed-3").lines("episode"))
    assert data.num_episodes == len(lines)
    for index, line in enumerate(lines):
        authority = data.episode(index).columns["authority"].ravel()
        helped = np.zeros(line["length"], bool)
        for start, length in line["bursts"]:
            helped[start : start + length] = True
        assert np.array_equal(authority == Authority.ASSISTANT, helped)


def test_resumed_run_is_bit_identical(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = farl.Training.save

    def save_then_stop(self: farl.Training, folder: Path) -> None:
        saved(self, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(farl.Training, "save", save_then_stop)
        train(runs, name="broken")
    assert RunFolder(runs / "broken" / "seed-3").read_result() is None
    train(runs, name="broken")
    whole, resumed = (checkpoint.load(runs / name / "seed-3" / "checkpoints" / "last") for name in ("farl", "broken"))
    assert whole[0].keys() == resumed[0].keys()
    assert all(np.array_equal(value, resumed[0][key]) for key, value in whole[0].items())
    for kind in ("episode", "update", "evaluation"):
        assert list(RunFolder(runs / "farl" / "seed-3").lines(kind)) == list(
            RunFolder(runs / "broken" / "seed-3").lines(kind)
        )


def test_methods_share_one_offline_phase_and_differ_in_who_helps(runs: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (runs / "offline").rglob("*.safetensors")}
    unprotected, random = train(runs, "ppo"), train(runs, "random")
    assert {file: file.stat().st_mtime_ns for file in (runs / "offline").rglob("*.safetensors")} == before
    assert unprotected["assistant_rate"] == 0.0 and unprotected["auroc"] is None
    given = RunFolder(runs / "farl" / "seed-3").read_result()
    assert given is not None
    assert random["assistant_rate"] == pytest.approx(given["assistant_rate"], rel=0.5)


def test_the_yoked_control_needs_what_it_is_yoked_to(tmp_path: Path, runs: Path) -> None:
    (tmp_path / "offline").symlink_to(runs / "offline")
    with pytest.raises(InvalidValueError, match="random is yoked to it: run method farl of this seed first"):
        train(tmp_path, "random")


def test_an_offline_phase_of_another_configuration_is_refused(tmp_path: Path, runs: Path) -> None:
    (tmp_path / "offline").symlink_to(runs / "offline")
    other = replace(CONFIG, offline=replace(CONFIG.offline, clone_updates=101))
    with pytest.raises(CheckpointError, match="was built with another configuration"):
        farl.run(
            task="BoundedSoccer", method="ppo", seed=3, budget="smoke", folder=tmp_path / "ppo" / "seed-3", config=other
        )


def test_unknown_names_answer_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="oracle"):
        farl.run(task="BoundedPush", method="oracel", seed=0, budget="smoke", folder=tmp_path / "a" / "b" / "c")


def test_a_success_is_worth_staying_at_the_goal(runs: Path) -> None:
    data = Trajectories.read(Dataset(runs / "offline" / "seed-3" / "data" / "task"))
    scaled = learnable(data, CONFIG.offline)
    discount, scale = CONFIG.offline.policy.discount, CONFIG.offline.reward_scale
    gained = scaled.reward / scale - data.reward
    assert np.allclose(gained[~data.terminated], 0.0, atol=1e-4)
    assert np.allclose(gained[data.terminated], REWARD_MOST * discount / (1 - discount), rtol=1e-4)
    steps = Dataset(runs / "offline" / "seed-3" / "data" / "task").episode(0).steps()
    assert paid(steps, 250) == pytest.approx(sum(step.reward for step in steps) + REWARD_MOST * (250 - len(steps)))


def test_monitor_of_a_finished_run_is_its_own(runs: Path) -> None:
    monitor = farl.load_monitor(runs / "farl" / "seed-3")
    steps = Dataset(runs / "farl" / "seed-3" / "episodes").episode(0).steps()
    assert len(monitor.assess_many(steps)) == len(steps)
    kept = json.loads((runs / "offline" / "seed-3" / "calibration.json").read_text())
    assert kept["calibration"]["onsets"] > 0
