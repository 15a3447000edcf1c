"""The error tree, and the one line that every error says: what, value, limit, next step.

HandrailError
├── InvalidValueError      a value of the user's is outside its limit            (also a ValueError)
│   ├── UnknownNameError   a task, method or flag that does not exist            (also a LookupError)
│   └── NonFiniteError     NaN or infinity in an action or observation
├── StoreError             an episode or dataset cannot be read or written       (also an OSError)
│   ├── SchemaError        the dataset has another schema
│   ├── CorruptError       a file is half-written or damaged
│   └── WriteError         full disk, read-only folder
├── CheckpointError        a checkpoint is missing, damaged, or of another task
├── DeviceError            an input device is missing or went silent
└── RenderError            no usable OpenGL library
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike


class HandrailError(Exception):
    """Root of every error that Handrail raises on purpose; its text is one line."""


class InvalidValueError(HandrailError, ValueError):
    """A value that the user gave is outside its limit."""


class UnknownNameError(InvalidValueError, LookupError):
    """A name that is not registered; the text lists the nearest valid ones."""


class NonFiniteError(InvalidValueError):
    """NaN or infinity where a finite number is required."""


class StoreError(HandrailError, OSError):
    """An episode or dataset cannot be read or written."""


class SchemaError(StoreError):
    """The dataset on disk has another schema than the one required."""


class CorruptError(StoreError):
    """A file is half-written or damaged."""


class WriteError(StoreError):
    """The file system refuses: full disk, read-only folder."""


class CheckpointError(HandrailError):
    """A checkpoint is missing, damaged, or belongs to another task."""


class DeviceError(HandrailError):
    """An input device is missing or went silent."""


class RenderError(HandrailError):
    """No usable OpenGL library on this machine."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` of `known` that look like `name`, best first, ignoring case and punctuation.

    A name much less alike than the best one is left out: after "--sed", "--seed" is help and "--steps" is noise.
    """
    likeness = {candidate: _likeness(name, candidate) for candidate in known}
    ranked = sorted(likeness, key=lambda candidate: (-likeness[candidate], candidate))
    floor = max(0.4, likeness[ranked[0]] - 0.2) if ranked else 1.0
    return [candidate for candidate in ranked[:count] if likeness[candidate] >= floor]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for an unregistered `name` of this `kind` ("task", "method", "flag")."""
    known = sorted(known)
    close = nearest(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(known)}"
    return UnknownNameError(f"unknown {kind} '{name}': {hint}")


def require_finite(what: str, array: ArrayLike) -> np.ndarray:
    """Return `array` as an ndarray, or raise `NonFiniteError` naming the first offending entry."""
    values = np.asarray(array)
    finite = np.isfinite(values)
    if finite.all():
        return values
    index = tuple(int(i) for i in np.argwhere(~finite)[0])
    raise NonFiniteError(
        f"{what} holds {values[index]} at index {list(index)}, every entry must be finite: check where it comes from"
    )


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, _fold(one), _fold(other)).ratio()


def _fold(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
