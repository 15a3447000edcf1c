"""A run folder: resolved config, metrics line by line, checkpoints, result. `handrail report` and `bench` read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from handrail.core.errors import CheckpointError, WriteError
from handrail.core.provenance import command_line, git_hash, machine
from handrail.store import checkpoint
from handrail.store.atomic import fsync_file, guarded, write_atomically

WRITTEN = ("config.json", "metrics.jsonl", "result.json")


class RunFolder:
    """Owns the files of one run; every write is atomic or a whole line.

    Raises:
        WriteError: the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"cannot write run folder {path} ({error.strerror}): choose another with --out") from error

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run.

        Raises:
            CheckpointError: there is none in `path`.
        """
        if not (path / "config.json").is_file():
            raise CheckpointError(
                f"{path} is no run folder (no config.json): give one that 'handrail train' has written"
            )
        return cls(path)

    @property
    def episodes(self) -> Path:
        return self.path / "episodes"

    @property
    def prevented(self) -> Path:
        """A dataset of two episodes: a failure, and the same without one, see `run.prevented`."""
        return self.path / "prevented"

    @property
    def comparison(self) -> Path:
        """A dataset of two episodes: a person alone, and the same with help, see `systems.guided_film`."""
        return self.path / "comparison"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration with where it came from."""
        self._write("config.json", {**config, "git": git_hash(), "command": command_line(), "machine": machine()})

    def read_config(self) -> dict[str, Any]:
        """Return the configuration that this run was started with."""
        return json.loads((self.path / "config.json").read_text())

    def require_same(self, config: Mapping[str, Any]) -> None:
        """Make sure that this run was begun with `config`, or goes on with it.

        Raises:
            CheckpointError: it was not; the text names the first difference.
        """
        begun = self.read_config()
        for key, value in json.loads(json.dumps(config)).items():
            if (other := _difference(begun.get(key), value, key)) is not None:
                raise CheckpointError(f"{self.path} was begun with {other}: give another folder, or begin afresh")

    def go_on(self, config: Mapping[str, Any]) -> None:
        """Keep the lines of a run that was begun with `config` and cut short; where nothing was, begin it.

        Raises:
            CheckpointError: it was begun with another; the text names the first difference.
        """
        if (self.path / "config.json").is_file():
            self.require_same(config)
            self.rewind(0)  # a torn last line goes
        else:
            self.clear()
            self.write_config(config)

    def log(self, kind: str, **values: Any) -> None:
        """Append one line of metrics."""
        file = self.path / "metrics.jsonl"
        guarded(file, partial(_append, file, json.dumps({"kind": kind, **values}) + "\n"))

    def sync(self) -> None:
        """Make the lines so far as durable as the checkpoint that is about to follow them."""
        file = self.path / "metrics.jsonl"
        if file.exists():
            guarded(file, partial(fsync_file, file))

    def lines(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield the metrics of one kind, oldest first."""
        file = self.path / "metrics.jsonl"
        for text in file.read_text().splitlines() if file.exists() else ():
            line = json.loads(text)
            if line["kind"] == kind:
                yield line

    def rewind(self, online_steps: int) -> None:
        """Forget the metrics after `online_steps`: a resumed run measures them again. A torn last line goes too."""
        file = self.path / "metrics.jsonl"
        before = file.read_text() if file.exists() else ""
        lines = ((text, _parse(text)) for text in before.splitlines())
        kept = "".join(text + "\n" for text, line in lines if line and line.get("online_steps", 0) <= online_steps)
        if kept != before:
            self._replace("metrics.jsonl", kept)

    def has_checkpoint(self) -> bool:
        return checkpoint.exists(self.checkpoint)

    def write_result(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write the finished run's numbers and return them with their provenance."""
        complete = {**result, "git": git_hash(), "command": command_line(), "machine": machine()}
        self._write("result.json", complete)
        return complete

    def read_result(self) -> dict[str, Any] | None:
        file = self.path / "result.json"
        return json.loads(file.read_text()) if file.exists() else None

    def finished(self, names: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the result of the run called `names`, None while there is none.

        Raises:
            CheckpointError: another run has finished here.
        """
        result = self.read_result()
        if result is not None:
            self.require_same(names)
        return result

    def clear(self) -> None:
        """Remove what an earlier run left here, and nothing else: the folder may be anybody's."""
        for name in WRITTEN:
            (self.path / name).unlink(missing_ok=True)
        for folder in (self.episodes, self.prevented, self.comparison, self.checkpoint.parent):
            if folder.is_dir():
                shutil.rmtree(folder)

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        self._replace(name, json.dumps(value, indent=1) + "\n")

    def _replace(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text.encode())


def _append(file: Path, text: str) -> None:
    with file.open("a") as lines:
        lines.write(text)


def _difference(begun: Any, now: Any, name: str) -> str | None:
    """Say what differs first, as "config.online_steps 600, not 400"; None where nothing does."""
    if isinstance(begun, dict) and isinstance(now, dict):
        found = (_difference(begun.get(key), now.get(key), f"{name}.{key}") for key in sorted({*begun, *now}))
        return next((difference for difference in found if difference is not None), None)
    return None if begun == now else f"{name} {begun}, not {now}"


def _parse(text: str) -> dict[str, Any] | None:
    try:
        return json.loads(text)
    except ValueError:
        return None
