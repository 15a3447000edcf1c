"""Real processes, real crashes, real Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from handrail.core.errors import InvalidValueError, UnknownNameError
from handrail.run.executor import LocalProcesses, executor, resolve

JOBS = """
import os, signal, sys, time
from pathlib import Path

def square(job):
    return {"square": job["x"] ** 2, "threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid(), "argv": sys.argv}

def fussy(job):
    if job["how"] == "raise": raise ValueError("no good")
    if job["how"] == "kill":
        print("about to die", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if job["how"] == "exit": raise SystemExit(3)
    if job["how"] == "set": return {1, 2}
    return job["how"]

def meet(job):
    Path(job["mine"]).touch()
    while not Path(job["other"]).exists(): time.sleep(0.01)
    return True

def linger(job):
    try:
        Path(job["started"]).write_text(str(os.getpid()))
        while True: time.sleep(0.02)
    except KeyboardInterrupt:
        Path(job["stopped"]).touch()
        raise
"""


@pytest.fixture
def jobs_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "handrail_test_jobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    yield "handrail_test_jobs"
    sys.modules.pop("handrail_test_jobs", None)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_every_job_has_its_own_process_and_one_thread(jobs_module: str) -> None:
    outcomes = list(LocalProcesses().map(f"{jobs_module}:square", [{"x": x} for x in range(4)]))
    assert {o.index: o.value["square"] for o in outcomes} == {0: 0, 1: 1, 2: 4, 3: 9}
    assert {o.value["threads"] for o in outcomes} == {"1"}
    assert all(o.value["argv"] == sys.argv for o in outcomes)
    assert len({o.value["pid"] for o in outcomes} | {os.getpid()}) == 5


def test_a_crashed_job_is_reported_and_stops_no_other(jobs_module: str) -> None:
    ways = ["raise", "kill", "exit", "set", "fine"]
    outcomes = {o.index: o for o in LocalProcesses().map(f"{jobs_module}:fussy", [{"how": how} for how in ways])}
    assert outcomes[0].summary == "ValueError: no good"
    assert "about to die" in (outcomes[1].error or "")
    assert outcomes[1].summary == "job 1: its process died of SIGKILL without an answer"
    assert outcomes[2].summary == "job 2: its process ended with code 3 without an answer"
    assert "not JSON serializable" in outcomes[3].summary
    assert (outcomes[4].value, outcomes[4].error, outcomes[4].summary) == ("fine", None, "")


def test_two_run_at_once_by_default_and_completion_streams(jobs_module: str, tmp_path: Path) -> None:
    a, b, c = (str(tmp_path / name) for name in "abc")
    jobs = [{"mine": a, "other": b}, {"mine": b, "other": a}, {"mine": c, "other": a}]
    seen: list[set[int]] = []
    outcomes = LocalProcesses().map(f"{jobs_module}:meet", jobs, on_wait=lambda running: seen.append(set(running)))
    assert [outcome.value for outcome in outcomes] == [True, True, True]
    assert max(len(running) for running in seen) <= 2


def test_leaving_early_interrupts_the_children(jobs_module: str, tmp_path: Path) -> None:
    started, stopped = tmp_path / "started", tmp_path / "stopped"
    job = {"started": str(started), "stopped": str(stopped)}

    def leave(running: object) -> None:
        if started.exists() and started.read_text():
            raise KeyboardInterrupt

    outcomes = LocalProcesses().map(f"{jobs_module}:linger", [job], on_wait=leave)
    with closing(outcomes), pytest.raises(KeyboardInterrupt):
        next(outcomes)
    assert stopped.exists()
    assert _gone(int(started.read_text()))


def test_children_end_with_a_parent_that_is_killed(jobs_module: str, tmp_path: Path) -> None:
    started, stopped = tmp_path / "started", tmp_path / "stopped"
    job = {"started": str(started), "stopped": str(stopped)}
    program = f"from handrail.run.executor import executor; list(executor().map('{jobs_module}:linger', [{job!r}]))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment)
    _until(lambda: started.exists() and bool(started.read_text()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _until(stopped.exists)
    _until(lambda: _gone(int(started.read_text())))


def _until(condition: object) -> None:
    import time

    deadline = time.monotonic() + 20.0
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_wrong_engine_wrong_function_and_too_few_workers_say_so() -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'locl': did you mean local"):
        executor("locl")
    with pytest.raises(InvalidValueError, match="name it as module:function"):
        resolve("square")
    with pytest.raises(InvalidValueError, match="workers is 0, the least is 1"):
        next(LocalProcesses().map("a:b", [{}], workers=0))


def test_missing_ray_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidValueError, match=r"needs the package ray.*pip install 'handrail\[cluster\]'"):
        executor("ray")
