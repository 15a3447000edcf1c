"""Cameras of the episode in progress, encoded in a thread of their own so that recording never delays a tick."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from handrail.core.errors import HandrailError, SchemaError
from handrail.core.values import Array, Observation

from .atomic import discard, temporary_name, write_error
from .schema import OBSERVATION, Schema
from .stats import ImageStats, Stats
from .video import VideoEncoder, choose_encoder, encode_png

QUEUED_FRAMES = 64  # memory bound: a slower encoder then holds the loop back instead of dropping evidence


class CameraRecorder:
    """Takes the images of one episode, in order.

    Args:
        schema: says which cameras there are and how they are stored.
        targets: camera key -> final path of its MP4, for cameras in video mode.
    """

    def __init__(self, schema: Schema, targets: dict[str, Path]) -> None:
        self.schema, self.targets = schema, targets
        self.pngs: dict[str, list[bytes]] = {key: [] for key in schema.cameras if key not in schema.videos}
        self._stats = {key: ImageStats() for key in schema.cameras}
        self._videos: dict[str, VideoEncoder] = {}
        self._error: Exception | None = None
        self._failed = ""
        self._queue: queue.Queue[tuple[str, Array] | None] = queue.Queue(QUEUED_FRAMES)
        self._thread = threading.Thread(target=self._work, name="handrail-cameras", daemon=True)
        self._thread.start()

    def add(self, observation: Observation) -> None:
        """Queue one image of every camera.

        Raises:
            SchemaError: an image is missing or has another shape.
        """
        images = {key: self._checked(key, observation) for key in self.schema.cameras}
        for key, image in images.items():
            self._queue.put((key, image))

    def _checked(self, key: str, observation: Observation) -> Array:
        short = key.removeprefix(OBSERVATION)
        expected = tuple(self.schema.features[key]["shape"])
        image = observation.get(short)
        if not isinstance(image, np.ndarray) or image.shape != expected or image.dtype != np.uint8:
            found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else "absent"
            raise SchemaError(f"{short} is {found}; this dataset holds uint8 {expected}: keep the camera's size")
        return image.copy()  # the environment may draw the next frame into the same memory

    def finish(self) -> Stats:
        """Wait for the encoder, close the temporaries, and return the statistics.

        Raises:
            WriteError: the file system refused.
        """
        self._stop()
        for key, video in self._videos.items():
            if self._error is None:
                self._try(key, video.close)
        if self._error is not None:
            error, key = self._error, self._failed
            self.abandon()
            raise error if isinstance(error, HandrailError) else write_error(self.targets.get(key, Path(key)), error)
        return {key: stats.stats() for key, stats in self._stats.items()}

    def abandon(self) -> None:
        """Stop, and remove the temporaries."""
        self._stop()
        for video in self._videos.values():
            video.abandon()
            discard(video.path)

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            key, image = item
            if self._error is None:
                self._try(key, partial(self._encode, key, image))

    def _try(self, key: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # the thread must keep draining; `finish` raises it where the caller can see it
            self._error, self._failed = error, key

    def _encode(self, key: str, image: Array) -> None:
        self._stats[key].add(image)
        if key in self.pngs:
            self.pngs[key].append(encode_png(image))
            return
        if key not in self._videos:
            height, width = image.shape[:2]
            prefer = self.schema.features[key].get("info", {}).get("video.codec")
            encoder = choose_encoder(height, width, self.schema.fps, prefer)
            self._videos[key] = VideoEncoder(temporary_name(self.targets[key]), encoder, height, width, self.schema.fps)
        self._videos[key].add(image)
