"""The runner with real processes: resumed, killed, crashed, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from handrail.bench.progress import online_steps
from handrail.bench.protocol import REQUIRED_KEYS, Cell, load_system
from handrail.bench.runner import BenchConfig, cells_of, is_complete, run_bench
from handrail.core.errors import InvalidValueError, UnknownNameError, WriteError
from handrail.core.provenance import command_line


@pytest.fixture
def config(toy: str, tmp_path: Path) -> BenchConfig:
    return BenchConfig(
        toy,
        tasks=("Left",),
        methods=("bandit",),
        seeds=(0,),
        budget="smoke",
        results=tmp_path / "results",
        runs=tmp_path / "runs",
    )


CELL = Cell("toy", "smoke", "Left", "bandit", 0)


def _result(config: BenchConfig, cell: Cell = CELL) -> dict:
    return json.loads(cell.result_file(config.results).read_text())


def _trap(config: BenchConfig, step: int, what: str, cell: Cell = CELL) -> Path:
    folder = cell.run_folder(config.runs)
    folder.mkdir(parents=True)
    (folder / f"trap-{step}").write_text(what)
    return folder


def test_a_run_that_starts_from_another_waits_for_it(config: BenchConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    both = replace(config, methods=("greedy", "bandit"), workers=2)
    assert load_system("toy").awaited(replace(CELL, method="greedy")) is None
    monkeypatch.setattr(sys.modules["handrail_toy_system"], "AFTER", {"greedy": "bandit"}, raising=False)
    assert load_system("toy").awaited(replace(CELL, method="greedy")) == CELL
    heard: list[str] = []
    assert len(run_bench(both, heard.append).done) == 2
    assert heard == ["Left bandit seed 0: done", "Left greedy seed 0: done"]


def test_a_bench_writes_each_result_with_its_provenance(config: BenchConfig) -> None:
    heard: list[str] = []
    report = run_bench(replace(config, methods=(), seeds=(0, 1)), heard.append)
    assert len(report.done) == 4 and not report.failed and not report.skipped
    assert sorted(heard)[0] == "Left bandit seed 0: done" and len(heard) == 4
    result = _result(config)
    assert set(REQUIRED_KEYS) <= set(result)
    assert result["online_steps"] == 200 and result["intervention_rate"] is None
    assert result["git"] and result["machine"]["cores"] >= 1 and result["command"] == command_line()
    assert config.results.joinpath("toy/smoke/Left/greedy/seed-1.json").is_file()
    assert not list(config.results.rglob("*.tmp"))


def test_complete_runs_are_skipped_and_fresh_measures_again(config: BenchConfig) -> None:
    run_bench(config)
    path = CELL.result_file(config.results)
    before = path.stat().st_mtime_ns
    assert run_bench(config).skipped == (CELL,)
    assert path.stat().st_mtime_ns == before
    path.write_text(path.read_text()[:100])  # cut short
    assert not is_complete(CELL, config.results)
    assert run_bench(config).done == (CELL,)
    assert run_bench(replace(config, fresh=True)).done == (CELL,)


def test_a_finished_run_keeps_the_code_and_command_that_made_it(config: BenchConfig) -> None:
    folder = CELL.run_folder(config.runs)
    run_bench(config)
    (folder / "result.json").write_text(json.dumps(_result(config) | {"git": "abc", "command": "an earlier one"}))
    CELL.result_file(config.results).unlink()
    run_bench(config)
    assert (_result(config)["git"], _result(config)["command"]) == ("abc", "an earlier one")


def test_a_killed_run_goes_on_where_its_checkpoint_was(config: BenchConfig) -> None:
    run_bench(replace(config, runs=config.runs.with_name("unbroken"), results=config.results.with_name("whole")))
    unbroken = _result(replace(config, results=config.results.with_name("whole")))
    folder = _trap(config, 130, "kill")
    failed = run_bench(config).failed[CELL]
    assert "died of SIGKILL" in failed and "SIGKILL" in (folder / "error.txt").read_text()
    assert json.loads((folder / "state.json").read_text())["step"] == 100
    assert run_bench(config).done == (CELL,)
    assert _result(config)["starts"] == 2 and unbroken["starts"] == 1
    assert _result(config)["estimate"] == unbroken["estimate"]
    assert not (folder / "error.txt").exists()


def test_a_crash_is_reported_and_the_others_go_on(config: BenchConfig) -> None:
    folder = _trap(config, 10, "crash")
    report = run_bench(replace(config, seeds=(0, 1)))
    assert report.failed[CELL].startswith("RuntimeError: the bandit broke an arm")
    assert report.done == (replace(CELL, seed=1),)
    assert "Traceback" in (folder / "error.txt").read_text()
    assert not CELL.result_file(config.results).exists()


def test_control_c_stops_the_bench_and_the_same_command_resumes(config: BenchConfig, tmp_path: Path) -> None:
    folder = _trap(config, 160, "wait")
    modules = str(tmp_path / "modules")
    program = (
        f"import signal, sys; sys.path.insert(0, {modules!r})\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where tests run in the background
        "from handrail.systems import SYSTEMS; SYSTEMS['toy'] = 'handrail_toy_system'\n"
        "from handrail.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--tasks", "Left", "--methods", "bandit", "--seeds", "0", "--budget", "smoke"]
    places = ["--results", str(config.results), "--runs", str(config.runs)]
    bench = subprocess.Popen(
        [sys.executable, "-c", program, "bench", "run", "toy", *flags, *places],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    _until((folder / "waiting").exists)
    locked = run_bench(config).failed[CELL]
    assert "is in use by another bench: wait for it to end" in locked
    bench.send_signal(signal.SIGINT)
    _, said = bench.communicate(timeout=30)
    assert bench.returncode == 130 and "Traceback" not in said
    assert run_bench(config).done == (CELL,)
    assert _result(config)["starts"] == 2


def _until(condition: object) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_names_are_checked_before_anything_starts(config: BenchConfig) -> None:
    for change, text in (
        ({"system": "toi"}, "unknown system 'toi': did you mean toy"),
        ({"tasks": ("Leftt",)}, "unknown task 'Leftt': did you mean Left"),
        ({"methods": ("bandits",)}, "unknown method 'bandits': did you mean bandit"),
        ({"budget": "quik"}, "unknown budget 'quik': did you mean quick"),
        ({"engine": "rai"}, "unknown engine 'rai'"),
    ):
        with pytest.raises(UnknownNameError, match=text):
            run_bench(replace(config, **change))
    with pytest.raises(InvalidValueError, match="seed is -1, the least is 0"):
        run_bench(replace(config, seeds=(-1,)))
    with pytest.raises(InvalidValueError, match="workers is 0"):
        run_bench(replace(config, workers=0))
    assert not config.runs.exists() and not config.results.exists()


def test_the_protocol_fills_in_what_is_not_named(config: BenchConfig) -> None:
    system = load_system("toy")
    everything = cells_of(BenchConfig("toy"), system)
    assert len(everything) == 2 * (5 + 3)  # tasks x (run seeds of the headline method + of the other)
    assert [cell.seed for cell in everything[:4]] == [0, 0, 0, 0]
    assert {(c.task, c.seed) for c in cells_of(BenchConfig("toy", budget="quick"), system)} == {("Left", 0)}


def test_a_folder_that_refuses_results_is_one_line(config: BenchConfig) -> None:
    config.results.write_text("a file where the folder should be")
    with pytest.raises(WriteError, match=r"cannot write .*seed-0.json .*: free space or choose another --results"):
        run_bench(config)


def test_nan_in_a_result_fails_that_run_only(config: BenchConfig) -> None:
    run_bench(config)
    saved = CELL.run_folder(config.runs) / "result.json"
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {"estimate": float("nan")}))
    CELL.result_file(config.results).unlink()
    report = run_bench(replace(config, seeds=(0, 1)))
    assert "would hold NaN or infinity" in report.failed[CELL] and len(report.done) == 1


def test_online_steps_is_the_last_whole_line(tmp_path: Path) -> None:
    assert online_steps(tmp_path) == 0
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"kind": "episode", "online_steps": 90}\n{"kind": "x"}\n{"kind": "episode", "online_st')
    assert online_steps(tmp_path) == 90
    file.write_text(" " * 70_000 + '\n{"online_steps": 120}\n')
    assert online_steps(tmp_path) == 120
