"""Plots, video, the episode page, and the run report: one HTML file that needs nothing else."""

from .episode_page import write_episode_page
from .film import write_film
from .pairs import write_pairs
from .run_report import write_report
from .teleop_report import write_teleop_report
from .video import annotate, mp4_bytes, strip, write_video

__all__ = [
    "annotate",
    "mp4_bytes",
    "strip",
    "write_episode_page",
    "write_film",
    "write_pairs",
    "write_report",
    "write_teleop_report",
    "write_video",
]
