"""Checkpoints: safetensors for arrays, JSON for the rest, a SHA-256 beside, all of it by one rename.

Layout of a checkpoint folder: `tensors.safetensors`, `meta.json`, `done.json` (hash of the two others; written last).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.errors import CheckpointError
from handrail.core.provenance import git_hash
from handrail.core.values import Array

from .atomic import fsync_folder

TENSORS, META, DONE = "tensors.safetensors", "meta.json", "done.json"


def save(folder: str | Path, tensors: Mapping[str, Array], meta: Mapping[str, object]) -> None:
    """Write a checkpoint so that `folder` holds the old one or the new one, complete, whatever happens.

    Args:
        folder: replaced as a whole.
        tensors: arrays by name.
        meta: JSON values: configuration, counters, states of random generators, and "task" for the check in `load`. The
            git hash is added under "git" when it is not given.

    Raises:
        CheckpointError: `meta` holds something that JSON cannot, or the file system refuses.
    """
    from safetensors.numpy import save as to_bytes

    folder = Path(folder)
    try:
        text = json.dumps({"git": git_hash(), **meta}, indent=1).encode()
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint meta is not JSON ({error}): put arrays among the tensors") from error
    data = to_bytes({key: np.asarray(value, order="C") for key, value in tensors.items()})
    hashes = {TENSORS: _sha256(data), META: _sha256(text)}
    contents = {TENSORS: data, META: text, DONE: json.dumps(hashes).encode()}
    try:
        _replace_folder(folder, contents)
    except OSError as error:
        raise CheckpointError(
            f"cannot write checkpoint {folder} ({error.strerror}): free space or choose another folder"
        ) from error


def load(folder: str | Path, *, task: str | None = None) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a checkpoint and verify it.

    Args:
        folder: where `save` wrote.
        task: refuse a checkpoint whose meta "task" is another.

    Raises:
        CheckpointError: missing, damaged, or of another task.
    """
    from safetensors.numpy import load as from_bytes

    folder = _recovered(Path(folder))
    contents = {name: _read(folder, name) for name in (DONE, TENSORS, META)}
    expected = _json(folder, DONE, contents[DONE])
    for name in (TENSORS, META):
        if expected.get(name) != _sha256(contents[name]):
            raise CheckpointError(
                f"checkpoint {folder} is damaged: SHA-256 of {name} does not match; use an older checkpoint"
            )
    meta = _json(folder, META, contents[META])
    if task is not None and meta.get("task") != task:
        raise CheckpointError(
            f"checkpoint {folder} is of task '{meta.get('task')}', not '{task}': pass the checkpoint of {task}"
        )
    return from_bytes(contents[TENSORS]), meta


def exists(folder: str | Path) -> bool:
    """Whether a complete checkpoint lies in `folder`; its hash is not verified."""
    return (_recovered(Path(folder)) / DONE).is_file()


def _replace_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, data in contents.items():
        _write_synced(new / name, data)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)  # a crash here leaves `.old`, which `load` still finds
    new.rename(folder)
    fsync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _recovered(folder: Path) -> Path:
    old = folder.with_name(folder.name + ".old")
    return old if not folder.exists() and (old / DONE).is_file() else folder


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"no complete checkpoint in {folder}: {name} is missing; check the path or train"
        ) from error


def _json(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        return json.loads(data)
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {name} is not JSON; use an older checkpoint") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
