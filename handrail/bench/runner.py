"""Runs the cells of a table, side by side and resumably: what is complete is skipped, what is half done goes on."""

from __future__ import annotations

import fcntl
import importlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handrail.bench.progress import Board
from handrail.bench.protocol import REQUIRED_KEYS, Cell, System, load_system, read_result, write_json
from handrail.core.errors import CorruptError, InvalidValueError
from handrail.core.provenance import command_line, git_hash, machine
from handrail.run.executor import DEFAULT_WORKERS, Executor, Outcome, executor


@dataclass(frozen=True)
class BenchConfig:
    """What to measure.

    Attributes:
        system: a registered system.
        tasks, methods, seeds: empty for what the protocol asks of this budget.
        budget: smoke, quick, standard or paper.
        workers: runs side by side.
        engine: local or ray.
        results, runs: where the results and the run folders lie.
        fresh: measure again what is already there.
    """

    system: str
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    budget: str = "standard"
    workers: int = DEFAULT_WORKERS
    engine: str = "local"
    results: Path = Path("results")
    runs: Path = Path("runs")
    fresh: bool = False


@dataclass(frozen=True)
class BenchReport:
    """What came of it; `failed` holds one line a cell."""

    done: tuple[Cell, ...]
    skipped: tuple[Cell, ...]
    failed: Mapping[Cell, str]


def run_bench(config: BenchConfig, say: Callable[[str], None] = lambda line: None) -> BenchReport:
    """Run every cell that is not complete and write each result as it arrives. Every name is checked first.

    Args:
        say: hears one line for each cell that ends.

    Raises:
        UnknownNameError: a system, task, method, budget or engine that does not exist.
        InvalidValueError: a negative seed, no worker, or an engine that is not installed.
    """
    system = load_system(config.system)
    cells = cells_of(config, system)
    engine = executor(config.engine)
    skipped = [] if config.fresh else [cell for cell in cells if is_complete(cell, config.results)]
    todo = [cell for cell in cells if cell not in skipped]
    done: list[Cell] = []
    failed: dict[Cell, str] = {}
    board = Board(len(cells), len(skipped), config.runs, system.online_steps.get(config.budget))
    with board, closing(_ended(todo, system, config, engine, board)) as ended:
        for cell, outcome in ended:
            error = _keep(cell, outcome, config)
            board.end(cell)
            if error is None:
                done.append(cell)
            else:
                failed[cell] = error
            say(f"{cell.label}: {'done' if error is None else 'failed: ' + error}")
    return BenchReport(tuple(done), tuple(skipped), failed)


def _ended(
    todo: Sequence[Cell], system: System, config: BenchConfig, engine: Executor, board: Board
) -> Generator[tuple[Cell, Outcome], None, None]:
    """Run the cells and yield each as it ends; those that wait for another one to end run after all others."""
    command = command_line()
    last = [cell for cell in todo if system.awaited(cell) in todo]
    for wave in ([cell for cell in todo if cell not in last], last):
        jobs = [_job(cell, system, config, command) for cell in wave]

        def watch(running: Sequence[int], wave: Sequence[Cell] = wave) -> None:
            board.watch([wave[index] for index in running])

        with closing(engine.map(f"{__name__}:run_cell", jobs, config.workers, watch)) as outcomes:
            for outcome in outcomes:
                yield wave[outcome.index], outcome


def cells_of(config: BenchConfig, system: System) -> list[Cell]:
    """Return the cells that `config` asks for, seed by seed and method by method, so that a table fills evenly."""
    cells = system.cells(config.budget, config.tasks, config.methods, config.seeds)
    return sorted(cells, key=lambda cell: (cell.seed, system.methods.index(cell.method)))


def is_complete(cell: Cell, results: Path) -> bool:
    """Whether this cell's result is on disk, whole, and about this cell."""
    path = cell.result_file(results)
    try:
        return path.is_file() and cell.describes(read_result(path))
    except CorruptError:  # cut short by something that is not us: measured again
        return False


def _job(cell: Cell, system: System, config: BenchConfig, command: str) -> dict[str, Any]:
    folder = cell.run_folder(config.runs).resolve()
    return {
        "module": system.module,
        "cell": asdict(cell),
        "folder": str(folder),
        "resume": not config.fresh,
        "command": command,
    }


def _keep(cell: Cell, outcome: Outcome, config: BenchConfig) -> str | None:
    """Write the result, or what went wrong; return the line to show in that case."""
    note = cell.run_folder(config.runs) / "error.txt"
    if outcome.error is not None:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(outcome.error.rstrip() + "\n")
        return f"{outcome.summary} (all of it in {note})"
    note.unlink(missing_ok=True)
    try:
        write_json(cell.result_file(config.results), outcome.value)
    except InvalidValueError as error:  # NaN in this result says nothing about the others
        return str(error)
    return None


# -- in the worker -----------------------------------------------------------------------------------------------------


def run_cell(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run one cell to its end and return its result, with every key that the protocol asks for.

    Raises:
        InvalidValueError: another bench is at work on this run, or the system returned another run's result.
    """
    cell, folder = Cell(**job["cell"]), Path(job["folder"])
    git, earlier = git_hash(), folder / "result.json"
    with _alone(folder):
        known = job["resume"] and earlier.is_file()
        result = importlib.import_module(job["module"]).run(
            task=cell.task,
            method=cell.method,
            seed=cell.seed,
            budget=cell.budget,
            folder=folder,
            resume=job["resume"],
        )
    if not cell.names(result):
        raise InvalidValueError(f"{folder} holds the result of another run than {cell.label}: remove this run folder")
    # a result that an earlier command finished keeps the code and the command that made it
    provenance = {} if known else {"git": git, "command": job["command"]}
    return dict.fromkeys(REQUIRED_KEYS) | {"machine": machine()} | dict(result) | provenance


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold this run's lock; it goes with the process, however that ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:  # beside it: a fresh run empties its folder
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidValueError(f"run folder {folder} is in use by another bench: wait for it to end") from error
        yield
