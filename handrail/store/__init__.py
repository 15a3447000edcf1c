"""Episodes on disk (LeRobot v3 layout, durable), the replay ring, checkpoints, and metrics of what was recorded."""

from .check import Problem, check, repair
from .checkpoint import load, save
from .episode_meta import EpisodeMeta
from .reader import Dataset, Episode, Window
from .ring import Batch, ReplayRing
from .samplers import mix, sample_mixed
from .segments import Segment, runs, segments
from .transform import compact, export
from .writer import DatasetWriter

__all__ = [
    "Batch",
    "Dataset",
    "DatasetWriter",
    "Episode",
    "EpisodeMeta",
    "Problem",
    "ReplayRing",
    "Segment",
    "Window",
    "check",
    "compact",
    "export",
    "load",
    "mix",
    "repair",
    "runs",
    "sample_mixed",
    "save",
    "segments",
]
