"""What is known of a whole episode, beside its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class EpisodeMeta:
    """Episode metadata; stored as further columns of `meta/episodes`, which LeRobot ignores.

    Attributes:
        task: name of the task, e.g. "TubeInsertion".
        instruction: what a language-conditioned policy is told; LeRobot's `tasks`. The task's name where empty.
        env_seed: seed of this reset; None where unknown.
        run_seed: seed of the training run; None where unknown.
        operator_draw: which simulated person; None for nobody, or a real one.
        operator_tier: "novice", "ordinary", "expert", or "".
        success: the task's own verdict at the end.
        failure_kind: why it failed; "" where it did not.
        policy_version: what drove, e.g. the number of updates; kept as text.
        config_hash: of the resolved configuration.
    """

    task: str
    instruction: str = ""
    env_seed: int | None = None
    run_seed: int | None = None
    operator_draw: int | None = None
    operator_tier: str = ""
    success: bool = False
    failure_kind: str = ""
    policy_version: str = ""
    config_hash: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "instruction", self.instruction or self.task)
        object.__setattr__(self, "policy_version", str(self.policy_version))
        object.__setattr__(self, "success", bool(self.success))

    def columns(self) -> dict[str, Any]:
        """Values by column name."""
        return asdict(self)

    @classmethod
    def from_columns(cls, row: Mapping[str, Any], instruction: str = "") -> EpisodeMeta:
        """Read the metadata out of a row of `meta/episodes`; a dataset of others has only its task text."""
        known = {field.name: row[field.name] for field in fields(cls) if row.get(field.name) is not None}
        return cls(**{"task": instruction, "instruction": instruction, **known})


META_TYPES: dict[str, pa.DataType] = {
    "task": pa.string(),
    "instruction": pa.string(),
    "env_seed": pa.int64(),
    "run_seed": pa.int64(),
    "operator_draw": pa.int64(),
    "operator_tier": pa.string(),
    "success": pa.bool_(),
    "failure_kind": pa.string(),
    "policy_version": pa.string(),
    "config_hash": pa.string(),
}
