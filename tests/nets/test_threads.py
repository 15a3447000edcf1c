"""Runs share a machine: one core each."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROGRAM = """
import json, torch
from threadpoolctl import threadpool_info
import handrail.nets
torch.set_num_threads(2)
before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
handrail.nets.one_thread()
after = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
print(json.dumps([before, after, torch.get_num_threads()]))
"""


def test_one_thread_holds_for_torch_and_for_the_blas_under_numpy() -> None:
    asked = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    found = subprocess.run([sys.executable, "-c", PROGRAM], env=asked, capture_output=True, text=True, check=True)
    before, after, torch_threads = json.loads(found.stdout)
    assert after and set(after) == {1} and torch_threads == 1
    if (os.cpu_count() or 1) > 1:
        assert set(before) == {2}
