"""Files that are either whole or absent: write a temporary, fsync it, rename it, fsync the folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from handrail.core.errors import HandrailError, WriteError

TEMPORARY = ".tmp"


def temporary_name(path: Path) -> Path:
    """Where `path` is written before it is renamed: same folder, hidden, and ending in `.tmp`."""
    return path.with_name(f".{path.name}{TEMPORARY}")


def write_error(path: Path, cause: BaseException) -> WriteError:
    """Say in one line why `path` could not be written, and what to do."""
    reason = getattr(cause, "strerror", None) or str(cause)
    return WriteError(
        f"cannot write {path}: {reason.lower()}; committed episodes stay readable: "
        "free some space or make the folder writable, then record again"
    )


def write_atomically(path: Path, payload: bytes | memoryview, durable: bool = True) -> None:
    """Put `payload` at `path` so that a reader, or a crash, finds the old file or the new one and nothing between.

    Args:
        durable: fsync file and folder. Derived files, which can be rebuilt, do without.

    Raises:
        WriteError: full disk, read-only folder; the temporary is removed.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(payload)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            fsync_folder(path.parent)
    except OSError as error:
        discard(temporary)
        raise write_error(path, error) from error


def publish(path: Path) -> None:
    """Make the finished temporary of `path` durable and rename it to `path`."""
    temporary = temporary_name(path)
    try:
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error


def guarded(path: Path, action: Callable[[], object]) -> None:
    """Run `action`, which writes `path`, and turn the file system's refusal into a `WriteError`."""
    try:
        action()
    except HandrailError:
        raise
    except OSError as error:
        raise write_error(path, error) from error


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: without it a rename may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(path: Path) -> None:
    """Remove `path` if it is there and the file system lets us; `repair` finds what stays."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
