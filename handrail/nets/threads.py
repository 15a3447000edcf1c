"""How many cores the arithmetic of one process takes."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_limits


def one_thread() -> None:
    """Keep torch, and the BLAS under NumPy, to one thread for the rest of the process.

    Runs go side by side, one core each. A BLAS that shares out a product of eight rows waits for its other thread,
    which on a busy machine has to wait for a core: 16 ms where one thread takes 0.05 ms.
    """
    torch.set_num_threads(1)
    threadpool_limits(1, "blas")
