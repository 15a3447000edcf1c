"""`handrail report RUN [RUN ...]`: one HTML page about one or several runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from .parse import parse

SUMMARY = "write one HTML page about one or several runs"


@dataclass(frozen=True)
class ReportConfig:
    """Write one HTML page about one or several runs: curves, who drove, why, how long, and film."""

    runs: Positional[tuple[Path, ...]]
    """Run folders that `handrail train` has written."""
    out: Path | None = None
    """Where the page goes; report.html in the run folder, or in this folder for several runs."""


def main(argv: list[str]) -> int:
    config = parse(ReportConfig, argv, "handrail report")
    from handrail.report import write_report

    print(f"report: {write_report(config.runs, config.out or _place(config.runs))}")
    return 0


def _place(runs: tuple[Path, ...]) -> Path:
    return runs[0] / "report.html" if len(runs) == 1 else Path("report.html")
