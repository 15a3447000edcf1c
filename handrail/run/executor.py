"""Where jobs run: processes of this machine, or a Ray cluster. Only JSON crosses the border; functions go by name.

A job is a JSON dict, a function a `module:function` that takes one and returns something JSON can say. One process a
job, one torch thread a process. A job that fails, or whose process dies, is an `Outcome` with an error; others go on.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from handrail.core.clock import SECOND_NS, RealClock
from handrail.core.errors import HandrailError, InvalidValueError, unknown_name

JobArguments = Mapping[str, Any]
OnWait = Callable[[Sequence[int]], None]

DEFAULT_WORKERS = 2
GRACE_S = 10.0
WAIT_S = 0.5
TAIL_CHARACTERS = 4000
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one job ended."""

    index: int  # of the job, in the order given
    value: Any = None  # what the function returned
    error: str | None = None  # a traceback, or how the process died; None when it worked

    @property
    def summary(self) -> str:
        """The last line of the error."""
        return (self.error or "").strip().splitlines()[-1] if self.error else ""


class Executor(Protocol):
    """Runs jobs side by side."""

    def map(
        self,
        function: str,
        jobs: Sequence[JobArguments],
        workers: int = DEFAULT_WORKERS,
        on_wait: OnWait | None = None,
    ) -> Generator[Outcome, None, None]:
        """Yield an `Outcome` as each job ends, in the order in which they end.

        Args:
            function: "module:function", called with one job in a fresh process.
            jobs: JSON dicts.
            workers: how many run at once.
            on_wait: called with the indices of the running jobs about twice a second while nothing ends.
        """
        ...


# -- local processes ---------------------------------------------------------------------------------------------------


@dataclass
class _Child:
    """One running job. Its answer comes through `answer`; `output` holds whatever it printed."""

    index: int
    process: subprocess.Popen[bytes]
    answer: int  # read end of a pipe
    output: IO[bytes]
    received: bytearray

    def tail(self) -> str:
        self.output.seek(max(0, self.output.seek(0, os.SEEK_END) - TAIL_CHARACTERS))
        return self.output.read().decode(errors="replace").strip()

    def outcome(self) -> Outcome:
        """Reap the process and say how it ended."""
        code = self.process.wait()
        try:
            return Outcome(self.index, **json.loads(bytes(self.received)))
        except ValueError:
            printed = self.tail()
            how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            error = f"{printed}\njob {self.index}: its process {how} without an answer"
            return Outcome(self.index, error=error.strip())

    def close(self) -> None:
        os.close(self.answer)
        self.output.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class LocalProcesses:
    """One fresh Python a job. Leaving the iterator early, or Ctrl-C, interrupts the children and waits for them."""

    def map(
        self,
        function: str,
        jobs: Sequence[JobArguments],
        workers: int = DEFAULT_WORKERS,
        on_wait: OnWait | None = None,
    ) -> Generator[Outcome, None, None]:
        """See `Executor.map`."""
        _require_workers(workers)
        waiting = [(index, json.dumps(job)) for index, job in enumerate(jobs)][::-1]
        running: dict[int, _Child] = {}
        try:
            with selectors.DefaultSelector() as selector:
                while waiting or running:
                    while waiting and len(running) < workers:
                        child = _start(function, *waiting.pop())
                        running[child.answer] = child
                        selector.register(child.answer, selectors.EVENT_READ)
                    for answer in _ended(selector, running):
                        child = running.pop(answer)
                        outcome = child.outcome()
                        child.close()
                        yield outcome
                    if on_wait is not None:
                        on_wait([child.index for child in running.values()])
        finally:
            _stop(list(running.values()))


def _start(function: str, index: int, job: str) -> _Child:
    read_end, write_end = os.pipe()
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its child
    program = f"from handrail.run.executor import serve; serve({function!r}, {write_end})"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *sys.argv],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=(write_end,),
        start_new_session=True,  # Ctrl-C reaches this process only, which then stops its children in order
    )
    os.close(write_end)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # the child is dead already; reaping it says how
        process.stdin.write(job.encode() + b"\n")  # and stays open: its end tells the child that this process is gone
    return _Child(index, process, read_end, output, bytearray())


def _ended(selector: selectors.BaseSelector, running: Mapping[int, _Child]) -> list[int]:
    """Collect what children answered within `WAIT_S`; return the pipes of those that are through."""
    ended = []
    for key, _ in selector.select(WAIT_S):
        received = os.read(key.fd, 1 << 16)
        running[key.fd].received.extend(received)
        if not received:
            selector.unregister(key.fd)
            ended.append(key.fd)
    return ended


def _stop(children: Sequence[_Child]) -> None:
    """Interrupt, wait for a while, then kill."""
    for child in children:
        child.process.send_signal(signal.SIGINT)
    clock = RealClock()
    deadline_ns = clock.now_ns() + round(GRACE_S * SECOND_NS)
    for child in children:
        try:
            child.process.wait(max(0.0, (deadline_ns - clock.now_ns()) / SECOND_NS))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        child.close()


def serve(function: str, answer: int) -> None:
    """Be the child: read a job from standard input, run it, write `{"value": ...}` or `{"error": ...}` to `answer`."""
    os.set_inheritable(answer, False)
    sys.argv = sys.argv[1:]  # the command that the user typed, for the record
    signal.signal(signal.SIGINT, signal.default_int_handler)
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    reply = call(function, job)
    with os.fdopen(answer, "w") as pipe:
        pipe.write(reply)


def _leave_with_parent() -> None:
    """Wait for the end of standard input, which is the end of the parent; interrupt this process, then end it."""
    while os.read(0, 1):  # not sys.stdin, whose lock would be held when the interpreter shuts down
        pass
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(GRACE_S)
    os._exit(1)


def call(function: str, job: JobArguments) -> str:
    """Run one job here; return its answer as JSON."""
    try:
        return json.dumps({"value": resolve(function)(job)})
    except HandrailError as error:
        return json.dumps({"error": str(error)})
    except Exception:
        return json.dumps({"error": traceback.format_exc()})


def resolve(function: str) -> Callable[[JobArguments], Any]:
    """Find a function by its "module:function" name."""
    module, separator, name = function.partition(":")
    if not separator:
        raise InvalidValueError(f"function '{function}' has no module: name it as module:function")
    return getattr(importlib.import_module(module), name)


def _require_workers(workers: int) -> None:
    if workers < 1:
        raise InvalidValueError(f"workers is {workers}, the least is 1: give --workers 1 or more")


# -- Ray ---------------------------------------------------------------------------------------------------------------


class RayCluster:
    """The cluster that `RAY_ADDRESS` names, or Ray's own processes here. Run folders must lie on a shared disk.

    Raises:
        InvalidValueError: Ray is not installed.
    """

    def __init__(self) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise InvalidValueError(
                "engine 'ray' needs the package ray, which is not installed: pip install 'handrail[cluster]', "
                "or leave --engine away to use this machine's processes"
            ) from error
        self._ray.init(ignore_reinit_error=True, log_to_driver=False, runtime_env={"env_vars": ONE_THREAD})

    def map(
        self,
        function: str,
        jobs: Sequence[JobArguments],
        workers: int = DEFAULT_WORKERS,
        on_wait: OnWait | None = None,
    ) -> Generator[Outcome, None, None]:
        """See `Executor.map`."""
        _require_workers(workers)
        remote = self._ray.remote(num_cpus=1, max_retries=0, max_calls=1)(call)
        waiting = list(enumerate(jobs))[::-1]
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    index, job = waiting.pop()
                    running[remote.remote(function, dict(job))] = index
                ready, _ = self._ray.wait(list(running), timeout=WAIT_S)
                for reference in ready:
                    yield self._outcome(running.pop(reference), reference)
                if on_wait is not None:
                    on_wait(list(running.values()))
        finally:
            for reference in running:
                self._ray.cancel(reference)

    def _outcome(self, index: int, reference: Any) -> Outcome:
        try:
            return Outcome(index, **json.loads(self._ray.get(reference)))
        except Exception as error:  # a worker that died; Ray has many kinds
            return Outcome(index, error=f"job {index}: {error}")


ENGINES: dict[str, Callable[[], Executor]] = {"local": LocalProcesses, "ray": RayCluster}


def executor(engine: str = "local") -> Executor:
    """Build an executor: "local" processes, or "ray".

    Raises:
        UnknownNameError: no such engine.
        InvalidValueError: Ray is asked for and not installed.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    return ENGINES[engine]()
