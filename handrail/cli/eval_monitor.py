"""`handrail eval monitor`: replay a monitor and a threshold over recorded episodes. Part of the verb `eval`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from handrail.assist.triggers import Threshold
from handrail.cli.parse import parse
from handrail.core.errors import InvalidValueError
from handrail.core.values import Step
from handrail.nets import one_thread
from handrail.run.audit import Assessor, Audit, EpisodeAudit, Recorded, audit
from handrail.run.folder import RunFolder
from handrail.store import Dataset
from handrail.systems import SYSTEMS, load

RECORDED = "recorded"


@dataclass(frozen=True)
class EvalMonitor:
    """Audit a monitor: when would help have begun, how early, how often in vain? Nothing is executed."""

    source: tyro.conf.Positional[Path]
    """run folder, whose recorded episodes are replayed, or a dataset"""
    enter: float
    """help begins where risk > enter"""
    leave: float | None = None
    """and ends where risk <= leave; the same as enter when not given"""
    min_steps: int = 1
    """a burst lasts at least so long"""
    max_steps: int | None = None
    """and at most so long"""
    cool_down: int = 0
    """steps without help after a burst, at least"""
    budget: int | None = None
    """helped steps in an episode, at most"""
    monitor: str = ""
    """run folder whose monitor is asked, or recorded: the risk on record; a run's own for a run, else recorded"""
    window: int = 20
    """an alarm is false when no violation follows it in so many steps"""
    least_lead: int = 5
    """steps that a helper needs: recall is also given for violations foreseen so early"""
    rows: int = 20
    """the table shows this many episodes, the newest"""
    json: bool = False
    """print numbers for a program, every episode among them"""


def main(argv: list[str]) -> int:
    options = parse(EvalMonitor, argv, "handrail eval monitor")
    one_thread()
    trigger = _trigger(options)
    dataset = _dataset(options.source)
    monitor = _monitor(options, dataset)
    found = audit(_episodes(dataset), monitor, trigger, window=options.window, least_lead=options.least_lead)
    if options.json:
        print(json.dumps(found.as_dict()))
    else:
        _print(found, options, guessed=isinstance(monitor, Recorded))
    return 0


def _trigger(o: EvalMonitor) -> Threshold:
    leave = o.enter if o.leave is None else o.leave
    return Threshold(o.enter, leave, o.min_steps, o.max_steps, o.cool_down, o.budget)


def _is_run(path: Path) -> bool:
    return (path / "config.json").is_file()


def _dataset(source: Path) -> Dataset:
    root = source / "episodes" if _is_run(source) else source
    if not (root / "meta" / "info.json").is_file():
        kind = "has recorded no episode" if _is_run(source) else "is neither a run folder nor a dataset"
        raise InvalidValueError(f"{source} {kind} (no {root / 'meta' / 'info.json'}): give one with recorded episodes")
    dataset = Dataset(root)
    if not dataset.num_episodes:
        raise InvalidValueError(f"{root} holds no episode yet: record one first")
    return dataset


def _monitor(options: EvalMonitor, dataset: Dataset) -> Assessor:
    """What `--monitor` names.

    Raises:
        InvalidValueError: there is no risk on record, or the run's system has no monitor, or one of another task.
        CheckpointError: no run folder there.
    """
    if options.monitor == RECORDED or not (options.monitor or _is_run(options.source)):
        if not any(np.any(episode.columns.get("risk", 0.0)) for episode in dataset):
            raise InvalidValueError(
                f"{dataset.root} has no risk on record (all 0): record it with a monitor, in shadow mode if that shall "
                "not act, or name a run that has one with --monitor RUN"
            )
        return Recorded()
    return _of_run(Path(options.monitor) if options.monitor else options.source, dataset.meta(0).task)


def _of_run(run: Path, task: str) -> Assessor:
    """The monitor of a run on `task`."""
    names = RunFolder.open(run).read_config()
    system = load(names["system"])
    if not hasattr(system, "load_monitor"):
        having = [other for other in SYSTEMS if _has_monitor(other)]
        known = f"a run of {' or '.join(having)} has one" if having else "no system here has one"
        raise InvalidValueError(
            f"{names['system']} has no monitor, {known}: use --monitor {RECORDED} for the risk on record"
        )
    if names["task"] != task:
        raise InvalidValueError(
            f"the monitor of {run} watches {names['task']}, the episodes are of {task}: give those of one task"
        )
    return system.load_monitor(run)


def _has_monitor(system: str) -> bool:
    """Told from its source: to import them all would need every extra, for the sake of a message."""
    found = find_spec(SYSTEMS[system])
    return bool(found and found.origin and "\ndef load_monitor(" in Path(found.origin).read_text(encoding="utf-8"))


def _episodes(dataset: Dataset) -> Iterator[list[Step]]:
    return (episode.steps() for episode in dataset)


def _print(found: Audit, options: EvalMonitor, guessed: bool) -> None:
    """The newest episodes as a table, the totals as sentences."""
    console, first = Console(), max(0, len(found.episodes) - max(0, options.rows))
    console.print(f"{options.source}: help where risk > {options.enter:g}", highlight=False, soft_wrap=True)
    table = Table()
    for name in ("episode", "steps", "alarms at", "violated at", "lead", "false", "late", "outcome"):
        table.add_column(name, justify="left" if name in ("alarms at", "outcome") else "right")
    for number, episode in enumerate(found.episodes[first:], first):
        table.add_row(str(number), *_cells(episode))
    console.print(table)
    if first:
        console.print(f"{first} earlier episodes are not shown: --rows {len(found.episodes)} shows all")
    for line in _sentences(found.numbers(), guessed):
        console.print(line, highlight=False)


def _cells(episode: EpisodeAudit) -> list[str]:
    shown = ", ".join(map(str, episode.alarms[:5])) + (" ..." if len(episode.alarms) > 5 else "")
    numbers = (episode.first_violation, episode.lead_steps)
    violated, lead = ("" if number is None else str(number) for number in numbers)
    return [
        str(episode.steps), shown, violated, lead, str(episode.false_alarms), str(episode.late_alarms), episode.outcome,
    ]  # fmt: skip


def _sentences(n: dict[str, Any], guessed: bool) -> Iterator[str]:
    if n["failure_episodes"]:
        early = f"{n['recall_at_lead']:.0%} at least {n['least_lead']} steps ahead"
        lead = "" if n["lead_steps_median"] is None else f", by {n['lead_steps_median']:g} steps in the median"
        yield f"foreseen {n['foreseen']} of {n['failure_episodes']} failures ({n['recall']:.0%}; {early}){lead}"
    else:
        yield "no episode has a violation: there was nothing to foresee"
    quiet = n["false_alarm_episode_rate"]
    yield (
        f"{n['false_alarms']} false of {n['alarms']} alarms, {n['false_alarms_per_1000_steps']:.1f} in 1,000 steps"
        + ("" if quiet is None else f"; an alarm in {quiet:.0%} of the episodes that needed none")
    )
    yield f"help in {n['assistant_rate']:.1%} of {n['steps']} steps"
    if n["helped_on_record"]:
        text = (
            f"{n['helped_on_record']} steps were helped when they were recorded: what help prevented is not on record"
        )
        yield text + (", and their risk may be that of the helper's action" if guessed else "")
