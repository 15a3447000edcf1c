"""Named arrays in a file: the observation after the last step, and fast streams."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from handrail.core.errors import CorruptError, require_finite
from handrail.core.values import Array

from .schema import IMAGE_KEY
from .video import decode_png, encode_png

PNG = "png:"
"""Prefix of the camera keys in `extras/final/`: their arrays are the bytes of a PNG."""


def final_arrays(observation: Mapping[str, Array], images: str) -> dict[str, Array]:
    """The observation after the last step as arrays to store; images as PNG.

    Raises:
        NonFiniteError: NaN or infinity in it.
    """
    arrays: dict[str, Array] = {}
    for key, value in observation.items():
        if not key.startswith(IMAGE_KEY):
            arrays[key] = require_finite(f"final observation {key}", value).astype(np.float32)
        elif images != "none":
            arrays[PNG + key] = np.frombuffer(encode_png(np.asarray(value)), np.uint8)
    return arrays


def arrays_bytes(arrays: Mapping[str, Array]) -> memoryview:
    """Serialise named arrays as NumPy's own zip, which holds no pickles here."""
    sink = io.BytesIO()
    np.savez(sink, **arrays)  # type: ignore[arg-type]
    return sink.getbuffer()


def read_arrays(path: Path) -> dict[str, Array]:
    """Read what `arrays_bytes` wrote.

    Raises:
        CorruptError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptError(f"{path} cannot be read ({error}): run `handrail data check`") from error


def final_observation(path: Path) -> dict[str, Array]:
    """Read the observation after the last step, images decoded.

    Raises:
        CorruptError: the file is missing or damaged.
    """
    return {
        key.removeprefix(PNG): decode_png(value.tobytes()) if key.startswith(PNG) else value
        for key, value in read_arrays(path).items()
    }
