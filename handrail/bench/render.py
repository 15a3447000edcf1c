"""A table for the eye: on the terminal, and as a page of the docs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table as Grid

from handrail.bench.protocol import Cell
from handrail.bench.statistics import Interval
from handrail.bench.table import Table

Rows = list[list[str]]
COMMANDS = 12  # as many are listed in a page


def show(table: Table, console: Console) -> None:
    """Print the table, the differences and what is missing."""
    console.print(f"[bold]{table.system}[/bold], budget {table.budget}, code {table.git}")
    if numbers := overall_rows(table):
        _print_grid(console, f"over all tasks, {table.headline}", ["number", "value"], numbers)
    for task, methods in table.tasks.items():
        columns = shown_columns(table, methods)
        lines = [["method", "runs", *columns], *task_rows(methods, columns)]
        header, *rows = [list(line) for line in zip(*lines, strict=True)]  # a terminal is narrow: methods side by side
        _print_grid(console, task, header, rows)
    rows = difference_rows(table)
    if rows:
        _print_grid(console, f"{table.success} of {table.headline} minus", ["method", "task", "difference"], rows)
    for line in missing_lines(table.missing):
        console.print(f"missing: {line}", style="yellow")


def markdown(table: Table) -> str:
    """Return a page of the docs."""
    parts = [
        f"# {table.system}: measured, budget {table.budget}",
        f"Made by `handrail bench table {table.system} --budget {table.budget}{table.asked} --markdown FILE` "
        f"from the results in `results/{table.system}/{table.budget}/`. Mean over run seeds and its 95 % interval: "
        "[evidence.md](evidence.md) says how.",
    ]
    if numbers := overall_rows(table):
        parts += [f"## Over all tasks, `{table.headline}`", _pipes(["number", "value"], numbers)]
    for task, methods in table.tasks.items():
        columns = shown_columns(table, methods)
        parts += [f"## {task}", _pipes(["method", "runs", *columns], task_rows(methods, columns))]
    for title, metrics in (("Named checks", table.checks), ("In shifted conditions", shifted_metrics(table))):
        if rows := metric_rows(table, metrics):
            parts += [f"## {title}", _pipes(["task", "method", "runs", *metrics], rows)]
    if rows := difference_rows(table):
        parts += [
            f"## {table.success.capitalize()} of {table.headline} minus each other method",
            "Paired: the same run seeds, the same evaluation episodes.",
            _pipes(["method", "task", "difference"], rows),
        ]
    missing = missing_lines(table.missing) or ["nothing"]
    parts += ["## Missing runs", _bullets(missing)]
    parts += [
        "## Where the numbers come from",
        f"Code: {table.git}.",
        "Commands:",
        _bullets(_some(_code(table.commands))),
    ]
    parts += ["Machines:", _bullets(table.machines)]
    return "\n\n".join(parts) + "\n"


def inserted(page: str, table: Table) -> str | None:
    """Put the table between `<!-- table:SYSTEM -->` and `<!-- end -->` of a page; None where it has no such place.

    A place `<!-- table:SYSTEM BUDGET -->` is the budget's own.
    """
    own = f"<!-- table:{table.system} {table.budget} -->\n"
    before, mark, rest = page.partition(own if own in page else f"<!-- table:{table.system} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (mark and end):
        return None
    text = re.sub(r"^#", "###", markdown(table), flags=re.MULTILINE)  # it stands below a heading of the page's own
    return f"{before}{mark}{text}{end}{after}"


def overall_rows(table: Table) -> Rows:
    """A row for each number that compares methods."""
    return [[name.replace("_", " "), _cell(table.overall[name], table.overall[name].n)] for name in table.compared]


def shifted_metrics(table: Table) -> list[str]:
    """The metrics of shifted conditions that any run has, in order."""
    endings = tuple(f"_{shift}" for shift in table.shifts)
    rows = (metrics for methods in table.tasks.values() for metrics in methods.values())
    return list(dict.fromkeys(name for metrics in rows for name in metrics if endings and name.endswith(endings)))


def metric_rows(table: Table, metrics: Sequence[str]) -> Rows:
    """A row for each task and method that has any of them."""
    return [
        [task, *row]
        for task, methods in table.tasks.items()
        for row in task_rows({name: found for name, found in methods.items() if found.keys() & set(metrics)}, metrics)
    ]


def shown_columns(table: Table, methods: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    return [column for column in table.columns if any(column in metrics for metrics in methods.values())]


def task_rows(methods: Mapping[str, Mapping[str, Interval]], columns: Sequence[str]) -> Rows:
    """Return a row per method: its name, its number of runs, and a cell per column."""
    rows = []
    for method, metrics in methods.items():
        runs = max((found.n for found in metrics.values()), default=0)
        rows.append([method, str(runs), *(_cell(metrics.get(column), runs) for column in columns)])
    return rows


def difference_rows(table: Table) -> Rows:
    """A row for each method's mean over tasks, then for each method and task."""
    return [
        *([method, f"mean of {count}", _resolved(found)] for method, (found, count) in table.pooled.items()),
        *(
            [method, task, _resolved(found)]
            for task, methods in table.differences.items()
            for method, found in methods.items()
        ),
    ]


def _resolved(found: Interval) -> str:
    return _cell(found, found.n) + ("" if found.excludes_zero else " (not resolved)")


def missing_lines(missing: Sequence[Cell]) -> list[str]:
    """Say which runs are missing, one line per task and method."""
    groups = groupby(missing, key=lambda cell: (cell.task, cell.method))
    return [
        f"{task}, {method}: seeds {', '.join(str(cell.seed) for cell in cells)}" for (task, method), cells in groups
    ]


def _cell(found: Interval | None, runs: int) -> str:
    """Return "mean [lo, hi]", with the number of runs where not all of them have this metric."""
    if found is None:
        return "-"
    digits = 2 if max(abs(found.lo), abs(found.hi)) < 10.0 else 0
    text = f"{found.mean:.{digits}f}"
    if found.n > 1 or found.lo < found.hi:  # one number has no interval
        text += f" [{found.lo:.{digits}f}, {found.hi:.{digits}f}]"
    return text if found.n == runs else f"{text} ({found.n} runs)"


def _print_grid(console: Console, title: str, header: Sequence[str], rows: Rows) -> None:
    grid = Grid(title=title, title_justify="left")
    for name in header:
        grid.add_column(name.replace("_", " "))
    for row in rows:
        grid.add_row(row[0].replace("_", " "), *row[1:])
    console.print(grid)


def _pipes(header: Sequence[str], rows: Rows) -> str:
    lines = [[name.replace("_", " ") for name in header], ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _some(lines: list[str]) -> list[str]:
    """The first `COMMANDS` lines, and how many more there are."""
    more = len(lines) - COMMANDS
    return lines if more <= 1 else [*lines[:COMMANDS], f"and {more} more, for other cells: each result names its own"]


def _code(lines: Sequence[str]) -> list[str]:
    return [f"`{line}`" for line in lines]
