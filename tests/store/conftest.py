"""Episodes to record, in every image mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from handrail.core.values import Array, Authority, Step, TakeoverCause
from handrail.store import DatasetWriter, EpisodeMeta

MakeSteps = Callable[..., list[Step]]
Record = Callable[..., Path]


def observation(value: float, image: int | None) -> dict[str, Array]:
    seen: dict[str, Array] = {
        "state": np.array([value, -value, 0.5], np.float32),
        "environment_state": np.array([10 * value], np.float32),
    }
    if image:
        picture = np.zeros((image, image, 3), np.uint8)
        picture[: image // 2, :, 0] = 200
        picture[:, :, 1] = int(10 * value) % 200
        seen["images.front"] = picture
    return seen


def recorded(i: int, length: int, first: float, image: int | None) -> Step:
    """Steps 2 and 3 are the operator's, step 5 is the assistant's; the last one succeeds."""
    operated, assisted, last = i in (2, 3), i == 5, i == length - 1
    action = np.array([0.1 * i, -1.0], np.float32)
    return Step(
        observation=observation(first + i, image),
        next_observation=observation(first + i + 1, image),
        action=action,
        policy_action=np.array([0.5, 1.0], np.float32),
        operator_action=action if operated else None,
        assistant_action=action if assisted else None,
        authority=Authority.OPERATOR if operated else Authority.ASSISTANT if assisted else Authority.POLICY,
        takeover_cause=TakeoverCause.STUCK if operated else TakeoverCause.NONE,
        assist_level=1.0 if assisted else 0.0,
        risk=0.1 * i,
        value=1.0 - 0.1 * i,
        reward=float(last),
        cost=float(i == 4),
        terminated=last,
        truncated=False,
        success=last,
        timestamp=i / 10,
        stamp_s=i / 10 + 0.001,
        clipped=i == 1,
    )


@pytest.fixture
def make_steps() -> MakeSteps:
    """Build `length` steps whose state counts up from `first`."""

    def make(length: int = 8, first: float = 0.0, image: int | None = None) -> list[Step]:
        return [recorded(i, length, first, image) for i in range(length)]

    return make


@pytest.fixture
def record(tmp_path: Path, make_steps: MakeSteps) -> Record:
    """Record episodes of 8, 9, 10, ... steps into a folder, and return it."""

    def run(count: int = 3, name: str = "set", image: int | None = None, images: str = "video") -> Path:
        root = tmp_path / name
        with DatasetWriter(root, 10, images=images) as writer:
            for episode in range(count):
                for step in make_steps(8 + episode, 100.0 * episode, image):
                    writer.add(step)
                text = "insert the tube" if episode < 2 else "wipe the board"
                writer.commit(EpisodeMeta("TubeInsertion", text, episode, 7, 3, "ordinary", True, "", "120", "c0ffee"))
        return root

    return run


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Tiny datasets that stock LeRobot 0.4.4 wrote."""
    return Path(__file__).parents[1] / "fixtures"
