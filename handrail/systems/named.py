"""The names of a run, checked before anything is built or written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from handrail.core.errors import unknown_name


@dataclass(frozen=True)
class Known:
    """The names that a system knows."""

    system: str
    tasks: Collection[str]
    methods: Collection[str]
    budgets: Collection[str]

    def names(self, task: str, method: str, seed: int, budget: str, any_budget: bool) -> dict[str, Any]:
        """What a run is called in its config and its result.

        Args:
            any_budget: the run brings a configuration of its own, and may call its budget as it likes.

        Raises:
            UnknownNameError: no such task, method or budget; the text lists the nearest ones.
        """
        budgets = (budget,) if any_budget else self.budgets
        known = {"task": (task, self.tasks), "method": (method, self.methods), "budget": (budget, budgets)}
        for kind, (name, names) in known.items():
            if name not in names:
                raise unknown_name(kind, name, names)
        return {"system": self.system, "task": task, "method": method, "seed": seed, "budget": budget}
