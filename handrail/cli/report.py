"""`handrail report RUN [RUN ...]`: one HTML page about one or several runs, or an animation of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from handrail.core.errors import InvalidValueError

from .parse import parse

SUMMARY = "write one HTML page about one or several runs"


@dataclass(frozen=True)
class ReportConfig:
    """Write one HTML page about one or several runs: curves, who drove, why, how long, and film."""

    runs: Positional[tuple[Path, ...]]
    """Run folders that `handrail train` has written."""
    out: Path | None = None
    """Where the page goes; report.html in the run folder, or in this folder for several runs."""
    film: Path | None = None
    """Write an animation instead: .webp, .gif or .mp4. Runs that filmed an episode alone and with help show that."""
    episodes: tuple[int, ...] = ()
    """Which episodes of the run's dataset are in it; where there is no pair, one with help and one alone."""


def main(argv: list[str]) -> int:
    config = parse(ReportConfig, argv, "handrail report")
    from handrail.report import write_film, write_pairs, write_report, write_teleop_report
    from handrail.report.pairs import has_pair
    from handrail.report.teleop_report import is_teleoperation

    if config.film is not None:
        if not config.episodes and any(has_pair(run) for run in config.runs):
            print(f"film: {write_pairs(config.runs, config.film)}")
            return 0
        if len(config.runs) != 1:
            raise InvalidValueError(f"--film of {len(config.runs)} runs: give one run")
        print(f"film: {write_film(config.runs[0] / 'episodes', config.film, config.episodes)}")
        return 0
    write = write_teleop_report if config.runs and is_teleoperation(config.runs[0]) else write_report
    print(f"report: {write(config.runs, config.out or _place(config.runs))}")
    return 0


def _place(runs: tuple[Path, ...]) -> Path:
    return runs[0] / "report.html" if len(runs) == 1 else Path("report.html")
