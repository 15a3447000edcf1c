"""The system as a whole in its smallest size: every method, resuming, and what is shared."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handrail.bench.protocol import REQUIRED_KEYS, load_system
from handrail.core.errors import CheckpointError, UnknownNameError
from handrail.core.seeds import EVALUATION_ENV_SEEDS, FIRST_TRAINING_ENV_SEED
from handrail.operators.traits import EVALUATION_DRAWS, FIRST_TRAINING_DRAW
from handrail.run.folder import RunFolder
from handrail.store import Dataset
from handrail.systems import guided_offline, guided_teleop
from handrail.systems.guided_methods import METHODS_BY_NAME, AssistConfig
from handrail.systems.guided_offline import LEARNERS, OfflineConfig, evaluation_visits

from .guided import TINY

TASK = "PegInsertion"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / TASK


def run(runs: Path, method: str, **options: Any) -> dict[str, Any]:
    known = {"task": TASK, "seed": 0, "budget": "tiny", "folder": runs / method / "seed-0", "config": TINY}
    return guided_teleop.run(method=method, **(known | options))


@pytest.mark.parametrize("method", guided_teleop.METHODS)
def test_every_method_runs_and_says_what_the_protocol_asks(runs: Path, method: str) -> None:
    result = run(runs, method)
    json.dumps(result, allow_nan=False)
    assert set(REQUIRED_KEYS) <= set(result)
    assert result["episodes"] == 4  # one of each tier, and one who wants the other goal
    assert result["success"] == 0.0 and result["episodes_time_s"] == [0.5]  # nobody is that fast
    what = METHODS_BY_NAME[method]
    felt = bool(what.toward)
    assert (result["effort"] > 0.0) is (felt and result["level"] > 0.0)
    assert ("ece" in result) is (felt and method != "potential-field")
    assert result["knows_the_goal"] == int(method == "potential-field")
    assert ("ood_gap" in result) is (method in ("ours", *LEARNERS))


def test_methods_share_data_learners_and_people(runs: Path) -> None:
    run(runs, "no-cql")
    before = {path: path.stat().st_mtime_ns for path in (runs / "offline").rglob("*") if path.name != "lock"}
    assert {path.name for path in (runs / "offline" / "seed-0").iterdir()} >= {"cql", "cql-no-cql", "copilot", "data"}
    run(runs, "ours", resume=False)
    after = {path: path.stat().st_mtime_ns for path in (runs / "offline").rglob("*") if path.name != "lock"}
    assert after == before


def test_training_persons_are_never_those_of_the_evaluation(runs: Path) -> None:
    for kind in ("teleoperation", "calibration"):
        data = Dataset(runs / "offline" / "seed-0" / "data" / kind / "episodes")
        metas = [data.meta(index) for index in range(data.num_episodes)]
        assert [meta.operator_tier for meta in metas] == ["novice", "ordinary", "expert"]
        assert all(meta.operator_draw >= FIRST_TRAINING_DRAW for meta in metas)
        assert all(meta.env_seed >= FIRST_TRAINING_ENV_SEED for meta in metas)


def test_a_collection_that_was_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    options = ("TransferCube", 3, TINY.offline)
    whole = guided_offline.build(*options, tmp_path / "whole" / "seed-3", evaluated=True)
    build, folder = guided_offline.build, tmp_path / "cut" / "seed-3"
    said: list[str] = []

    def cut(text: str) -> None:
        said.append(text)
        if text.startswith("held-out persons") and len(said) > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(*options, folder, say=cut)
    people = folder.parent / "people"
    done = (people / "metrics.jsonl").read_text().splitlines()
    assert 0 < len(done) < len(whole.alone)
    (people / "metrics.jsonl").write_text("\n".join(done[:-1]) + "\n" + done[-1][:40])  # killed between record and line
    again = build(*options, folder, say=said.append)
    assert again.alone == whole.alone
    assert again.held_out is not None and whole.held_out is not None
    assert again.held_out.num_episodes == whole.held_out.num_episodes == len(whole.alone)
    for index in range(len(whole.alone)):
        one, other = again.held_out.episode(index), whole.held_out.episode(index)
        np.testing.assert_array_equal(one.columns["action"], other.columns["action"])


def test_another_task_is_not_built_on_top(runs: Path) -> None:
    with pytest.raises(CheckpointError, match="was built of another task"):
        guided_offline.build("TrayCarry", 0, TINY.offline, runs / "offline" / "seed-0")


def test_a_folder_of_any_name_holds_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    run(tmp_path, "unassisted", folder=folder)
    assert (folder / "offline" / "seed-0" / "cql").is_dir() and not (tmp_path / "offline").exists()
    run(tmp_path, "unassisted", folder=folder, resume=False)  # afresh, from what was learnt


def test_a_run_without_what_it_has_learnt_does_not_train_in_silence(runs: Path, tmp_path: Path) -> None:
    run(runs, "ours")
    shutil.copytree(runs / "ours" / "seed-0", tmp_path / "copied")
    with pytest.raises(CheckpointError, match=r"copied has no 'cql' in .*copied/offline/seed-0, where the run keeps"):
        guided_teleop.load(tmp_path / "copied")


def test_a_run_that_was_cut_short_goes_on_where_it_was(runs: Path, tmp_path: Path) -> None:
    whole = run(runs, "constant")
    folder = runs / "constant" / "seed-0"
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4
    (folder / "result.json").unlink()
    (folder / "metrics.jsonl").write_text("\n".join(lines[:2]) + '\n{"kind": "nomi')
    again = run(runs, "constant")
    moving = ("wall_s", "git", "command", "machine")
    assert {k: v for k, v in again.items() if k not in moving} == {k: v for k, v in whole.items() if k not in moving}
    assert [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] == [
        json.loads(line) for line in lines
    ]


def test_a_finished_run_is_read_and_another_is_refused(runs: Path) -> None:
    assert run(runs, "ours") == RunFolder(runs / "ours" / "seed-0").read_result()
    with pytest.raises(CheckpointError, match="was begun with method ours, not ida"):
        run(runs, "ida", folder=runs / "ours" / "seed-0")
    other = replace(TINY, offline=replace(TINY.offline, calm=0.2))
    with pytest.raises(CheckpointError, match="or with another configuration"):
        run(runs, "ida", config=other, resume=False)


def test_the_evaluation_is_that_of_the_protocol() -> None:
    visits = evaluation_visits(OfflineConfig())
    meant, switched = [v for v in visits if not v.switched], [v for v in visits if v.switched]
    count = {tier: sum(visit.tier == tier for visit in meant) for tier in ("ordinary", "novice", "expert")}
    assert count == {"ordinary": 40, "novice": 10, "expert": 10}
    seeds = [visit.env_seed for visit in meant]
    assert len(set(seeds)) == len(seeds) and set(seeds) <= set(EVALUATION_ENV_SEEDS)
    assert all(visit.draw in EVALUATION_DRAWS for visit in visits)
    assert len(switched) == 20
    assert all(replace(visit, switched=False) in meant for visit in switched)  # the same person, seed and noise


def test_what_the_bench_reads() -> None:
    system = load_system("guided-teleop")
    assert system.headline == "ours"
    assert len(system.tasks) == 10 and system.default_tasks("smoke") == ("TransferCube",)
    assert set(system.default_methods("standard", "TransferCube")) == {"unassisted", "blending", "bc-copilot", "ours"}
    assert system.default_methods("standard", "PegInsertion") == system.methods
    assert {cell.seed for cell in system.cells("standard")} == {0, 1, 2}


def test_what_a_copilot_or_an_actor_names_is_pulled_toward_softly() -> None:
    config = AssistConfig()
    softly = {name for name, what in METHODS_BY_NAME.items() if config.rendering(what.toward) != config.guidance}
    assert softly == {"bc-copilot", "ida", "value-actor", "no-actor"}
    assert config.rendering("copilot").hand_stiffness == config.soft < config.guidance.hand_stiffness


@pytest.mark.parametrize("method", ["blending", "ours"])
def test_off_leaves_the_command_and_the_hands_alone(runs: Path, method: str) -> None:
    run(runs, method)
    visit = evaluation_visits(TINY.offline)[0]
    _, alone = guided_teleop.load(runs / "unassisted" / "seed-0").station().run(visit)
    _, off = guided_teleop.load(runs / method / "seed-0").station("off").run(visit)
    _, on = guided_teleop.load(runs / method / "seed-0").station("on").run(visit)
    as_alone = [[np.array_equal(a.action, b.action) for a, b in zip(alone, other, strict=True)] for other in (off, on)]
    assert all(as_alone[0]) and not all(as_alone[1])


def test_unknown_names_are_answered(runs: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown method 'our'"):
        run(runs, "our")
    with pytest.raises(UnknownNameError, match="unknown task 'PickCube'"):
        run(runs, "ours", task="PickCube")


def test_a_loaded_run_assists_as_it_did(runs: Path) -> None:
    station = guided_teleop.load(runs / "ours" / "seed-0").station()
    first = next(iter(evaluation_visits(TINY.offline)))
    outcome, _ = station.run(first)
    line = next(RunFolder(runs / "ours" / "seed-0").lines("nominal"))
    assert np.isclose(outcome.effort_j, line["outcome"]["effort_j"])
    assert outcome.level == line["outcome"]["level"]
