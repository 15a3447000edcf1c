"""What every importer turns its source into."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.errors import SchemaError
from handrail.core.values import Array, Authority, Step, TakeoverCause

from ..episode_meta import EpisodeMeta


@dataclass(frozen=True, slots=True)
class Options:
    """What a source does not say of itself.

    Attributes:
        images: how cameras are stored: "video", "image" or "none".
        fps: policy rate [Hz]; taken from the source where it has one.
        task: name of the task, for sources without.
        demonstrations: every step was driven by a person, and is no intervention.
    """

    images: str = "video"
    fps: int | None = None
    task: str = ""
    demonstrations: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """Episodes in the step record, read one at a time."""

    fps: int
    episodes: Iterable[tuple[list[Step], EpisodeMeta]]
    robot_type: str = "panda"


def authority_of(operated: bool, demonstration: bool) -> tuple[Authority, TakeoverCause]:
    """Who drove a step of a source that knows only whether a person did."""
    if demonstration:
        return Authority.OPERATOR, TakeoverCause.DEMONSTRATION
    return (Authority.OPERATOR, TakeoverCause.MANUAL) if operated else (Authority.POLICY, TakeoverCause.NONE)


def foreign_step(
    observation: dict[str, Array],
    following: dict[str, Array],
    action: Array,
    *,
    index: int,
    fps: int,
    driver: tuple[Authority, TakeoverCause],
    reward: float = 0.0,
    terminated: bool = False,
    truncated: bool = False,
    success: bool = False,
    stamp_s: float | None = None,
) -> Step:
    """Build a step of a source without risk or policy action; the executed action stands for the latter."""
    operated = driver[0] is Authority.OPERATOR
    return Step(
        observation=observation,
        next_observation=following,
        action=action,
        policy_action=action,
        operator_action=action if operated else None,
        assistant_action=None,
        authority=driver[0],
        takeover_cause=driver[1],
        assist_level=0.0,
        risk=0.0,
        value=0.0,
        reward=reward,
        cost=0.0,
        terminated=terminated,
        truncated=truncated,
        success=success,
        timestamp=index / fps,
        stamp_s=index / fps if stamp_s is None else stamp_s,
    )


def vector(what: str, value: Any, width: int | None = None) -> Array:
    """Turn a value of a source into a float32 vector.

    Raises:
        SchemaError: it is not numbers, or has another length.
    """
    try:
        array = np.asarray(value, dtype=np.float32).reshape(-1)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{what} is {type(value).__name__}, not numbers: check the source") from error
    if width is not None and len(array) != width:
        raise SchemaError(f"{what} has {len(array)} numbers, not {width}: check the source")
    return array


def files_of(source: Path, *suffixes: str) -> list[Path]:
    """`source` itself, or the files with these suffixes in it.

    Raises:
        SchemaError: there is none.
    """
    if source.is_file():
        return [source]
    found = sorted(path for path in source.iterdir() if path.suffix in suffixes)
    if not found:
        raise SchemaError(f"{source} holds no {' or '.join(suffixes)} file: check the path")
    return found
