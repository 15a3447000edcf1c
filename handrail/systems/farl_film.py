"""A failure that FARL prevents, filmed: the policy that the online phase begins with, alone and watched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handrail.assist import PolicyRecovery
from handrail.assist.imagination import mean_of
from handrail.assist.world_model import WorldModelMonitor
from handrail.core.contracts import Trigger
from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS
from handrail.core.values import Observation, Proposal
from handrail.learn.actor_critic import GaussianPolicy
from handrail.run import Supervisor
from handrail.run.prevented import Pair
from handrail.systems.farl_offline import Artefacts
from handrail.tasks import make
from handrail.tasks.base import PoseNoise
from handrail.tasks.failurebench.sawyer import SawyerTask


@dataclass(frozen=True)
class _Exploring:
    """The policy as it acts in training, with an episode's own draws."""

    policy: GaussianPolicy

    def reset(self) -> None:
        """An episode's draws come from its seed."""

    def act(self, observation: Observation) -> Proposal:
        return self.policy.explore(observation)


def film_prevented(task: str, built: Artefacts, trigger: Trigger, folder: Path) -> int | None:
    """Film a development seed on which that policy fails alone, and does not when it is watched, see `Pair.find`.

    Returns:
        The env seed; None where there is none, and no dataset then.
    """
    env: SawyerTask = make(task, noise=PoseNoise())
    found, actor, encoder = built.calibration, built.policy.actor, built.policy.encoder
    monitor = WorldModelMonitor(built.world_model, mean_of(actor), found.horizon, found.gamma_risk)
    supervisor = Supervisor(monitor, trigger, PolicyRecovery(built.recovery), assess_executed=False)

    def begin(env_seed: int) -> _Exploring:
        return _Exploring(GaussianPolicy(encoder, actor, np.random.default_rng([env_seed, 0xF11])))

    pair = Pair(env, begin, supervisor)
    seed = pair.find(DEVELOPMENT_ENV_SEEDS)
    if seed is not None:
        pair.record(seed, env, folder)
    return seed
