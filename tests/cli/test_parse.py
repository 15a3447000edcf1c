"""Flags: what a config class accepts, and the one line for each mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from handrail.cli.parse import flags, parse
from handrail.core import InvalidValueError


@dataclass(frozen=True)
class Nested:
    learning_rate: float = 3e-4


@dataclass(frozen=True)
class Example:
    """An example with one of everything."""

    system: Annotated[str, tyro.conf.Positional]
    seed: int = 0
    budget: Literal["smoke", "quick"] = "smoke"
    folder: Path = Path("runs")
    resume: bool = True
    nested: Nested = field(default_factory=Nested)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InvalidValueError(f"seed {self.seed} is negative: give 0 or more")


@dataclass(frozen=True)
class Demanding:
    run: Path
    steps: int


def refusal(capsys: pytest.CaptureFixture[str], argv: list[str], config: type = Example) -> str:
    with pytest.raises(SystemExit) as stop:
        parse(config, argv, "handrail train")
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.removeprefix("handrail train: ").rstrip("\n")


def test_flags_fill_the_config() -> None:
    argv = ["hil-serl", "--seed", "3", "--budget", "quick", "--no-resume", "--nested.learning-rate", "1e-3"]
    made = parse(Example, argv, "handrail train")
    assert made == Example("hil-serl", 3, "quick", Path("runs"), False, Nested(1e-3))


def test_flags_lists_every_flag() -> None:
    expected = ["--budget", "--folder", "--help", "--nested.learning-rate", "--no-resume", "--resume", "--seed"]
    assert flags(Example) == expected


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["x", "--sed", "3"], "unknown flag --sed: did you mean --seed?"),
        (["x", "--sed=3"], "unknown flag --sed: did you mean --seed?"),
        (["x", "--learning-rate", "3"], "unknown flag --learning-rate: did you mean --nested.learning-rate?"),
        (["x", "--no-resme"], "unknown flag --no-resme: did you mean --no-resume or --resume?"),
        (["--sed", "3"], "unknown flag --sed: did you mean --seed?"),
        (["x", "--seed", "q"], "--seed: invalid literal for int() with base 10: 'q': see handrail train --help"),
        (["x", "--seed", "-1"], "seed -1 is negative: give 0 or more: see handrail train --help"),
        (["x", "y"], "unexpected argument y: see handrail train --help"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], argv: list[str], line: str) -> None:
    assert refusal(capsys, argv) == line


def test_unlike_any_flag_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, ["x", "--qqq"])
    assert line.startswith("unknown flag --qqq: choose one of --budget, --folder, --help")


def test_a_choice_lists_its_alternatives(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, ["x", "--budget", "smok"])
    assert "'smok'" in line
    assert "('smoke', 'quick')" in line


def test_a_missing_value_names_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seed" in refusal(capsys, ["x", "--seed"])


def test_missing_flags_are_named_all_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, [], Demanding)
    assert "--run" in line
    assert "--steps" in line


def test_a_narrow_terminal_does_not_cut_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    line = refusal(capsys, ["x", "--seed", "a-value-that-is-longer-than-the-terminal-is-wide"])
    assert "a-value-that-is-longer-than-the-terminal-is-wide" in line.replace(" ", "")


def test_help_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(Example, ["--help"], "handrail train")
    assert not stop.value.code
    assert "An example with one of everything." in capsys.readouterr().out
