"""Episode JSON: one file an episode, images beside it.

{"task", "instruction", "success", "steps": [{"t", "wrist_rgb": path, "third_rgb": path, "ee_pose": 7 numbers,
 "action": 7 numbers, "human_intervene": bool}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.errors import CorruptError, SchemaError
from handrail.core.values import Array, Step

from ..episode_meta import EpisodeMeta
from ..video import decode_png
from .base import Options, Recording, authority_of, files_of, foreign_step, vector

CAMERAS = {"wrist_rgb": "images.wrist", "third_rgb": "images.third"}
WIDTH = 7  # numbers in a pose (position, quaternion) and in an action
DEFAULT_FPS = 10


def read(source: Path, options: Options) -> Recording:
    """Read an episode JSON, or a folder of them.

    Raises:
        SchemaError: a key is missing or of another kind.
        CorruptError: not JSON, or an image is missing or damaged.
    """
    paths = files_of(source, ".json")
    fps = options.fps or _rate(_load(paths[0])["steps"])
    return Recording(fps, _episodes(paths, fps, options))


def _episodes(paths: list[Path], fps: int, options: Options) -> Iterator[tuple[list[Step], EpisodeMeta]]:
    for path in paths:
        content = _load(path)
        task = str(_get(path, content, "task") or options.task)
        success = bool(_get(path, content, "success"))
        meta = EpisodeMeta(task, str(content.get("instruction") or task), success=success)
        yield _steps(path, content["steps"], fps, success, options), meta


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptError(f"{path} is not readable JSON ({error}): check the file") from error
    if not isinstance(content, dict) or not isinstance(content.get("steps"), list) or not content["steps"]:
        raise SchemaError(f"{path} holds no list of steps under 'steps': it is not an episode JSON")
    return content


def _rate(steps: list[dict[str, Any]]) -> int:
    """Rate from the time stamps [s]; whole numbers that count up by one are step numbers, not seconds."""
    stamps: list[Any] = [step.get("t") for step in steps if isinstance(step, dict)]
    if len(stamps) < 2 or not all(isinstance(stamp, (int, float)) for stamp in stamps):
        return DEFAULT_FPS
    period = float(np.median(np.diff(stamps)))
    counted = all(isinstance(stamp, int) for stamp in stamps)
    return DEFAULT_FPS if counted or period <= 0 else max(1, round(1 / period))


def _steps(path: Path, rows: list[dict[str, Any]], fps: int, success: bool, options: Options) -> list[Step]:
    observations = [_observation(path, i, row, options) for i, row in enumerate(rows)]
    following = [*observations[1:], observations[-1]]
    last = len(rows) - 1
    steps: list[Step] = []
    for i, row in enumerate(rows):
        operated = bool(_get(path, row, "human_intervene", i))
        steps.append(
            foreign_step(
                observations[i],
                following[i],
                vector(f"{path}: steps[{i}].action", _get(path, row, "action", i), WIDTH),
                index=i,
                fps=fps,
                driver=authority_of(operated, options.demonstrations),
                reward=float(success and i == last),
                terminated=success and i == last,
                truncated=not success and i == last,
                success=success and i == last,
                stamp_s=_stamp(row, rows[0], i, fps),
            )
        )
    return steps


def _stamp(row: dict[str, Any], first: dict[str, Any], i: int, fps: int) -> float:
    """Measured time since the first step [s], where "t" is a time."""
    stamp, start = row.get("t"), first.get("t")
    if isinstance(stamp, float) and isinstance(start, (int, float)):
        return stamp - start
    return i / fps


def _observation(path: Path, i: int, row: dict[str, Any], options: Options) -> dict[str, Array]:
    observation = {"state": vector(f"{path}: steps[{i}].ee_pose", _get(path, row, "ee_pose", i), WIDTH)}
    for key, camera in CAMERAS.items():
        if row.get(key) and options.images != "none":
            observation[camera] = _image(path, i, key, row[key])
    return observation


def _image(path: Path, i: int, key: str, name: Any) -> Array:
    file = path.parent / str(name)
    try:
        return decode_png(file.read_bytes())
    except (OSError, CorruptError) as error:
        raise CorruptError(
            f"{path}: steps[{i}].{key} = {name} cannot be read: paths count from the JSON's folder"
        ) from error


def _get(path: Path, values: Any, key: str, step: int | None = None) -> Any:
    where = f"{path}: steps[{step}]" if step is not None else str(path)
    if not isinstance(values, dict) or key not in values:
        raise SchemaError(f"{where} lacks '{key}': it is not an episode JSON as docs/data.md has it")
    return values[key]
