"""The table of a system: every metric of every method on every task with its interval, from the committed results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handrail.bench import farl, guided_teleop
from handrail.bench.protocol import Cell, System, load_system, read_result
from handrail.bench.statistics import Array, Interval, difference, interval, mean_over_tasks
from handrail.core.errors import CorruptError, InvalidValueError, unknown_name

Result = Mapping[str, Any]
Runs = Mapping[int, Result]
"""Results of one method on one task, by run seed."""
Compared = tuple[dict[str, Interval], dict[str, dict[str, Interval]]]
"""Over all tasks, and by task for the headline method."""
Pair = tuple[list[Array], list[Array]]
"""Outcomes of two methods, by shared run seed."""

SUCCESS = "success_rate_autonomous"
ASSISTED = "success"  # of persons who are helped, where nobody is autonomous
EPISODES = "episodes_success"
COUNTED = ("takeovers", "failure_modes", "operator_steps_by_cause")
"""Metrics that may be a count by kind; a kind that a run does not name did not occur in it."""
NOT_METRICS = ("seed", "machine", EPISODES, "collected", "calibration_curve")


HEADLINES: Mapping[str, Callable[[Mapping[str, Mapping[str, Runs]], int], Compared]] = {
    "farl": lambda tasks, each: farl.headline(tasks),
    "guided-teleop": guided_teleop.headline,
}
"""Numbers that compare methods, where a system has such; of persons who come `each` times."""


@dataclass(frozen=True)
class Table:
    """What the results of one system at one budget say.

    Attributes:
        git: the code that made them; several, separated by commas, where they differ.
        overall: metrics of the headline method, averaged over the tasks.
        compared: those of them that compare methods.
        tasks: task -> method -> metric.
        differences: task -> method -> headline minus this method, in success.
        pooled: method -> the mean of these over the tasks that have them, and how many those are.
        success: whose that is: "autonomous success" of policies, "success" of persons.
        missing: runs that were asked for, by the protocol or by name, and that are not there.
        columns: the metrics worth printing.
        checks: those that say whether what was learnt is sound.
        shifts: conditions that metrics end with the names of.
        commands, machines: where the numbers came from.
        asked: the flags that chose among the results, "" for all of them.
    """

    system: str
    budget: str
    git: str
    headline: str
    overall: Mapping[str, Interval]
    compared: tuple[str, ...]
    tasks: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    differences: Mapping[str, Mapping[str, Interval]]
    pooled: Mapping[str, tuple[Interval, int]]
    success: str
    missing: tuple[Cell, ...]
    columns: tuple[str, ...]
    checks: tuple[str, ...]
    shifts: tuple[str, ...]
    commands: tuple[str, ...]
    machines: tuple[str, ...]
    asked: str

    def as_json(self) -> dict[str, Any]:
        """Return what `handrail bench table --json` prints."""
        return {
            "system": self.system,
            "budget": self.budget,
            "git": self.git,
            "overall": {
                metric: {"mean": found.mean, "lo": found.lo, "hi": found.hi} for metric, found in self.overall.items()
            },
            "tasks": {
                task: {
                    method: {metric: asdict(found) for metric, found in metrics.items()}
                    for method, metrics in methods.items()
                }
                for task, methods in self.tasks.items()
            },
        }


def make_table(
    name: str,
    budget: str,
    results: Path,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> Table:
    """Build the table of system `name` from the files in `results`: of all, or of these tasks, methods and seeds.

    Raises:
        UnknownNameError: no such system, budget, task or method.
        InvalidValueError: there is no result yet.
        CorruptError: a file is damaged, or contradicts itself.
    """
    system = load_system(name)
    if budget not in system.budgets:
        raise unknown_name("budget", budget, system.budgets)
    wanted = system.cells(budget, tasks, methods, seeds)
    found = read_results(system, budget, results)
    asked = _flags(tasks=tasks, methods=methods, seeds=seeds)
    if asked:
        found = {cell: result for cell, result in found.items() if cell in wanted}
    if not found:
        raise InvalidValueError(
            f"no result of {name}{asked} at budget {budget} in {results}: "
            f"run 'handrail bench run {name} --budget {budget}{asked}'"
        )
    grouped = _grouped(found, system)
    each = system.episodes_each.get(budget, 0)
    pairs = {task: _pairs(row, system.headline) for task, row in grouped.items()}
    metrics = {task: {method: _intervals(runs, each) for method, runs in row.items()} for task, row in grouped.items()}
    overall = _overall([row[system.headline] for row in grouped.values() if system.headline in row], each)
    compared: dict[str, Interval] = {}
    if name in HEADLINES:
        compared, by_task = HEADLINES[name](grouped, each)
        overall |= compared
        for task, found_there in by_task.items():
            metrics[task].setdefault(system.headline, {}).update(found_there)
    return Table(
        system=name,
        budget=budget,
        git=", ".join(sorted({str(result["git"]) for result in found.values()})),
        headline=system.headline,
        overall=overall,
        compared=tuple(compared),
        tasks=metrics,
        differences={task: {name: difference(*p, each) for name, p in row.items()} for task, row in pairs.items()},
        pooled=_pooled(pairs, system.methods, each),
        success="success" if all(result.get(SUCCESS) is None for result in found.values()) else "autonomous success",
        missing=tuple(cell for cell in wanted if cell not in found),
        columns=system.columns,
        checks=system.checks,
        shifts=system.shifts,
        commands=tuple(sorted({str(result["command"]) for result in found.values()})),
        machines=tuple(sorted({_machine(result["machine"]) for result in found.values()})),
        asked=asked,
    )


def _flags(**given: Sequence[object]) -> str:
    """What was given, as it is typed: " --tasks A B --seeds 0"."""
    return "".join(f" --{name} {' '.join(map(str, values))}" for name, values in given.items() if values)


def read_results(system: System, budget: str, results: Path) -> dict[Cell, Result]:
    """Read every complete result of a system at a budget.

    Raises:
        CorruptError: a file is damaged, or its success rate is not that of its episodes.
    """
    found: dict[Cell, Result] = {}
    for path in sorted((results / system.name / budget).glob("*/*/seed-*.json")):
        task, method, seed = path.parts[-3], path.parts[-2], path.stem.removeprefix("seed-")
        cell = Cell(system.name, budget, task, method, int(seed) if seed.isdecimal() else -1)
        result = read_result(path)
        if cell.describes(result):
            _require_consistent(path, result)
            found[cell] = result
    return found


def _require_consistent(path: Path, result: Result) -> None:
    episodes, rate = result.get(EPISODES), result.get(SUCCESS)
    if episodes and rate is not None and abs(float(np.mean(episodes)) - rate) > 1e-6:
        raise CorruptError(
            f"{path} says {SUCCESS} {rate} but its episodes give {np.mean(episodes):.4f}: delete it and run it again"
        )


def _grouped(found: Mapping[Cell, Result], system: System) -> dict[str, dict[str, Runs]]:
    """Group results by task and method, in the system's order; names that it no longer knows come last."""
    grouped: dict[str, dict[str, dict[int, Result]]] = {}
    for task in _ordered({cell.task for cell in found}, system.tasks):
        methods = _ordered({cell.method for cell in found if cell.task == task}, system.methods)
        grouped[task] = {method: {} for method in methods}
    for cell in sorted(found, key=lambda cell: cell.seed):
        grouped[cell.task][cell.method][cell.seed] = found[cell]
    return {task: dict(row) for task, row in grouped.items()}


def _ordered(names: Iterable[str], known: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


# -- metrics -----------------------------------------------------------------------------------------------------------


def numbers(result: Result) -> dict[str, float]:
    """Return the metrics of one result: its numbers, and for counts by kind the total and "<metric>.<kind>"."""
    found: dict[str, float] = {}
    for key, value in result.items():
        if key in NOT_METRICS:
            continue
        if isinstance(value, Mapping):
            kinds = {kind: float(count) for kind, count in value.items() if _is_number(count)}
            found |= {key: sum(kinds.values())} if key in COUNTED else {}
            found |= {f"{key}.{kind}": count for kind, count in kinds.items()}
        elif _is_number(value):
            found[key] = float(value)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _intervals(runs: Runs, each: int) -> dict[str, Interval]:
    return {metric: interval(_samples(runs, metric), each) for metric in _metrics(runs)}


def _metrics(runs: Runs) -> list[str]:
    return list(dict.fromkeys(metric for result in runs.values() for metric in numbers(result)))


def _samples(runs: Runs, metric: str) -> list[Array]:
    return list(_samples_by_seed(runs, metric).values())


def _samples_by_seed(runs: Runs, metric: str) -> dict[int, Array]:
    """Return what each run says of a metric: outcomes of its episodes where it kept them, else one number."""
    samples: dict[int, Array] = {}
    for seed, result in runs.items():
        if metric in (SUCCESS, ASSISTED) and result.get(EPISODES):
            samples[seed] = np.asarray(result[EPISODES], float)
            continue
        found = numbers(result)
        family = metric.partition(".")[0]
        if metric in found:
            samples[seed] = np.array([found[metric]])
        elif family in COUNTED and isinstance(result.get(family), Mapping):
            samples[seed] = np.array([0.0])
    return samples


def _overall(rows: Sequence[Runs], each: int) -> dict[str, Interval]:
    """Average the metrics that every task has over the tasks."""
    if not rows:
        return {}
    shared = [metric for metric in _metrics(rows[0]) if all(metric in _metrics(runs) for runs in rows[1:])]
    return {metric: mean_over_tasks([_samples(runs, metric) for runs in rows], each) for metric in shared}


def _pairs(row: Mapping[str, Runs], headline: str) -> dict[str, Pair]:
    """Return the successes of the headline and of each other method, on the run seeds that both have."""
    if headline not in row:
        return {}
    ours = _samples_by_seed(row[headline], SUCCESS)
    found: dict[str, Pair] = {}
    for method, runs in row.items():
        theirs = _samples_by_seed(runs, SUCCESS)
        shared = [seed for seed in ours if seed in theirs]
        if method != headline and shared:
            found[method] = _paired([ours[s] for s in shared], [theirs[s] for s in shared])
    return found


def _pooled(
    pairs: Mapping[str, Mapping[str, Pair]], methods: Sequence[str], each: int
) -> dict[str, tuple[Interval, int]]:
    """Return the mean difference over tasks; one task alone has nothing to be averaged."""
    found: dict[str, tuple[Interval, int]] = {}
    for method in _ordered({name for row in pairs.values() for name in row}, methods):
        rows = [row[method] for row in pairs.values() if method in row]
        if len(rows) > 1:
            gains = [[a - b for a, b in zip(ours, theirs, strict=True)] for ours, theirs in rows]
            found[method] = mean_over_tasks(gains, each), len(rows)
    return found


def _paired(ours: list[Array], theirs: list[Array]) -> Pair:
    """Where the numbers of episodes differ there are no pairs of episodes: pair the runs' means."""
    if all(len(a) == len(b) for a, b in zip(ours, theirs, strict=True)):
        return ours, theirs
    return [a.mean(keepdims=True) for a in ours], [b.mean(keepdims=True) for b in theirs]


def _machine(machine: object) -> str:
    if not isinstance(machine, Mapping):
        return str(machine)
    versions = machine.get("versions") or {}
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    hardware = f"{machine.get('cpu')}, {machine.get('cores')} cores, {machine.get('memory_gb')} GB"
    return f"{hardware}; Python {machine.get('python')}, {software}"
