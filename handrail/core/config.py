"""Frozen dataclasses to plain values and back, so that a run can be started from what it wrote."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from handrail.core.errors import unknown_name

Config = TypeVar("Config")


def from_mapping(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a (nested) dataclass from the mapping that `dataclasses.asdict` made of one, after a trip through JSON.

    Raises:
        UnknownNameError: a key that the class does not have.
    """
    types = typing.get_type_hints(config_class)
    for key in values:
        if key not in types:
            raise unknown_name(f"setting of {config_class.__name__}", key, types)
    return config_class(**{key: _value(types[key], value) for key, value in values.items()})


def config_hash(values: Mapping[str, Any]) -> str:
    """A short name of a configuration: equal for equal values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def _value(declared: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(declared) and isinstance(value, Mapping):
        return from_mapping(declared, value)  # type: ignore[arg-type]
    return tuple(value) if isinstance(value, list) and typing.get_origin(declared) is tuple else value
