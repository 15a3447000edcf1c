"""`handrail data check | repair | view | export | compact | import`: look after recorded episodes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from handrail.cli.parse import parse
from handrail.core.errors import unknown_name

if TYPE_CHECKING:
    from handrail.store import Dataset, Episode

SUMMARY = "check, repair, view, export, compact or import recorded episodes"
USAGE = """usage: handrail data check DATASET
       handrail data repair DATASET
       handrail data view DATASET [--episode N] [--out PAGE.html] [--rows N]
       handrail data export DATASET OUT [--episodes N ...]
       handrail data compact DATASET
       handrail data import SOURCE OUT [--format auto|lerobot|episode-json|hil-serl] [--images video|image|none]
"""
SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class DatasetFlags:
    """A dataset folder.

    Attributes:
        dataset: the folder that holds meta/, data/ and videos/.
    """

    dataset: Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True)
class ViewFlags:
    """Print a table of episodes, and write one episode as an HTML page.

    Attributes:
        dataset: the folder that holds meta/, data/ and videos/.
        episode: which one goes on the page; the last by default.
        out: the page; episode-N.html in this folder by default.
        rows: the table shows this many episodes, the newest.
    """

    dataset: Annotated[Path, tyro.conf.Positional]
    episode: int = -1
    out: Path | None = None
    rows: int = 20


@dataclass(frozen=True)
class ExportFlags:
    """Write chosen episodes to a new, plain LeRobot v3 dataset.

    Attributes:
        dataset: the folder that holds meta/, data/ and videos/; it is left as it is.
        out: a folder that does not exist yet.
        episodes: which ones, in their new order; all when not given.
    """

    dataset: Annotated[Path, tyro.conf.Positional]
    out: Annotated[Path, tyro.conf.Positional]
    episodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImportFlags:
    """Append recordings of others to a dataset.

    Attributes:
        source: a LeRobot v3 folder, an episode JSON, a HIL-SERL .pkl, or a folder of those.
        out: the dataset, begun if it does not exist.
        format: auto, lerobot, episode-json or hil-serl.
        images: how cameras are stored: video, image or none.
        fps: policy rate [Hz], for sources that do not say.
        task: name of the task, for sources that do not say.
        demonstrations: a person drove every step.
    """

    source: Annotated[Path, tyro.conf.Positional]
    out: Annotated[Path, tyro.conf.Positional]
    format: str = "auto"
    images: str = "video"
    fps: int | None = None
    task: str = ""
    demonstrations: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def main(argv: list[str]) -> int:
    """Run `handrail data ...`; 0 all well, 2 when a committed episode is damaged."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if argv else 2
    if argv[0] not in ACTIONS:
        raise unknown_name("data command", argv[0], ACTIONS)
    return ACTIONS[argv[0]](argv[1:])


def check(argv: list[str]) -> int:
    """Say whether every committed episode is whole."""
    from handrail.store import check as find_problems
    from handrail.store.index import load_index

    root = parse(DatasetFlags, argv, "handrail data check").dataset
    problems = find_problems(root)
    index = load_index(root)
    for problem in problems[:SHOWN_PROBLEMS]:
        print(problem)
    if len(problems) > SHOWN_PROBLEMS:
        print(f"... and {len(problems) - SHOWN_PROBLEMS} more")
    kinds = Counter(problem.kind for problem in problems)
    said = f"{len(index.rows)} committed episodes, {index.num_steps} steps"
    if kinds["damaged"]:
        sys.stderr.write(
            f"handrail: {root} has {kinds['damaged']} damaged files among {said}: run `handrail data repair {root}`\n"
        )
        return 2
    print(f"{root}: {said}, all readable{_harmless(kinds)}")
    return 0


def _harmless(kinds: Counter[str]) -> str:
    """What a crash leaves behind besides the committed episodes."""
    parts = [
        f"{kinds[kind]} {text}"
        for kind, text in (("leftover", "leftovers of an uncommitted episode"), ("stale", "stale derived files"))
        if kinds[kind]
    ]
    return f"; {' and '.join(parts)}, which `handrail data repair` clears" if parts else ""


def repair(argv: list[str]) -> int:
    """Clear what a crash left behind; committed episodes are never deleted."""
    from handrail.store import repair as put_right

    root = parse(DatasetFlags, argv, "handrail data repair").dataset
    for line in put_right(root) or ["nothing to do"]:
        print(line)
    return check([str(root)])


def view(argv: list[str]) -> int:
    """Print the table of episodes and write the page of one."""
    from handrail.core.errors import InvalidValueError
    from handrail.store import Dataset

    flags = parse(ViewFlags, argv, "handrail data view")
    dataset = Dataset(flags.dataset)
    if not dataset.num_episodes:
        raise InvalidValueError(f"{flags.dataset} holds no episode yet: record one first")
    print_table(dataset, flags.rows)
    episode = flags.episode if flags.episode >= 0 else dataset.num_episodes + flags.episode
    from handrail.report.episode_page import write_episode_page

    page = write_episode_page(dataset, episode, flags.out or Path(f"episode-{episode}.html"))
    print(f"page of episode {episode}: {page}")
    return 0


def print_table(dataset: Dataset, rows: int) -> None:
    """Print the newest `rows` episodes."""
    from rich.console import Console
    from rich.table import Table

    first = max(0, dataset.num_episodes - rows)
    table = Table(
        title=f"{dataset.root}: {dataset.num_episodes} episodes, {dataset.num_steps} steps at {dataset.fps} Hz"
    )
    for name in ("episode", "task", "steps", "outcome", "return", "IR", "AR", "takeovers", "env seed", "operator"):
        table.add_column(name, justify="left" if name in ("task", "outcome", "takeovers", "operator") else "right")
    for number in range(first, dataset.num_episodes):
        table.add_row(*row_of(dataset.episode(number)))
    console = Console()
    console.print(table)
    if first:
        console.print(f"{first} earlier episodes are not shown: --rows {dataset.num_episodes} shows all")


def row_of(episode: Episode) -> list[str]:
    """The cells of one episode."""
    from handrail.store import metrics

    steps, meta = episode.steps(), episode.meta
    takeovers = ", ".join(f"{count} {cause.lower()}" for cause, count in metrics.takeovers(steps).items())
    person = f"{meta.operator_tier} {meta.operator_draw}" if meta.operator_draw is not None else meta.operator_tier
    return [
        str(episode.index),
        meta.task,
        str(len(steps)),
        "success" if meta.success else meta.failure_kind or "failure",
        f"{metrics.episode_return(steps):.2f}",
        f"{metrics.intervention_rate(steps):.0%}",
        f"{metrics.assistant_rate(steps):.0%}",
        takeovers or "none",
        "" if meta.env_seed is None else str(meta.env_seed),
        person,
    ]


def export(argv: list[str]) -> int:
    """Write a plain LeRobot v3 dataset."""
    from handrail.store import Dataset
    from handrail.store import export as write_plain

    flags = parse(ExportFlags, argv, "handrail data export")
    out = write_plain(flags.dataset, flags.out, flags.episodes or None)
    print(f"{out}: {Dataset(out).num_episodes} episodes in plain LeRobot v3 layout")
    return 0


def compact(argv: list[str]) -> int:
    """Merge one-episode files into large ones."""
    from handrail.store import compact as merge_files

    root = parse(DatasetFlags, argv, "handrail data compact").dataset
    print(f"{root}: {merge_files(root)} data files now")
    return 0


def import_(argv: list[str]) -> int:
    """Append recordings of others."""
    from handrail.store.importers import Options, import_dataset

    flags = parse(ImportFlags, argv, "handrail data import")
    options = Options(flags.images, flags.fps, flags.task, flags.demonstrations)
    done = import_dataset(flags.source, flags.out, flags.format, options)
    print(f"{flags.out}: {len(done)} episodes imported" + (f", {done[0]} to {done[-1]}" if done else ""))
    return 0


ACTIONS: dict[str, Callable[[list[str]], int]] = {
    "check": check,
    "repair": repair,
    "view": view,
    "export": export,
    "compact": compact,
    "import": import_,
}
