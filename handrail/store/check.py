"""Is a dataset whole? And putting right what a crash left behind. Neither ever touches a committed episode's data."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handrail.core.errors import CorruptError, SchemaError, StoreError

from . import layout
from .arrays import read_arrays
from .atomic import TEMPORARY, discard, guarded
from .derived import WriterLock, load_ledger, read_info, rebuild, schema_of, write_journal
from .index import EpisodeRow, Index, load_index
from .restore import restore_info, restore_rows
from .schema import Schema
from .swap import finish_swap
from .video import count_frames

LEFTOVER, STALE, DAMAGED = "leftover", "stale", "damaged"
_EPISODE_NUMBER = re.compile(r"episode-(\d+)\.npz$")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be.

    Attributes:
        kind: "leftover" of an uncommitted episode and "stale" derived files are harmless and `repair` clears them;
            "damaged" touches a committed episode.
        path: relative to the dataset.
        message: what is wrong and what to do.
    """

    kind: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}: {self.message}"


def check(root: str | Path) -> list[Problem]:
    """List everything that is wrong with the dataset at `root`, reading but never writing. Empty: all is well.

    Raises:
        SchemaError: there is no dataset of this layout.
    """
    root = Path(root)
    index = load_index(root)
    problems = [
        _problem(root, DAMAGED, path, "the episode's row cannot be read: run `handrail data repair`")
        for path in index.broken
    ]
    problems += [
        _problem(root, LEFTOVER, path, "of an uncommitted episode: `handrail data repair` clears it")
        for path in leftovers(root, index)
    ]
    try:
        schema = schema_of(read_info(root))
    except (SchemaError, CorruptError) as error:
        if not index.rows and not index.broken:
            raise
        return [*problems, Problem(STALE, layout.INFO, str(error))]
    problems += _check_order(index)
    problems += _check_data(root, index)
    problems += _check_sides(root, schema, index)
    if not index.broken and not load_ledger(root, schema, index)[1]:
        problems.append(
            Problem(STALE, layout.INFO, "derived files lag behind the episodes: `handrail data repair` rewrites them")
        )
    return problems


def repair(root: str | Path) -> list[str]:
    """Finish or quarantine what is half-written, clear leftovers, rebuild derived files; return what was done.

    Never deletes a committed episode, and a second run finds nothing to do.

    Raises:
        WriteError: the folder is read-only, or somebody records into it.
        SchemaError: there is no dataset here.
    """
    root = Path(root)
    done = finish_swap(root)
    if not (root / "meta").is_dir():
        raise SchemaError(f"{root} is not a dataset: it has no meta folder; check the path")
    with WriterLock(root):
        done += restore_info(root)
        schema = schema_of(read_info(root))
        index = load_index(root)
        for path in index.broken:
            done.append(restore_rows(root, path, schema))
        index = load_index(root)
        done += clear_leftovers(root, index)
        if not load_ledger(root, schema, index)[1]:
            rebuild(root, schema, index)
            done.append("rewrote info.json, stats.json and tasks.parquet from the episodes")
        write_journal(root, index)
    return done


def leftovers(root: Path, index: Index) -> list[Path]:
    """Temporaries, and files of episodes that were never committed."""
    found = [path for part in ("data", "videos", "meta", "extras") for path in (root / part).rglob(f".*{TEMPORARY}")]
    found = [path for path in found if root / layout.QUARANTINE not in path.parents]
    if not index.broken:  # a file of theirs may belong to a row that repair can still restore
        found += _orphans(root, index)
    return found


def _orphans(root: Path, index: Index) -> Iterator[Path]:
    owned = {row.data.number for row in index.rows}
    for path in sorted((root / "data").glob("chunk-*/file-*.parquet")):
        if _number(path) not in owned:
            yield path
    for folder in sorted((root / "videos").glob("*")):
        owned = {
            row.video(folder.name).number for row in index.rows if f"videos/{folder.name}/file_index" in row.values
        }
        for path in sorted(folder.glob("chunk-*/file-*.mp4")):
            if _number(path) not in owned:
                yield path
    committed = {row.index for row in index.rows}
    for path in sorted((root / "extras").rglob("episode-*.npz")):
        match = _EPISODE_NUMBER.search(path.name)
        inside = root / layout.QUARANTINE not in path.parents
        if inside and match is not None and int(match.group(1)) not in committed:
            yield path


def _number(path: Path) -> int:
    return layout.FilePosition(
        int(path.parent.name.removeprefix("chunk-")), int(path.stem.removeprefix("file-"))
    ).number


def clear_leftovers(root: Path, index: Index) -> list[str]:
    """Remove temporaries and move files of uncommitted episodes to `extras/quarantine/`; say what was done."""
    done: list[str] = []
    for path in leftovers(root, index):
        name = path.relative_to(root)
        if path.name.endswith(TEMPORARY):
            discard(path)
            done.append(f"removed {name}")
        else:
            quarantine(root, path)
            done.append(f"moved {name}, of an uncommitted episode, to {layout.QUARANTINE}")
    return done


def quarantine(root: Path, path: Path) -> None:
    """Move `path` to the same place under `extras/quarantine/`, beside what may be there already."""
    target = root / layout.QUARANTINE / path.relative_to(root)
    number = 0
    while target.exists():
        number += 1
        target = target.with_name(f"{path.stem}-{number}{path.suffix}")

    def move() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)

    guarded(target, move)


def _problem(root: Path, kind: str, path: Path, message: str) -> Problem:
    return Problem(kind, str(path.relative_to(root)), message)


def _check_order(index: Index) -> list[Problem]:
    problems: list[Problem] = []
    steps = 0
    for position, row in enumerate(index.rows):
        if (row.index, row.start, row.stop - row.start) != (position, steps, row.length):
            where = layout.episodes_file(Path(), row.listed)
            text = f"episode {row.index} stands where {position} is expected, at step {row.start} for {steps}"
            return [
                *problems,
                Problem(DAMAGED, str(where), f"{text}: `handrail data export` renumbers into a new dataset"),
            ]
        steps += row.length
    return problems


def _check_data(root: Path, index: Index) -> Iterator[Problem]:
    """Every data file must hold exactly the rows that its episodes claim."""
    by_file: dict[layout.FilePosition, list[EpisodeRow]] = {}
    for row in index.rows:
        by_file.setdefault(row.data, []).append(row)
    for at, rows in by_file.items():
        path = layout.data_file(root, at)
        wrong = _data_fault(path, rows)
        if wrong:
            yield _problem(
                root, DAMAGED, path, f"{wrong}: restore it from a copy, or `handrail data export` the others"
            )


def _data_fault(path: Path, rows: list[EpisodeRow]) -> str:
    try:
        table = pq.read_table(path, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        return "missing" if not path.exists() else f"unreadable ({str(error).splitlines()[0]})"
    expected = np.concatenate([np.full(row.length, row.index) for row in rows])
    found = table.column("episode_index").to_numpy()
    return (
        ""
        if np.array_equal(found, expected)
        else f"holds {len(found)} steps that do not match the {len(expected)} listed"
    )


def _check_sides(root: Path, schema: Schema, index: Index) -> Iterator[Problem]:
    """Videos must be as long as their episodes, and final observations readable where this dataset keeps them."""
    frames: dict[Path, int] = {}
    for row in index.rows:
        for key in schema.videos:
            path = layout.video_file(root, key, row.video(key))
            end = round(row.video_start_s(key) * schema.fps) + row.length
            frames.setdefault(path, count_frames(path))
            if frames[path] < end:
                yield _problem(root, DAMAGED, path, f"holds {frames[path]} frames, not {end}: restore it from a copy")
    if not (root / layout.FINAL).is_dir():
        return
    for row in index.rows:
        path = layout.final_file(root, row.index)
        try:
            read_arrays(path)
        except StoreError:
            yield _problem(
                root, DAMAGED, path, "the observation after the last step is gone; the reader repeats the last one"
            )
