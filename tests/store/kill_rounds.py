"""Run by test_crash.py in a process of its own: record, be killed at a random moment, again and again.

Usage: kill_rounds.py ROOT ROUNDS IMAGES. Prints a JSON line a round: episodes and leftovers found, episodes committed.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.values import Authority, Step, TakeoverCause
from handrail.store import DatasetWriter, EpisodeMeta
from handrail.store.check import leftovers
from handrail.store.index import load_index

LENGTH = 4


def step(episode: int, i: int, images: bool) -> Step:
    seen = {"state": np.array([episode, i], np.float32)}
    if images:
        seen["images.front"] = np.full((16, 16, 3), (10 * episode + i) % 256, np.uint8)
    nobody = (None, None, Authority.POLICY, TakeoverCause.NONE)
    action, last = np.zeros(2, np.float32), i == LENGTH - 1
    return Step(seen, seen, action, action, *nobody, 0.0, 0.0, 0.0, 0.0, 0.0, last, False, last, i / 10, i / 10)


def record(root: str, images: str, pipe: int) -> None:
    """Record for ever; say every committed episode on `pipe`."""
    left = len(leftovers(Path(root), load_index(Path(root))))
    writer = DatasetWriter(root, 10, images=images)
    os.write(pipe, f"opened {writer.num_episodes} {left}\n".encode())
    while True:
        for i in range(LENGTH):
            writer.add(step(writer.num_episodes, i, images != "none"))
        index = writer.commit(EpisodeMeta("Kill", success=True))
        os.write(pipe, f"committed {index}\n".encode())


def one_round(root: str, images: str, wait_s: float, least: int = 0) -> dict[str, Any]:
    """Fork a recorder, kill it `wait_s` after it opened the dataset, and return what it said until then.

    Args:
        least: commits to wait for, however long they take.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        record(root, images, writer)
    os.close(writer)
    said = b""
    while b"\n" not in said:
        said += os.read(reader, 4096)
    opened_s = time.monotonic()
    while said.count(b"\n") < 1 + least:
        said += os.read(reader, 4096)
    took_s = time.monotonic() - opened_s
    while (left := opened_s + wait_s - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            said += os.read(reader, 4096)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reader, 4096):
        said += more
    os.close(reader)
    words = [line.split() for line in said.decode().splitlines()]
    return {
        "opened": int(words[0][1]),
        "leftovers": int(words[0][2]),
        "committed": [int(number) for _, number in words[1:]],
        "took_s": took_s,
    }


def main(root: str, rounds: int, images: str) -> None:
    moments = random.Random(0)
    if images != "none":
        import av  # noqa: F401 - once, before the forks
    longest_s = 0.0
    for number in range(rounds):
        said = one_round(root, images, moments.uniform(0.0, longest_s), least=2 if number == 0 else 0)
        longest_s = longest_s or 2.0 * said["took_s"]  # about four commits, on this machine as it is now
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
