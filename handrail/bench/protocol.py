"""The one protocol of every table: seeds, budgets, what a result must say, and where it lies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from handrail import systems
from handrail.core.errors import CorruptError, InvalidValueError, WriteError, unknown_name
from handrail.core.seeds import (
    DEVELOPMENT_ENV_SEEDS,
    EVALUATION_ENV_SEEDS,
    training_env_seed,
    training_env_seeds,
)
from handrail.store.atomic import write_atomically

__all__ = [
    "BUDGETS",
    "DEVELOPMENT_ENV_SEEDS",
    "EVALUATION_ENV_SEEDS",
    "REQUIRED_KEYS",
    "Cell",
    "System",
    "load_system",
    "read_result",
    "training_env_seed",
    "training_env_seeds",
    "write_json",
]

REQUIRED_KEYS = (
    "task",
    "method",
    "seed",
    "budget",
    "online_steps",
    "episodes",
    "success_rate_autonomous",
    "success_rate_assisted",
    "intervention_rate",
    "intervention_rate_first",
    "intervention_rate_last",
    "takeovers",
    "operator_seconds",
    "operator_seconds_to_80",
    "assistant_rate",
    "failure_modes",
    "return_mean",
    "wall_s",
    "git",
    "command",
    "machine",
)
COLUMNS = (
    "success_rate_autonomous",
    "success_rate_assisted",
    "intervention_rate_first",
    "intervention_rate_last",
    "assistant_rate",
    "takeovers",
    "operator_seconds",
    "operator_seconds_to_80",
)
HEADLINE_SEEDS, OTHER_SEEDS = 5, 3


@dataclass(frozen=True)
class Budget:
    """How much of a system a budget covers when nothing else is asked for."""

    name: str
    all_tasks: bool
    all_seeds: bool
    purpose: str


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget("smoke", all_tasks=False, all_seeds=False, purpose="seconds: does it run at all"),
        Budget("quick", all_tasks=False, all_seeds=False, purpose="about 15 minutes: one task, one seed"),
        Budget("standard", all_tasks=True, all_seeds=True, purpose="the committed table"),
        Budget("paper", all_tasks=True, all_seeds=True, purpose="the sizes of the paper"),
    )
}


@dataclass(frozen=True)
class System:
    """A system as the bench needs it, read from its module.

    Attributes:
        name: as registered.
        module: where its `run` is.
        tasks, methods, budgets: the names it knows.
        headline: the method that the system is about; "overall" speaks of it.
        headline_methods: methods that the protocol wants five run seeds of; the others three.
        online_steps: length of a run by budget, where the system says so.
        columns: the metrics that its printed table shows, where a run has them.
        checks: metrics that say whether what was learnt is sound, shown apart.
        shifts: conditions that results speak of in metrics that end with their names, "_" before them.
        plan: budget -> task -> methods, where a budget does not ask for every method on every task.
        after: method -> the method whose run, of the same task and seed, it starts from.
        episodes_each: budget -> how many successive evaluation episodes are one person's, where persons are evaluated.
    """

    name: str
    module: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    budgets: tuple[str, ...]
    headline: str
    headline_methods: tuple[str, ...]
    online_steps: Mapping[str, int | None]
    columns: tuple[str, ...]
    checks: tuple[str, ...]
    shifts: tuple[str, ...]
    plan: Mapping[str, Mapping[str, tuple[str, ...]]]
    after: Mapping[str, str]
    episodes_each: Mapping[str, int]

    def seeds(self, method: str, budget: str) -> tuple[int, ...]:
        """Return the run seeds that the protocol asks of `method`."""
        if not BUDGETS[budget].all_seeds:
            return (0,)
        return tuple(range(HEADLINE_SEEDS if method in self.headline_methods else OTHER_SEEDS))

    def cells(
        self, budget: str, tasks: Sequence[str] = (), methods: Sequence[str] = (), seeds: Sequence[int] = ()
    ) -> list[Cell]:
        """Return every run of these tasks, methods and run seeds; where one is empty, what the protocol asks for.

        Raises:
            UnknownNameError: a task, method or budget that the system does not know.
            InvalidValueError: a negative seed.
        """
        self._require(tasks, methods, budget)
        for seed in seeds:
            if seed < 0:
                raise InvalidValueError(f"seed is {seed}, the least is 0: give --seeds 0 or more")
        return [
            Cell(self.name, budget, task, method, seed)
            for task in dict.fromkeys(tasks or self.default_tasks(budget))
            for method in dict.fromkeys(methods or self.default_methods(budget, task))
            for seed in dict.fromkeys(seeds or self.seeds(method, budget))
        ]

    def awaited(self, cell: Cell) -> Cell | None:
        """Return the run that has to end before this one can begin."""
        return replace(cell, method=self.after[cell.method]) if cell.method in self.after else None

    def default_methods(self, budget: str, task: str) -> tuple[str, ...]:
        """Return the methods that this budget asks for on `task`."""
        return self.plan.get(budget, {}).get(task, self.methods)

    def default_tasks(self, budget: str) -> tuple[str, ...]:
        return self.tasks if BUDGETS[budget].all_tasks else self.tasks[:1]

    def _require(self, tasks: Sequence[str], methods: Sequence[str], budget: str) -> None:
        """Raise `UnknownNameError` for the first name that this system does not know."""
        for kind, names, known in (
            ("task", tasks, self.tasks),
            ("method", methods, self.methods),
            ("budget", (budget,), tuple(name for name in self.budgets if name in BUDGETS)),
        ):
            for name in names:
                if name not in known:
                    raise unknown_name(kind, name, known)


def load_system(name: str) -> System:
    """Find a registered system.

    Raises:
        UnknownNameError: no such system; the text lists the nearest ones.
    """
    return _describe(name, systems.load(name))


def _describe(name: str, module: ModuleType) -> System:
    methods = tuple(module.METHODS)
    default = name if name in methods else methods[-1]
    return System(
        name=name,
        module=module.__name__,
        tasks=tuple(module.TASKS),
        methods=methods,
        budgets=tuple(module.BUDGETS),
        headline=getattr(module, "HEADLINE", default),
        headline_methods=tuple(getattr(module, "HEADLINE_METHODS", methods)),
        online_steps={budget: getattr(config, "online_steps", None) for budget, config in module.BUDGETS.items()},
        columns=tuple(getattr(module, "COLUMNS", COLUMNS)),
        checks=tuple(getattr(module, "CHECKS", ())),
        shifts=tuple(getattr(module, "SHIFTS", ())),
        plan=getattr(module, "PLAN", {}),
        after=getattr(module, "AFTER", {}),
        episodes_each=getattr(module, "EPISODES_EACH", {}),
    )


@dataclass(frozen=True)
class Cell:
    """One run of a table, and where its files lie."""

    system: str
    budget: str
    task: str
    method: str
    seed: int

    @property
    def label(self) -> str:
        return f"{self.task} {self.method} seed {self.seed}"

    def result_file(self, results: Path) -> Path:
        return results / self.system / self.budget / self.task / self.method / f"seed-{self.seed}.json"

    def run_folder(self, runs: Path) -> Path:
        return runs / self.system / self.budget / self.task / self.method / f"seed-{self.seed}"

    def describes(self, result: Mapping[str, Any]) -> bool:
        """Whether `result` is about this cell and has every key that the protocol asks for, if only as null."""
        return self.names(result) and all(key in result for key in REQUIRED_KEYS)

    def names(self, result: Mapping[str, Any]) -> bool:
        return all(result.get(key) == getattr(self, key) for key in ("task", "method", "seed", "budget"))


def read_result(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of results.

    Raises:
        CorruptError: it is not valid JSON, or no object.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise CorruptError(f"{path} is not valid JSON ({error}): delete it and run the bench again") from error
    if not isinstance(content, dict):
        raise CorruptError(f"{path} holds a {type(content).__name__}, not an object: delete it and run the bench again")
    return content


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` so that a reader finds the old file or the new one, whole; NaN is refused.

    Raises:
        WriteError: the file system refuses.
        InvalidValueError: a number is NaN or infinite.
    """
    try:
        text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise InvalidValueError(f"{path} would hold NaN or infinity ({error}): report such a number as null") from error
    try:
        write_atomically(path, text.encode())
    except WriteError as error:
        raise WriteError(f"cannot write {path} ({error.__cause__}): free space or choose another --results") from error
