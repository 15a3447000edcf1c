"""The offline phase of FARL (arXiv 2601.07821): what exists before the first online step.

1. Task policy: cloned from task demonstrations, then offline PPO as in Uni-O4. 2. Recovery policy: the same on escapes
from near-failure states. 3. World model with a constraint head, on task, failure and recovery data. Then, ours: the
safety critic of the model-free ablation on the same data, and the calibration of C_H on episodes of the task policy.

It is built once for each (task, run seed) and shared by all methods. Sizes and numbers of updates are ours.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from handrail.assist.calibration import Calibration, CalibrationConfig, Reliability, choose, curve, judge, onsets
from handrail.assist.imagination import mean_of
from handrail.assist.world_model import WorldModelMonitor
from handrail.core.config import from_mapping
from handrail.core.errors import CheckpointError
from handrail.core.seeds import EVALUATION_ENV_SEEDS, training_env_seed
from handrail.core.values import Array, Authority, Step
from handrail.learn.offline_ppo import OfflinePPO, OfflinePPOConfig
from handrail.learn.safety_q import SafetyQ, SafetyQConfig
from handrail.learn.world_model import WindowSampler, WorldModel, WorldModelConfig
from handrail.run import Supervised, run_episode
from handrail.run.lockstep import lockstep
from handrail.store import Dataset, checkpoint
from handrail.store.atomic import write_atomically
from handrail.store.ring import Batch
from handrail.store.trajectories import Trajectories, concatenate
from handrail.systems.farl_data import ACTIONS, EXPLORATION_STD, FEATURES, NoisyExpert, Tally, collect, episodes
from handrail.tasks import make
from handrail.tasks.base import PoseNoise

REWARD_MOST = 10.0  # Meta-World's reward of a step at the goal
CALIBRATION_EPISODES_FROM = 3_000_000  # episode index from which a run draws the resets of its calibration
LANES = 8
FEWEST_FAILURES = 10  # that a calibration needs; scripted ones that nobody has seen make up for missing ones
UNSEEN_SEED = 1_000_000  # added to the run seed for those


@dataclass(frozen=True)
class OfflineConfig:
    """Sizes of the offline phase (ours, but for the recovery demonstrations).

    Attributes:
        task_demonstrations: successful episodes of the noisy expert.
        failure_steps: steps of a bad driver's episodes; FARL uses 20,000 to 200,000.
        recovery_demonstrations: escapes; FARL uses about 120.
        calibration_episodes: of the task policy, unprotected; one half chooses thresholds, the other judges them.
        clone_updates, evaluate_updates, improve_updates: of the three phases of offline PPO. The third is off: see
            docs/farl.md.
        world_model_updates, safety_updates: of the watchers. More make the world model worse on the policy's own
            failures: docs/farl.md.
        reward_scale: rewards are learned times this, so that values are about 1 to 10.
        policy: of task and recovery policy. The online phase begins with a standard deviation of `min_std` at least.
    """

    task_demonstrations: int = 40
    failure_steps: int = 160_000
    recovery_demonstrations: int = 120
    calibration_episodes: int = 120
    clone_updates: int = 3_000
    evaluate_updates: int = 2_000
    improve_updates: int = 0
    world_model_updates: int = 4_000
    safety_updates: int = 3_000
    reward_scale: float = 0.01
    policy: OfflinePPOConfig = field(default_factory=partial(OfflinePPOConfig, min_std=EXPLORATION_STD))
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    safety: SafetyQConfig = field(default_factory=SafetyQConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)


@dataclass
class Artefacts:
    """What the offline phase leaves to the online phase.

    Attributes:
        data: task, failure and recovery data in order, rewards as learners see them.
        tallies: what it cost to collect, by kind; "calibration" is what the unprotected policy did.
        calibration: horizon, discount and threshold of C_H.
        held_out: what the same settings do on the other half of the calibration episodes.
        curve: predicted against realised C_H there: the calibration curve.
        expert_return: mean of what the scripted expert is `paid` on the evaluation seeds: 1 of the normalised return.
    """

    policy: OfflinePPO
    recovery: OfflinePPO
    world_model: WorldModel
    safety: SafetyQ
    data: Trajectories
    tallies: dict[str, Tally]
    calibration: Calibration
    held_out: Calibration
    curve: Reliability
    expert_return: float


def learnable(data: Trajectories, config: OfflineConfig) -> Trajectories:
    """Scaled rewards; a success is worth staying there for good, as the task would have paid (ours).

    Episodes end at success while every step at the goal pays the most: without this, dawdling would pay better.
    """
    discount = config.policy.discount
    staying = np.float32(REWARD_MOST * discount / (1.0 - discount))
    return replace(data, reward=np.float32(config.reward_scale) * (data.reward + staying * data.terminated))


def paid(steps: Sequence[Step], cap: int) -> float:
    """What an episode earned, and would have by staying at the goal until the `cap`, in units of the task's reward."""
    staying = REWARD_MOST * (cap - len(steps)) if steps[-1].success else 0.0
    return sum(step.reward for step in steps) + staying


def build(task: str, seed: int, config: OfflineConfig, folder: Path, say: Callable[[str], None]) -> Artefacts:
    """Run the offline phase, or what is left of it. One process at a time; another waits and then reads.

    Raises:
        CheckpointError: `folder` holds an offline phase with another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _Build(task, seed, config, folder, say).run()


class _Build:
    """One offline phase, step by step; every part is written to `folder` as it is finished, and read if it is there."""

    def __init__(self, task: str, seed: int, config: OfflineConfig, folder: Path, say: Callable[[str], None]) -> None:
        self.task, self.seed, self.config, self.folder, self.say = task, seed, config, folder, say
        self.rng = np.random.default_rng([seed, 0xFA51])

    def run(self) -> Artefacts:
        """Build, or load, everything."""
        config = self.config
        if self._kept("config.json", lambda: asdict(config)) != json.loads(json.dumps(asdict(config))):
            raise CheckpointError(
                f"{self.folder} was built with another configuration: give another --runs, or delete it"
            )
        tallies = {kind: self._data(kind) for kind in ("task", "failure", "recovery")}
        read = {kind: Trajectories.read(Dataset(self.folder / "data" / kind)) for kind in tallies}
        read = {kind: learnable(data, config) for kind, data in read.items()}
        escapes = read["recovery"].pieces(read["recovery"].authority == Authority.ASSISTANT)
        data = concatenate(list(read.values()))
        normaliser = data.batch()
        policy = self._policy("policy", read["task"], read["task"], normaliser)
        avoiding = replace(data, reward=-data.cost)
        recovery = self._policy("recovery", escapes, avoiding, normaliser)
        world_model = self._world_model(data, normaliser)
        safety = self._safety(data, normaliser, policy)
        found = self._calibrate(policy, world_model)
        tallies["calibration"] = found["made"]
        return Artefacts(
            policy, recovery, world_model, safety, data, tallies, found["calibration"], found["held_out"],
            found["curve"], self._expert_return(),
        )  # fmt: skip

    def _data(self, kind: str) -> Tally:
        self.say(f"collecting {kind} data")
        amounts = {
            "task": self.config.task_demonstrations,
            "failure": self.config.failure_steps,
            "recovery": self.config.recovery_demonstrations,
        }
        return collect(self.task, kind, amounts[kind], self.seed, self.folder / "data" / kind)

    def _policy(self, name: str, shown: Trajectories, valued: Trajectories, normaliser: Batch) -> OfflinePPO:
        """Clone `shown`, learn values from `valued`, improve on the states of `shown`."""
        config, learner = self.config, OfflinePPO(self.config.policy, FEATURES, ACTIONS, self.seed)
        learner.fit_normaliser(normaliser)
        phases = (
            (learner.clone, shown, config.clone_updates),
            (learner.evaluate, valued, config.evaluate_updates),
            (learner.improve, shown, config.improve_updates),
        )

        def train() -> None:
            for update, data, updates in phases:
                for batch in islice(self._batches(data, config.policy.batch_size), updates):
                    update(batch.batch())

        return self._made(name, learner, train)

    def _world_model(self, data: Trajectories, normaliser: Batch) -> WorldModel:
        config = self.config.world_model
        model = WorldModel(config, FEATURES, ACTIONS, self.seed)
        model.fit_normaliser(normaliser)
        model.fit_scales(data)

        def train() -> None:
            sampler = WindowSampler(data, config.horizon, config.positive_share)
            for _ in range(self.config.world_model_updates):
                model.update(*sampler.sample(config.batch_size, self.rng))

        return self._made("world_model", model, train)

    def _safety(self, data: Trajectories, normaliser: Batch, policy: OfflinePPO) -> SafetyQ:
        config = self.config.safety
        critic = SafetyQ(config, FEATURES, ACTIONS, self.seed)
        critic.fit_normaliser(normaliser)

        def train() -> None:
            for batch in islice(self._batches(data, config.batch_size), self.config.safety_updates):
                critic.update(batch, policy.policy.actions(batch.next_observation, explore=False))

        return self._made("safety", critic, train)

    def _batches(self, data: Trajectories, size: int) -> Iterator[Trajectories]:
        while True:
            yield data.rows(self.rng.integers(len(data), size=size))

    def _made(self, name: str, learner: Any, train: Callable[[], None]) -> Any:
        """Load `learner` from the folder, or train and save it. Its draws are its own: what is loaded changes none."""
        where = self.folder / name
        self.rng = np.random.default_rng([self.seed, *name.encode()])
        if (where / "meta.json").is_file():
            learner.load_state(*checkpoint.load(where, task=self.task))
        else:
            self.say(f"training the {name.replace('_', ' ')}")
            train()
            arrays, meta = learner.state()
            checkpoint.save(where, arrays, meta | {"task": self.task, "seed": self.seed})
        return learner

    def _calibrate(self, policy: OfflinePPO, model: WorldModel) -> dict[str, Any]:
        """Choose H, gamma_risk and eps_safe on half of the episodes of the unprotected policy, judge on the others."""
        config = self.config.calibration

        def calibrate() -> dict[str, Any]:
            self.say("calibrating the monitor")
            driven = self._unprotected(policy)
            if sum(bool(len(onsets(_costs(steps)))) for steps in driven) < FEWEST_FAILURES:
                driven = _mixed(driven, self._unseen_failures())
            monitor = WorldModelMonitor(model, mean_of(policy.actor), horizon=max(config.horizons))
            predicted = [monitor.probabilities(steps) for steps in driven]
            costs = [_costs(steps) for steps in driven]
            half = len(driven) // 2
            chosen = choose(predicted[:half], costs[:half], config)
            held_out = judge(chosen, predicted[half:], costs[half:], config)
            shown = curve(chosen, predicted[half:], costs[half:])
            failures = int(sum(cost.any() for cost in costs))
            made = Tally(len(driven), len(driven), sum(map(len, costs)), failures, failures)
            found = {"calibration": asdict(chosen), "held_out": asdict(held_out), "made": asdict(made)}
            return found | {"curve": {name: values.tolist() for name, values in asdict(shown).items()}}

        kinds = {"calibration": Calibration, "held_out": Calibration, "made": Tally}
        found = self._kept("calibration.json", calibrate)
        shown = Reliability(**{name: np.array(values) for name, values in found["curve"].items()})
        return {name: from_mapping(kind, found[name]) for name, kind in kinds.items()} | {"curve": shown}

    def _unprotected(self, policy: OfflinePPO) -> list[list[Step]]:
        """Episodes of the task policy as it will explore, nobody watching."""
        envs = [Supervised(make(self.task, noise=PoseNoise())) for _ in range(LANES)]
        first = CALIBRATION_EPISODES_FROM
        seeds = iter([training_env_seed(self.seed, first + i) for i in range(self.config.calibration_episodes)])
        explore = partial(policy.policy.actions, explore=True)
        return [steps for *_, steps in lockstep(envs, explore, seeds)]

    def _unseen_failures(self) -> list[list[Step]]:
        """Scripted failures that nothing was trained on, for a policy that makes too few of its own."""
        found = episodes(self.task, "failure", self.seed + UNSEEN_SEED)
        failing = (scene.steps for scene in found if _costs(scene.steps).any())
        return list(islice(failing, FEWEST_FAILURES))

    def _expert_return(self) -> float:
        def expertly() -> float:
            env = make(self.task)
            expert = NoisyExpert(env, most_noise=0.0)
            episodes = [run_episode(Supervised(env), expert, seed=seed) for seed in EVALUATION_ENV_SEEDS]
            return float(np.mean([paid(steps, env.horizon) for steps in episodes]))

        return self._kept("expert.json", lambda: {"return": expertly()})["return"]

    def _kept(self, name: str, make_it: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The JSON object in a file of the folder, made if it is missing."""
        file = self.folder / name
        if not file.is_file():
            write_atomically(file, json.dumps(make_it(), indent=1).encode())
        return json.loads(file.read_text())


def _costs(steps: Sequence[Step]) -> Array:
    return np.array([step.cost for step in steps])


def _mixed(episodes: Sequence[list[Step]], others: Sequence[list[Step]]) -> list[list[Step]]:
    """Both, so that each half has as many of the others."""
    half = len(others) // 2
    return [*others[:half], *episodes, *others[half:]]
