"""The benchmarks' own gate, against a process that really works."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

IDLE = Path(__file__).resolve().parents[2] / "benchmarks" / "idle.py"
OPTIONS = {"wait": 0.0, "smoke": False, "out": None}


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("idle", IDLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LOOK_S", 0.2)
    return module


@pytest.fixture
def somebody_works() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "print(1, flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    yield
    process.kill()
    process.communicate()


def _work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_others_are_seen_and_refused(
    idle: ModuleType, somebody_works: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert idle.others_busy(0.3) > 0.2
    with pytest.raises(SystemExit) as stop, idle.Quiet(argparse.Namespace(**OPTIONS)):
        pytest.fail("it measured on a loaded machine")
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "the limit is 0.1: stop it, or pass --wait SECONDS" in said and said.count("\n") == 1


def test_own_work_is_not_somebody_elses(idle: ModuleType) -> None:
    before = idle.Usage()
    _work(0.3)
    now = idle.Usage()
    assert now.own_s - before.own_s >= 0.28
    assert now.machine_s - before.machine_s >= 0.2  # its own seconds are among the machine's, in 10 ms ticks


def test_work_that_begins_meanwhile_spoils_the_result(
    idle: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(idle, "others_busy", lambda seconds: 0.0)
    monkeypatch.setattr(idle.Usage, "others_since", lambda self: 0.5)
    with pytest.raises(SystemExit) as stop, idle.Quiet(argparse.Namespace(**OPTIONS)):
        pass
    assert stop.value.code == 2 and "nothing is reported" in capsys.readouterr().err


def test_a_smoke_run_refuses_nothing_and_claims_nothing(
    idle: ModuleType, somebody_works: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = argparse.Namespace(**OPTIONS | {"smoke": True, "out": tmp_path / "x.json"})
    with idle.Quiet(options) as quiet:
        pass
    assert idle.report({"ratio": 3.0, "met": True}, quiet, options) == 0
    said = capsys.readouterr().out
    assert '"smoke": true' in said and '"met"' not in said
    assert not options.out.exists()
