"""The `handrail` command: finds the verb, loads only that verb's file, and turns errors into one line."""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from handrail.core.errors import HandrailError, unknown_name

VERBS = ("demo", "collect", "train", "run", "eval", "bench", "report", "data", "devices", "doctor")

SUMMARY = re.compile(r'^SUMMARY(?:: str)? = "(.+)"$', re.MULTILINE)
"""The line of a verb's file that says what it does."""

EXTRAS = {
    "gym_aloha": "sim",
    "gym_hil": "sim",
    "gymnasium_robotics": "hands",
    "hid": "devices",
    "metaworld": "sim",
    "mink": "sim",
    "mujoco": "sim",
    "pygame": "devices",
    "pynput": "devices",
    "ray": "cluster",
    "rerun": "view",
    "stable_baselines3": "dev",
    "transformers": "vlm",
}
"""Module -> the extra that brings it."""

REFUSALS = {
    errno.ENOSPC: "the disk is full: free some space, or give another folder",
    errno.EDQUOT: "the disk quota is used up: free some space, or give another folder",
    errno.EROFS: "the file system is read-only: give a folder that can be written",
    errno.EACCES: "permission denied: give a folder that can be written",
    errno.EPERM: "permission denied: give a folder that can be written",
}
"""What the file system says -> what the user can do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `handrail VERB ...` and return its exit code: 0 done, 2 a mistake that one line on stderr explains.

    Args:
        argv: the arguments after `handrail`; those of the process when None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _print_verbs()
        return 0
    if arguments[0] == "--version":
        from handrail import __version__

        print(f"handrail {__version__}")
        return 0
    _render_without_a_screen()
    return _guarded(arguments[0], arguments[1:])


def _guarded(verb: str, arguments: list[str]) -> int:
    try:
        return _dispatch(verb, arguments)
    except HandrailError as error:
        return _say(str(error))
    except ModuleNotFoundError as error:
        module = (error.name or "").split(".")[0]
        if module not in EXTRAS:
            raise
        return _say(f"'{verb}' needs {module}, which is not installed: pip install 'handrail[{EXTRAS[module]}]'")
    except BrokenPipeError:  # `handrail ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return _say(f"cannot write {error.filename or 'to the disk'}: {REFUSALS[error.errno]}")
    except KeyboardInterrupt:
        return _say("stopped by the keyboard; what was recorded is kept", code=130)


def _dispatch(verb: str, arguments: list[str]) -> int:
    if verb not in VERBS:
        raise unknown_name("verb", verb, VERBS)
    return importlib.import_module(f"handrail.cli.{verb}").main(arguments)


def _say(line: str, code: int = 2) -> int:
    sys.stderr.write(f"handrail: {' '.join(line.split())}\n")
    return code


def _render_without_a_screen() -> None:
    """Choose EGL where no screen is attached; MuJoCo reads the choice once, when it is imported.

    An EGL that this machine does not have is dropped: with it, importing MuJoCo fails; without it, state-only work
    goes on and whoever draws gets a `RenderError`.
    """
    chosen = os.environ.get("MUJOCO_GL", "" if os.environ.get("DISPLAY") else "egl")
    if chosen == "egl" and _can_load("libEGL.so.1"):
        os.environ["MUJOCO_GL"] = "egl"
    elif chosen == "egl":
        os.environ.pop("MUJOCO_GL", None)


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _print_verbs() -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print("[bold]handrail[/bold] VERB [arguments]   failure-aware human-in-the-loop robot learning\n")
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(style="bold cyan")
    table.add_column()
    for verb in VERBS:
        summary = summary_of(verb)
        if summary is not None:
            table.add_row(verb, summary)
    console.print(table)
    console.print("\nhandrail VERB --help says more; docs/ explains the words.")


def summary_of(verb: str) -> str | None:
    """Return the `SUMMARY` of a verb's file without importing it (importing would load torch); None if it has none."""
    path = Path(__file__).with_name(f"{verb}.py")
    found = SUMMARY.search(path.read_text(encoding="utf-8")) if path.exists() else None
    return found[1] if found else None
