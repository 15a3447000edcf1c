"""Films a failure that did not happen: the same episode alone, and with somebody watching."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gymnasium as gym

from handrail.core.contracts import Policy
from handrail.core.values import Array, Step
from handrail.run.film import Film
from handrail.run.loop import run_episode
from handrail.run.record import Told, record
from handrail.run.supervised import Supervised
from handrail.run.supervisor import Supervisor
from handrail.store import DatasetWriter
from handrail.store.safety_metrics import failed

Begin = Callable[[int], Policy]
"""The policy for the episode of an env seed: called twice with one seed, it must draw the same."""


class Pair:
    """One policy in one environment, alone and watched.

    Args:
        env: renders, and tells of itself what a record needs.
        begin: the policy of an episode, with draws of its own.
        supervisor: who watches and helps.
    """

    def __init__(self, env: gym.Env[Any, Array], begin: Begin, supervisor: Supervisor) -> None:
        self.film, self.begin = Film(env), begin
        self.alone, self.watched = Supervised(self.film), Supervised(self.film, supervisor)

    def find(self, env_seeds: Iterable[int]) -> int | None:
        """The first env seed on which the policy fails alone, and neither fails nor is late when it is watched.

        Where there is none, the first on which it does not fail when it is watched.
        """
        late: int | None = None
        for seed in env_seeds:
            if failed(self._run(self.alone, seed)) and not failed(watched := self._run(self.watched, seed)):
                if watched[-1].success:
                    return seed
                late = seed if late is None else late
        return late

    def record(self, env_seed: int, task: Told, folder: Path) -> None:
        """Film both episodes into a new dataset at `folder`: the first alone, the second watched.

        Raises:
            RenderError: no usable OpenGL library.
            StoreError: it cannot be written.
        """
        shutil.rmtree(folder, ignore_errors=True)
        self.film.rolling = True
        with DatasetWriter(folder, round(self.alone.rate_hz), images="video") as writer:
            for env in (self.alone, self.watched):
                record(writer, self._run(env, env_seed), task, env_seed=env_seed)
        self.film.rolling = False

    def _run(self, env: Supervised, seed: int) -> list[Step]:
        return run_episode(env, self.begin(seed), seed=seed)
