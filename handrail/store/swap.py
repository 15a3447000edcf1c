"""Replacing a whole dataset folder by another, so that a crash in between is finished on the next opening."""

from __future__ import annotations

import shutil
from pathlib import Path

from .atomic import fsync_folder, guarded

READY, OLD = ".compacted", ".before-compact"


def beside(root: Path, suffix: str) -> Path:
    return root.with_name(root.name + suffix)


def swap(root: Path, new: Path) -> None:
    """Put the finished folder `new` in the place of `root`. The old one goes only when the new one stands.

    The first rename declares `new` complete; from then on `finish_swap` can carry on from any point.
    """
    ready = beside(root, READY)

    def carry_out() -> None:
        new.rename(ready)
        fsync_folder(root.parent)
        finish_swap(root)

    guarded(root, carry_out)


def finish_swap(root: Path) -> list[str]:
    """Carry on with a swap that was cut short; say what was done."""
    ready, old = beside(root, READY), beside(root, OLD)
    if not ready.exists() and not old.exists():
        return []
    if ready.exists():
        if root.exists():
            shutil.rmtree(old, ignore_errors=True)
            root.rename(old)
        ready.rename(root)
        fsync_folder(root.parent)
    elif not root.exists():
        old.rename(root)
    shutil.rmtree(old, ignore_errors=True)
    return [f"finished replacing {root.name} by its compacted form"]
