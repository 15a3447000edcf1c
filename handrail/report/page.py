"""Fills a template and writes one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path

import jinja2

from handrail.core.errors import WriteError
from handrail.core.values import Authority

from . import palette


def write_page(template: str, out: Path, **values: object) -> Path:
    """Render `template` of `handrail/report/templates` to `out`.

    Raises:
        WriteError: the file cannot be written.
    """
    text = _environment().get_template(template).render(**values)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WriteError(f"cannot write {out} ({error.strerror}): choose another file with --out") from error
    return out


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("handrail.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(percent=percent, number=number)
    environment.globals.update(
        authority_legend=[(palette.AUTHORITY_LABELS[a], palette.AUTHORITY_COLOURS[a]) for a in Authority],
    )
    return environment


def percent(value: float | None) -> str:
    """Write a rate as a person reads it; one decimal below 10 %."""
    if value is None:
        return "–"
    digits = 1 if 0 < value < 0.0995 else 0
    return f"{100 * value:.{digits}f}".removesuffix(".0") + " %"


def number(value: float | None, digits: int = 0) -> str:
    """Write a number with thousands separated; "–" for what was not measured."""
    return "–" if value is None or value != value or value == float("inf") else f"{value:,.{digits}f}"
