"""The error tree: each message is one line, and names the next step."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from handrail.core import errors
from handrail.core.errors import HandrailError, NonFiniteError, UnknownNameError, nearest, require_finite, unknown_name

TASKS = ["PickCube", "TubeInsertion", "PressButton"]


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("pickcube", TASKS, ["PickCube"]),
        ("tube-insertion", TASKS, ["TubeInsertion"]),
        ("TubeInsert", TASKS, ["TubeInsertion"]),
        ("--sed", ["--seed", "--steps", "--resume"], ["--seed"]),
        ("hilserl", ["hil-serl", "farl", "dexhil"], ["hil-serl"]),
        ("zzz", TASKS, []),
        ("", TASKS, []),
        ("anything", [], []),
    ],
)
def test_nearest(name: str, known: list[str], expected: list[str]) -> None:
    assert nearest(name, known) == expected


def test_nearest_lists_equally_good_names() -> None:
    assert nearest("seed_c", ["seed_a", "seed_b", "folder"]) == ["seed_a", "seed_b"]


def test_unknown_name_says_the_nearest() -> None:
    error = unknown_name("task", "PickCub", TASKS)
    assert str(error) == "unknown task 'PickCub': did you mean PickCube?"
    assert isinstance(error, LookupError)
    assert isinstance(error, ValueError)


def test_unknown_name_far_from_all_lists_them() -> None:
    assert str(unknown_name("task", "zzz", TASKS)) == (
        "unknown task 'zzz': choose one of PickCube, PressButton, TubeInsertion"
    )


def test_require_finite_returns_what_it_was_given() -> None:
    np.testing.assert_array_equal(require_finite("state", [1.0, 2.0]), np.array([1.0, 2.0]))


def test_require_finite_names_the_first_offender() -> None:
    with pytest.raises(NonFiniteError) as caught:
        require_finite("observation 'state'", np.array([[1.0, 2.0], [3.0, np.nan]]))
    assert str(caught.value) == (
        "observation 'state' holds nan at index [1, 1], every entry must be finite: check where it comes from"
    )


def error_classes() -> list[type]:
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]


@pytest.mark.parametrize("error", error_classes(), ids=lambda c: c.__name__)
def test_every_error_is_in_the_tree_and_in_its_drawing(error: type) -> None:
    assert issubclass(error, HandrailError)
    assert error.__name__ in (errors.__doc__ or "")


def test_the_usual_builtin_catches_them_too() -> None:
    assert issubclass(UnknownNameError, LookupError)
    assert issubclass(errors.InvalidValueError, ValueError)
    assert issubclass(errors.StoreError, OSError)
