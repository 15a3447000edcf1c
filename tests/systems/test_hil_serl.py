"""The baseline end to end, small: exact resumption, and every operator step where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import CheckpointError, InvalidValueError, UnknownNameError
from handrail.core.values import Authority
from handrail.run.folder import RunFolder
from handrail.store import Dataset, checkpoint
from handrail.systems import hil_serl

CONFIG = replace(
    hil_serl.BUDGETS["smoke"], online_steps=400, demonstrations=2, start_steps=50, bc_updates=20, clone_updates=20,
    evaluate_every=200, evaluate_episodes=1, final_episodes=2, record_every=1, film=False, checkpoint_every=150,
    rlpd=replace(hil_serl.LEARNER, hidden=(32, 32), batch_size=32),
    bc=replace(hil_serl.HilSerlConfig().bc, hidden=(32, 32), batch_size=32),
)  # fmt: skip


def train(folder: Path, method: str = "hil-serl", resume: bool = True) -> dict[str, object]:
    return hil_serl.run(
        task="PickCube", method=method, seed=3, budget="smoke", folder=folder, resume=resume, config=CONFIG
    )


def recorded(folder: Path) -> list[int | None]:
    data = Dataset(folder / "episodes")
    return [data.meta(index).env_seed for index in range(data.num_episodes)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train(folder)
    return folder


def test_resumed_run_is_bit_identical(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = hil_serl.Training.save

    def save_then_stop(self: hil_serl.Training, folder: Path) -> None:
        saved(self, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(hil_serl.Training, "save", save_then_stop)
        train(tmp_path)
    assert RunFolder(tmp_path).has_checkpoint() and RunFolder(tmp_path).read_result() is None
    train(tmp_path)

    whole, resumed = (checkpoint.load(folder / "checkpoints" / "last") for folder in (finished, tmp_path))
    assert whole[0].keys() == resumed[0].keys()
    for key, value in whole[0].items():
        assert np.array_equal(value, resumed[0][key]), key
    for kind in ("episode", "update", "evaluation"):
        assert list(RunFolder(finished).lines(kind)) == list(RunFolder(tmp_path).lines(kind))
    assert recorded(tmp_path) == recorded(finished)  # what was on disk before the stop is there once


def test_every_operator_step_is_one_on_disk_in_the_buffers_and_in_the_metrics(finished: Path) -> None:
    result = RunFolder(finished).read_result()
    assert result is not None
    tensors, _ = checkpoint.load(finished / "checkpoints" / "last", task="PickCube")
    held = int(tensors["operator_held"].sum())
    assert held > 0 and result["intervention_rate"] == pytest.approx(held / result["online_steps"])

    data = Dataset(finished / "episodes")  # every training episode is recorded here, then the filmed evaluation ones
    training = [data.episode(i) for i in range(result["episodes"])]
    on_disk = np.concatenate([episode.columns["intervention"].ravel() for episode in training])
    assert np.array_equal(on_disk, tensors["operator_held"])
    actions = np.concatenate([episode.columns["action"] for episode in training])
    assert np.array_equal(actions, tensors["online/columns/action"])
    assert int((tensors["online/columns/authority"] == Authority.OPERATOR).sum()) == held

    shown = round(result["demonstration_seconds"] * 10)
    assert len(tensors["demonstrations/columns/action"]) == shown + held
    assert np.array_equal(tensors["demonstrations/columns/action"][shown:], actions[on_disk])

    lines = list(RunFolder(finished).lines("episode"))
    assert sum(line["operator_steps"] for line in lines) == held
    assert sum(sum(line["operator_steps_by_cause"].values()) for line in lines) == held
    assert result["operator_seconds"] == pytest.approx(held / 10)


def test_incidents_are_in_the_lines_and_in_the_result(finished: Path) -> None:
    result, lines = RunFolder(finished).read_result(), list(RunFolder(finished).lines("episode"))
    assert result is not None
    for name in ("clipped_steps", "stops", "overruns"):
        assert result[name] == sum(line[name] for line in lines) == 0  # its actions are within the box by construction


def test_evaluation_is_alone_and_repeatable(finished: Path) -> None:
    result = RunFolder(finished).read_result()
    assert result is not None
    again = hil_serl.evaluate_run(finished, range(1000, 1002))
    assert again.success == result["episodes_success"]
    data = Dataset(finished / "episodes")
    filmed = data.episode(data.num_episodes - 1)
    assert not filmed.columns["intervention"].any() and filmed.meta.env_seed == 1001


@pytest.mark.parametrize("method", ["bc", "rlpd", "hg-dagger", "hil-serl-value-operator"])
def test_every_method_of_the_table_runs(method: str, tmp_path: Path) -> None:
    config, online = replace(CONFIG, online_steps=150), method != "bc"
    result = hil_serl.run(task="PickCube", method=method, seed=3, budget="smoke", folder=tmp_path, config=config)
    assert (result["online_steps"] >= 150) == online
    assert (result["operator_seconds"] > 0) == hil_serl.METHODS_BY_NAME[method].operator
    assert (result["intervention_rate"] is None) == (not online) and result["demonstration_seconds"] > 0
    assert len(result["episodes_success"]) == 2


def test_what_is_kept_is_filmed(tmp_path: Path) -> None:
    config = replace(CONFIG, film=True, filmed_episodes=1, final_episodes=1)
    hil_serl.run(task="TubeInsertion", method="bc", seed=3, budget="smoke", folder=tmp_path, config=config)
    film = Dataset(tmp_path / "episodes").episode(0)
    assert film.meta.env_seed == 1000 and film.images("front").shape == (len(film), 240, 320, 3)


def test_methods_share_their_demonstrations(finished: Path, tmp_path: Path) -> None:
    train(tmp_path, "bc")
    key = "demonstrations/columns/action"
    alone, _ = checkpoint.load(tmp_path / "checkpoints" / "last")
    helped, _ = checkpoint.load(finished / "checkpoints" / "last")
    assert np.array_equal(alone[key], helped[key][: len(alone[key])])


def test_errors_say_what_to_do(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown method 'hilserl': did you mean hil-serl"):
        hil_serl.run(task="PickCube", method="hilserl", seed=0, budget="smoke", folder=tmp_path)
    with pytest.raises(InvalidValueError, match="evaluate_every is 0, the least is 1: give a larger number"):
        replace(CONFIG, evaluate_every=0)
    with pytest.raises(CheckpointError, match="is no run folder"):
        hil_serl.evaluate_run(tmp_path / "nowhere", range(1))
    with pytest.raises(CheckpointError, match="was begun with method hil-serl, not rlpd: give another folder"):
        train(finished, "rlpd")
    other = hil_serl.Training("TubeInsertion", "hil-serl", 0, CONFIG)
    with pytest.raises(CheckpointError, match="is of task 'PickCube', not 'TubeInsertion'"):
        other.load(finished / "checkpoints" / "last")
