"""What every test needs before the first import of MuJoCo or torch."""

from __future__ import annotations

import os

os.environ.setdefault("MUJOCO_GL", "egl")  # read once, when mujoco is imported
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame without a screen
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """A test that raises the number of threads does not slow down, or change the sums of, the next one."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
