"""Files that are either whole or absent: write a temporary, fsync it, rename it, fsync the folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
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
    prepare(path, payload, durable)
    settle([path], durable)


def prepare(path: Path, payload: bytes | memoryview, durable: bool = True) -> None:
    """Write the temporary of `path`; `settle` puts it in its place.

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
    except OSError as error:
        discard(temporary)
        raise write_error(path, error) from error


def settle(paths: Iterable[Path], durable: bool = True) -> None:
    """Rename the temporaries of `paths` to them, then make the new names durable.

    Raises:
        WriteError: the file system refused; temporaries that are still there are removed.
    """
    paths = list(paths)
    for path in paths:
        try:
            os.replace(temporary_name(path), path)
        except OSError as error:
            discard_temporaries(paths)
            raise write_error(path, error) from error
    for folder in {path.parent for path in paths} if durable else ():
        guarded(folder, partial(fsync_folder, folder))


def discard_temporaries(paths: Iterable[Path]) -> None:
    """Remove what `prepare` wrote for `paths`, where it is still there."""
    for path in paths:
        discard(temporary_name(path))


def fsync_file(path: Path) -> None:
    """Make the contents of a file durable that somebody else wrote, such as a video encoder."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


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
