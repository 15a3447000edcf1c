"""LeRobot v3 datasets; a person's steps are told by `intervention` or by `complementary_info.is_intervention`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from handrail.core.values import Step

from ..episode_meta import EpisodeMeta
from ..reader import Dataset, Episode
from .base import Options, Recording, authority_of


def read(source: Path, options: Options) -> Recording:
    """Read a LeRobot v3 dataset, ours or stock.

    Raises:
        SchemaError: another layout version.
        CorruptError: an episode is damaged.
    """
    dataset = Dataset(source)
    return Recording(dataset.fps, _episodes(dataset, options), dataset.schema.robot_type)


def _episodes(dataset: Dataset, options: Options) -> Iterator[tuple[list[Step], EpisodeMeta]]:
    for episode in dataset:
        steps = episode.steps(images=options.images != "none")
        if options.demonstrations:
            steps = [_demonstrated(step) for step in steps]
        yield steps, _meta(episode, steps, options)


def _demonstrated(step: Step) -> Step:
    authority, cause = authority_of(True, True)
    return replace(step, authority=authority, takeover_cause=cause, operator_action=step.action)


def _meta(episode: Episode, steps: list[Step], options: Options) -> EpisodeMeta:
    """Metadata as stored, or, for a dataset without, what the steps say."""
    known = episode.meta
    if "success" in episode.stored:
        return known
    success = any(step.success for step in steps) or steps[-1].reward > 0
    return replace(known, task=options.task or known.task, success=success)
