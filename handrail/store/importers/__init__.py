"""Bringing recordings of others into the step record: episode JSON, LeRobot v3 datasets, HIL-SERL transition files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from handrail.core.errors import InvalidValueError, unknown_name

from ..writer import DatasetWriter
from .base import Options, Recording

FORMATS = ("auto", "lerobot", "episode-json", "hil-serl")


def import_dataset(
    source: str | Path, out: str | Path, kind: str = "auto", options: Options | None = None
) -> list[int]:
    """Append every episode of `source` to the dataset at `out`; return their indices there.

    Args:
        source: a LeRobot v3 folder, an episode JSON or a folder of them, or a HIL-SERL `.pkl` or a folder of them.
        out: begun if it does not exist.
        kind: one of `FORMATS`; "auto" looks at the names.
        options: what the source does not say of itself.

    Raises:
        UnknownNameError: no such format.
        SchemaError: the source is something else, or does not fit what `out` holds already.
        CorruptError: a file of it is damaged. Episodes imported before stay.
    """
    source, options = Path(source), options or Options()
    if kind not in FORMATS:
        raise unknown_name("import format", kind, FORMATS)
    if not source.exists():
        raise InvalidValueError(f"{source} does not exist: check the path")
    recording = _reader(recognise(source) if kind == "auto" else kind)(source, options)
    done: list[int] = []
    with DatasetWriter(out, recording.fps, robot_type=recording.robot_type, images=options.images) as writer:
        for steps, meta in recording.episodes:
            for step in steps:
                writer.add(step)
            done.append(writer.commit(meta))
    return done


def recognise(source: Path) -> str:
    """Name the format of `source` by its file names."""
    if (source / "meta" / "info.json").is_file():
        return "lerobot"
    suffixes = {path.suffix for path in ([source] if source.is_file() else source.iterdir())}
    if ".json" in suffixes:
        return "episode-json"
    if suffixes & {".pkl", ".pickle"}:
        return "hil-serl"
    raise InvalidValueError(f"{source} is none of {', '.join(FORMATS[1:])}: name one with --format")


def _reader(kind: str) -> Callable[[Path, Options], Recording]:
    if kind == "lerobot":
        from .lerobot import read
    elif kind == "episode-json":
        from .episode_json import read
    else:
        from .hil_serl import read
    return read


__all__ = ["FORMATS", "Options", "Recording", "import_dataset", "recognise"]
