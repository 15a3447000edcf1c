"""`handrail bench run | table`: measure a system, and print what was measured."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from handrail.bench.runner import BenchConfig, BenchReport, run_bench
from handrail.cli.parse import parse
from handrail.core.errors import InvalidValueError, WriteError, unknown_name

if TYPE_CHECKING:
    from handrail.bench.table import Table

SUMMARY = "run experiments over tasks, methods and seeds; make tables"
USAGE = """usage: handrail bench run SYSTEM [--tasks T ...] [--methods M ...] [--seeds N ...] [--budget B] [--workers N]
       handrail bench table SYSTEM [--tasks T ...] [--methods M ...] [--seeds N ...] [--budget B]
                                   [--json | --markdown FILE] [--figures FOLDER]
"""


@dataclass(frozen=True)
class RunFlags:
    """Run every cell of a table that has no result yet; half-done runs go on from their checkpoint.

    Attributes:
        system: a registered system, such as hil-serl.
        tasks: all that the budget covers when not given.
        methods: all when not given.
        seeds: run seeds; those that the protocol asks for when not given.
        budget: smoke, quick, standard or paper.
        workers: runs side by side, one core each.
        engine: local for processes of this machine, ray for a cluster.
        results: where the small result files go.
        runs: where the run folders go.
        fresh: measure again what is already there.
    """

    system: Annotated[str, tyro.conf.Positional]
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    budget: str = "standard"
    workers: int = 2
    engine: str = "local"
    results: Path = Path("results")
    runs: Path = Path("runs")
    fresh: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


@dataclass(frozen=True)
class TableFlags:
    """Print the table of a system from its committed results.

    Attributes:
        system: a registered system, such as hil-serl.
        tasks: only these; all when not given.
        methods: only these; all when not given.
        seeds: only these run seeds; all when not given.
        budget: smoke, quick, standard or paper.
        results: where the result files are.
        json: print JSON and nothing else.
        markdown: also write a page of the docs; one that has a line `<!-- table:SYSTEM -->` gets the table there.
        figures: also write the system's pictures into this folder.
    """

    system: Annotated[str, tyro.conf.Positional]
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    budget: str = "standard"
    results: Path = Path("results")
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    markdown: Path | None = None
    figures: Path | None = None


def main(argv: list[str]) -> int:
    """Dispatch to `run` or `table`."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    verbs = {"run": _run, "table": _table}
    if argv[0] not in verbs:
        raise unknown_name("bench verb", argv[0], verbs)
    return verbs[argv[0]](argv[1:])


def _run(argv: list[str]) -> int:
    flags = parse(RunFlags, argv, "handrail bench run")
    report = run_bench(BenchConfig(**vars(flags)), say=lambda line: print(line, flush=True))
    print(_counts(report))
    if report.failed:
        print("run the same command again: what is done is skipped, what is half done goes on", file=sys.stderr)
        return 1
    print(f"next: handrail bench table {flags.system} --budget {flags.budget}")
    return 0


def _counts(report: BenchReport) -> str:
    return f"{len(report.done)} done, {len(report.skipped)} were complete before, {len(report.failed)} failed"


def _table(argv: list[str]) -> int:
    from handrail.bench.table import make_table

    flags = parse(TableFlags, argv, "handrail bench table")
    table = make_table(flags.system, flags.budget, flags.results, flags.tasks, flags.methods, flags.seeds)
    if flags.markdown is not None:
        _write(flags.markdown, table)
    if flags.figures is not None:
        from handrail.bench.figures import write_figures

        write_figures(table, flags.results, flags.figures)
    if flags.json:
        print(json.dumps(table.as_json(), indent=1))
        return 0
    from rich.console import Console

    from handrail.bench.render import show

    show(table, Console())
    return 0


def _write(file: Path, table: Table) -> None:
    from handrail.bench.render import inserted, markdown

    if file.is_dir():
        raise InvalidValueError(
            f"--markdown {file} is a folder, it must be a file: add a name, such as {file / 'table.md'}"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        page = inserted(file.read_text(), table) if file.exists() else None
        file.write_text(markdown(table) if page is None else page)
    except OSError as error:
        raise WriteError(f"cannot write {file} ({error.strerror}): choose another --markdown") from error
