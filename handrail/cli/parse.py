"""Flags from a frozen config class, and one line for every mistake in them."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from typing import TypeVar

import tyro

from handrail.core.errors import nearest

Config = TypeVar("Config")

_FLAG = re.compile(r"(?<![\w-])--[a-z][\w.-]*")
_FRAME = re.compile(r"[─-╿]|-{3,}")
_REWORDED = {"Error parsing ": "", "Unrecognized options: ": "unexpected argument ", "Missing from ": "missing from "}
"""tyro's words -> ours."""


def parse(config_class: type[Config], argv: Sequence[str], prog: str) -> Config:
    """Build a `config_class` from the command line.

    Args:
        config_class: a (frozen) dataclass; its fields are the flags, `tyro.conf.Positional` fields the arguments.
        argv: the arguments after the verb.
        prog: what the user typed before them, "handrail train".

    Raises:
        SystemExit: code 0 after `--help`; code 2, with one line on stderr, for an unknown flag or a bad value.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(config_class, args=list(argv), prog=prog)
    except SystemExit as stop:
        if not stop.code:
            raise
    line = _unknown_flag(config_class, argv) or _first_sentence(said.getvalue(), prog)
    sys.stderr.write(f"{prog}: {line.replace(f'{config_class.__name__}: ', '')}\n")
    raise SystemExit(2)


def flags(config_class: type) -> list[str]:
    """Return every flag that `config_class` answers to, "--sub.rate" for nested ones, sorted."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        tyro.cli(config_class, args=["--help"], prog="handrail")
    return sorted(set(_FLAG.findall(shown.getvalue())))


def _unknown_flag(config_class: type, argv: Sequence[str]) -> str | None:
    known = flags(config_class)
    given = [argument.split("=")[0].replace("_", "-") for argument in argv if argument.startswith("--")]
    for flag in given:
        if flag not in known and len(flag) > 2:
            close = nearest(flag, known)
            hint = f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(known)}"
            return f"unknown flag {flag}: {hint}"
    return None


def _first_sentence(said: str, prog: str) -> str:
    """Turn tyro's framed message into one line: its title, and its text down to the first rule."""
    lines = [_FRAME.sub(" ", line).strip() for line in said.splitlines()]
    text = [line for line in lines if line]
    if not text:
        return f"cannot read these arguments: see {prog} --help"
    end = next((i for i, line in enumerate(lines) if i > 1 and not line), len(lines))
    body = " ".join(line for line in lines[1:end] if line) or text[0]
    for theirs, ours in _REWORDED.items():
        body = body.replace(theirs, ours)
    return f"{body.rstrip('.')}: see {prog} --help"
