"""The step record: which columns a dataset has, their types and shapes, and how they look to LeRobot and to Arrow.

Rows come at the policy rate; scalars have shape (1,). No key but observations and the executed action may begin with
`observation` or `action`: LeRobot would take it for a policy input or output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from handrail.core.errors import InvalidValueError, SchemaError
from handrail.core.values import Array, Observation, Step

Feature = dict[str, Any]
Features = dict[str, Feature]

IMAGE_MODES = ("video", "image", "none")
IMAGE_KEY = "images."
OBSERVATION = "observation."
ACTIONS = ("action", "policy_action", "operator_action", "assistant_action")
REALS = ("assist_level", "risk", "value", "next.reward", "next.cost")
COUNTS = ("authority", "takeover_cause")
FLAGS = (
    "has_operator_action",
    "has_assistant_action",
    "intervention",
    "next.done",
    "next.terminated",
    "next.truncated",
    "next.success",
    "clipped",
)
STAMP = "stamp_s"  # float64: microseconds must survive a long episode
SCALARS: dict[str, str] = {
    "has_operator_action": "bool",
    "has_assistant_action": "bool",
    "authority": "int64",
    "intervention": "bool",
    "takeover_cause": "int64",
    "assist_level": "float32",
    "risk": "float32",
    "value": "float32",
    "next.reward": "float32",
    "next.cost": "float32",
    "next.done": "bool",
    "next.terminated": "bool",
    "next.truncated": "bool",
    "next.success": "bool",
    "clipped": "bool",
    STAMP: "float64",
}
DEFAULTS: dict[str, str] = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""What LeRobot adds to every dataset."""

ARROW = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def feature(dtype: str, shape: Sequence[int] = (1,), names: Sequence[str] | None = None) -> Feature:
    """One entry of `info.json`'s features."""
    return {"dtype": dtype, "shape": list(shape), "names": list(names) if names else None}


def is_camera(entry: Feature) -> bool:
    return entry["dtype"] in ("video", "image")


def features_of(step: Step, images: str = "video") -> Features:
    """Build the features of a dataset from its first step.

    Args:
        images: how cameras are stored: "video" (MP4), "image" (PNG in Parquet) or "none" (left out).

    Raises:
        SchemaError: an observation is neither a vector (S,) nor an image (H, W, 3) uint8.
    """
    if images not in IMAGE_MODES:
        raise InvalidValueError(
            f"images='{images}' is not a way to store cameras: choose one of {', '.join(IMAGE_MODES)}"
        )
    features = _vector_features(step)
    features |= {key: feature(dtype) for key, dtype in SCALARS.items()}
    if images != "none":
        features |= _camera_features(step.observation, images)
    return features | {key: feature(dtype) for key, dtype in DEFAULTS.items()}


def _vector_features(step: Step) -> Features:
    vectors = {
        OBSERVATION + key: np.atleast_1d(value)
        for key, value in step.observation.items()
        if not isinstance(value, str) and not key.startswith(IMAGE_KEY)
    }
    actions = (step.action, step.policy_action, step.operator_action, step.assistant_action)
    for key, action in zip(ACTIONS, actions, strict=True):
        vectors[key] = np.atleast_1d(step.action if action is None else action)
    for key, value in vectors.items():
        if value.ndim != 1 or value.size == 0:
            raise SchemaError(f"{key} has shape {value.shape}; a vector (S,) is needed: flatten it")
    return {key: feature("float32", value.shape) for key, value in vectors.items()}


def _camera_features(observation: Observation, mode: str) -> Features:
    cameras: Features = {}
    for key, value in observation.items():
        if not key.startswith(IMAGE_KEY):
            continue
        image = np.asarray(value)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise SchemaError(f"{key} is {image.dtype} {image.shape}; an image must be uint8 (H, W, 3): convert it")
        cameras[OBSERVATION + key] = feature(mode, image.shape, ("height", "width", "channels"))
    return cameras


@dataclass(frozen=True)
class Schema:
    """The features of a dataset, and what follows from them.

    Attributes:
        features: as in `info.json`, in the order of the columns.
        fps: policy rate [Hz].
        robot_type: free text, as in LeRobot.
    """

    features: Features
    fps: int
    robot_type: str = "panda"

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        """Full keys of all cameras, e.g. "observation.images.front"."""
        return tuple(key for key, entry in self.features.items() if is_camera(entry))

    @cached_property
    def videos(self) -> tuple[str, ...]:
        return tuple(key for key in self.cameras if self.features[key]["dtype"] == "video")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Keys that are columns of the data files: all but the videos."""
        return tuple(key for key in self.features if key not in self.videos)

    @cached_property
    def observation_vectors(self) -> tuple[str, ...]:
        """Full keys of the observations that are vectors."""
        return tuple(key for key in self.columns if key.startswith(OBSERVATION) and key not in self.cameras)

    def width(self, key: str) -> int:
        """Entries of a vector column in one row."""
        return int(np.prod(self.features[key]["shape"]))

    @cached_property
    def arrow(self) -> pa.Schema:
        """Schema of the data files, with the metadata that the `datasets` library and `repair` read."""
        fields = [pa.field(key, arrow_type(self.features[key])) for key in self.columns]
        described = {key: _hugging_face(self.features[key]) for key in self.columns}
        own = json.dumps({"features": self.features, "fps": self.fps, "robot_type": self.robot_type})
        fingerprint = hashlib.sha256(own.encode()).hexdigest()[:16]
        known_to_datasets = json.dumps({"info": {"features": described}, "fingerprint": fingerprint})
        return pa.schema(fields, metadata={"huggingface": known_to_datasets, "handrail": own})

    def table(self, columns: Mapping[str, Any]) -> pa.Table:
        """Arrange columns (T, ...) as a data table; image columns are lists of PNG bytes."""
        arrays = [_arrow_array(columns[key], self.features[key]) for key in self.columns]
        return pa.Table.from_arrays(arrays, schema=self.arrow)

    def require_same(self, other: Schema, where: str) -> None:
        """Raise `SchemaError` naming the first difference between this dataset (at `where`) and what is to be added."""
        if self.fps != other.fps:
            raise SchemaError(f"{where} was recorded at {self.fps} Hz, not {other.fps} Hz: choose another folder")
        for key in [*self.features, *other.features]:
            mine, yours = (_essence(schema.features.get(key)) for schema in (self, other))
            if mine != yours:
                raise SchemaError(
                    f"{where} has another schema: {key} is {mine} there and {yours} in the new step: "
                    "choose another folder"
                )


def arrow_type(entry: Feature) -> pa.DataType:
    """Arrow type of one feature, as LeRobot writes it.

    Raises:
        SchemaError: a type that is not part of the step record's vocabulary.
    """
    if entry["dtype"] == "image":
        return IMAGE_TYPE
    if entry["dtype"] not in ARROW or len(entry["shape"]) != 1:
        raise SchemaError(
            f"a feature of type {entry['dtype']} {entry['shape']} is not supported: use vectors of {list(ARROW)}"
        )
    scalar = ARROW[entry["dtype"]]
    return scalar if list(entry["shape"]) == [1] else pa.list_(scalar, entry["shape"][0])


def _arrow_array(values: Any, entry: Feature) -> pa.Array:
    if entry["dtype"] == "image":
        rows = [{"bytes": png, "path": f"frame-{i:06d}.png"} for i, png in enumerate(values)]
        return pa.array(rows, IMAGE_TYPE)
    scalar = ARROW[entry["dtype"]]
    flat = pa.array(np.ascontiguousarray(values, dtype=entry["dtype"]).reshape(-1), scalar)
    width = entry["shape"][0]
    return flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)


def _hugging_face(entry: Feature) -> dict[str, Any]:
    """The `datasets` library's own description of a column."""
    if entry["dtype"] == "image":
        return {"_type": "Image"}
    value = {"dtype": entry["dtype"], "_type": "Value"}
    width = entry["shape"][0]
    return value if width == 1 else {"feature": value, "length": width, "_type": "List"}


def _essence(entry: Feature | None) -> str:
    return "absent" if entry is None else f"{entry['dtype']} {tuple(entry['shape'])}"


def column_array(column: pa.ChunkedArray | pa.Array, entry: Feature) -> Array:
    """Turn a column of a data file into an array: (T,) for scalars, (T, W) for vectors."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):  # combine_chunks of zero chunks
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    if pa.types.is_fixed_size_list(whole.type) or pa.types.is_list(whole.type):
        return whole.flatten().to_numpy(zero_copy_only=False).reshape(len(whole), -1)
    return whole.to_numpy(zero_copy_only=False)
