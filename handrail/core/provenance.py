"""Where a result came from: code, command, machine. Written into every run folder and every result file."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("handrail", "numpy", "torch", "gymnasium", "mujoco", "gym-hil")


def git_hash(folder: Path | None = None) -> str:
    """Return the short commit of `folder` (this package's by default), "-dirty" where tracked code differs from it.

    Measured tables under results/ do not count as a change. "unknown" where there is no git or no repository.
    """
    where = folder or Path(__file__).parents[2]
    commit = _git(where, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return "unknown"
    changes = _git(where, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)results")
    return f"{commit}-dirty" if changes else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def command_line(argv: Sequence[str] | None = None) -> str:
    """Return the command that started this process, as a user would type it: no machine's paths in it."""
    program, *rest = sys.argv if argv is None else argv
    path = Path(program)
    shown = path.parent.name if path.name == "__main__.py" else path.name  # `python -m handrail`
    return shlex.join([shown, *rest])


def machine() -> dict[str, object]:
    """Return CPU model, cores, memory [GB], platform, and the versions of what computes."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        "memory_gb": _memory_gb(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else (platform.processor() or platform.machine())


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
