"""HIL-SERL transition files: pickled lists of {observations, actions, next_observations, rewards, masks, dones, infos}.

This is the one place in Handrail that touches pickle, because that is the only form in which these files exist.
Unpickling runs whatever the file names, so the unpickler below looks names up in a short table of our own: NumPy arrays
and plain containers are in it, everything else is refused by name before anything is imported or called.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.errors import CorruptError, SchemaError
from handrail.core.values import Array, Step

from ..episode_meta import EpisodeMeta
from .base import Options, Recording, authority_of, files_of, foreign_step, vector

DEFAULT_FPS = 10  # HIL-SERL's environments step at 10 Hz
NEEDED = ("observations", "next_observations", "actions", "rewards", "dones")


def _latin1(text: str, encoding: str) -> bytes:
    """Old pickles of bytes call `_codecs.encode`; only the encoding that they use, not one that decompresses."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding}")
    return text.encode("latin1")


def _admitted() -> dict[tuple[str, str], Callable[..., Any]]:
    """Every name that a file may use, and what it gets for it; NumPy moved its module `core` to `_core` in 2.0."""
    from numpy._core import multiarray, numeric

    names: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1,
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("builtins", "set"): set,
        ("builtins", "frozenset"): frozenset,
        ("builtins", "bytearray"): bytearray,
    }
    for module in ("numpy.core", "numpy._core"):
        names[module + ".multiarray", "_reconstruct"] = multiarray._reconstruct
        names[module + ".multiarray", "scalar"] = multiarray.scalar
        names[module + ".numeric", "_frombuffer"] = getattr(numeric, "_frombuffer")  # noqa: B009 - not in NumPy's stubs
    return names


class ArrayUnpickler(pickle.Unpickler):
    """Admits NumPy arrays and plain containers, and refuses anything else by name."""

    _names = _admitted()

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        admitted = self._names.get((module_name, global_name))
        if admitted is None:
            raise SchemaError(
                f"the file wants '{module_name}.{global_name}', and only NumPy arrays and plain containers "
                "are admitted: convert it to those where it was made"
            )
        return admitted


def load(path: Path) -> Any:
    """Unpickle `path` without running anything it names.

    Raises:
        SchemaError: it names something other than NumPy arrays and plain containers.
        CorruptError: it is damaged.
    """
    try:
        with open(path, "rb") as file:
            return ArrayUnpickler(file).load()
    except SchemaError as error:
        raise SchemaError(f"{path} refused: {error}") from None
    except Exception as error:  # a damaged pickle may raise anything at all
        raise CorruptError(
            f"{path} is not a readable transition file ({type(error).__name__}: {error}): check the file"
        ) from error


def read(source: Path, options: Options) -> Recording:
    """Read a transition file, or a folder of them."""
    fps = options.fps or DEFAULT_FPS
    return Recording(fps, _episodes(files_of(source, ".pkl", ".pickle"), fps, options))


def _episodes(paths: list[Path], fps: int, options: Options) -> Iterator[tuple[list[Step], EpisodeMeta]]:
    for path in paths:
        for transitions in _split(path, load(path)):
            steps = [_step(path, i, item, transitions, fps, options) for i, item in enumerate(transitions)]
            yield steps, EpisodeMeta(options.task or path.stem, success=steps[-1].success)


def _split(path: Path, content: Any) -> Iterator[list[Mapping[str, Any]]]:
    """Cut a list of transitions into episodes, where one is done."""
    if not isinstance(content, (list, tuple)) or not content:
        raise SchemaError(f"{path} holds {type(content).__name__}, not a list of transitions")
    episode: list[Mapping[str, Any]] = []
    for i, item in enumerate(content):
        missing = [key for key in NEEDED if not isinstance(item, Mapping) or key not in item]
        if missing:
            raise SchemaError(f"{path}: transition {i} lacks '{missing[0]}': it is not a HIL-SERL transition")
        episode.append(item)
        if bool(np.any(item["dones"])):
            yield episode
            episode = []
    if episode:
        yield episode


def _step(
    path: Path, i: int, item: Mapping[str, Any], episode: list[Mapping[str, Any]], fps: int, options: Options
) -> Step:
    where = f"{path}: transition {i}"
    info = item.get("infos")
    info = info if isinstance(info, Mapping) else {}
    last = i == len(episode) - 1
    reward = float(vector(f"{where}.rewards", item["rewards"], 1)[0])
    mask = float(vector(f"{where}.masks", item.get("masks", not last), 1)[0])
    terminated = last and mask == 0.0
    return foreign_step(
        _observation(where, item["observations"], options),
        _observation(where, item["next_observations"], options),
        vector(f"{where}.actions", item["actions"]),
        index=i,
        fps=fps,
        driver=authority_of(info.get("intervene_action") is not None, options.demonstrations),
        reward=reward,
        terminated=terminated,
        truncated=last and not terminated,
        success=last and bool(info.get("succeed", info.get("success", reward > 0))),
    )


def _observation(where: str, values: Any, options: Options) -> dict[str, Array]:
    """HIL-SERL stacks observations in time; the newest of the stack is kept."""
    named = values if isinstance(values, Mapping) else {"state": values}
    observation: dict[str, Array] = {}
    for key, value in named.items():
        array = np.asarray(value)
        if array.dtype == np.uint8 and array.ndim >= 3:
            if options.images != "none":
                observation[f"images.{key}"] = array.reshape(-1, *array.shape[-3:])[-1]
        else:
            newest = array[-1] if array.ndim > 1 else array
            observation[str(key)] = vector(f"{where}.observations.{key}", newest)
    return observation
