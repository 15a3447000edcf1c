"""Where things are in a dataset folder: LeRobotDataset v3, and Handrail's own files under `extras/`.

Source of the layout: LeRobot 0.4.4, `lerobot/datasets/utils.py` (path templates, default sizes).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

VERSION = "v3.0"
CHUNK_SIZE = 1000  # files in one chunk folder
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
INDEX = "extras/index.jsonl"
LOCK = "extras/writer.lock"
FINAL = "extras/final"
STREAMS = "extras/streams"
QUARANTINE = "extras/quarantine"


@dataclass(frozen=True, slots=True, order=True)
class FilePosition:
    """Which file of a kind: `chunk-<chunk>/file-<file>`."""

    chunk: int
    file: int

    @classmethod
    def of_number(cls, number: int) -> FilePosition:
        """The position of the `number`-th file when every chunk is full."""
        return cls(*divmod(number, CHUNK_SIZE))

    @property
    def number(self) -> int:
        return self.chunk * CHUNK_SIZE + self.file


def data_file(root: Path, at: FilePosition) -> Path:
    return root / DATA_PATH.format(chunk_index=at.chunk, file_index=at.file)


def video_file(root: Path, key: str, at: FilePosition) -> Path:
    return root / VIDEO_PATH.format(video_key=key, chunk_index=at.chunk, file_index=at.file)


def episodes_file(root: Path, at: FilePosition) -> Path:
    return root / EPISODES_PATH.format(chunk_index=at.chunk, file_index=at.file)


def final_file(root: Path, episode: int) -> Path:
    """The observation after the last step of `episode`."""
    return root / FINAL / f"episode-{episode:06d}.npz"


def stream_file(root: Path, name: str, episode: int) -> Path:
    """A stream that is faster than the policy rate, of one episode."""
    return root / STREAMS / name / f"episode-{episode:06d}.npz"
