"""The data that FARL starts from, made by drivers of our own and written into datasets.

Three kinds (method sheet): task demonstrations by a noisy expert, episodes of bad drivers, many of which fail, and
escapes of a scripted retreat begun shortly before a failure. Bad drivers are, in turn, a corrupted expert and a
beginner, a policy cloned as the task policy will be, acting as it explores (ours: a world model that has seen
scripted mistakes only knows little of those that a policy makes). Noise, mistakes and all numbers are ours.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, cycle, islice
from pathlib import Path

import numpy as np

from handrail.assist.recovery import Scripted
from handrail.core.config import from_mapping
from handrail.core.contracts import single
from handrail.core.errors import HandrailError, unknown_name
from handrail.core.seeds import training_env_seed
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal, Step
from handrail.learn.actor_critic import GaussianPolicy
from handrail.learn.offline_ppo import OfflinePPO, OfflinePPOConfig
from handrail.nets import Difference, StateFactory
from handrail.run import Supervised, Supervisor, episode, run_episode
from handrail.run.record import record
from handrail.store import DatasetWriter
from handrail.store.atomic import write_atomically
from handrail.store.trajectories import Trajectories
from handrail.tasks import make
from handrail.tasks.base import PoseNoise
from handrail.tasks.failurebench.corrupted import Corrupted
from handrail.tasks.failurebench.experts import expert_for
from handrail.tasks.failurebench.retreat import Retreat
from handrail.tasks.failurebench.sawyer import SawyerTask

KINDS = ("task", "failure", "recovery")
FIRST_EPISODE = {"task": 1_000_000, "failure": 1_500_000, "recovery": 2_000_000}
"""Episode index from which a run draws the resets of each kind, apart from its training resets."""
HAND_TO_OBJECT = Difference(first=4, second=0, length=3, scale=0.05)  # of the 39 entries of "state" [m]
OBJECT_TO_GOAL = Difference(first=36, second=4, length=3, scale=0.1)
HAND_MOVED = Difference(first=0, second=18, length=3, scale=0.01)  # since the step before [m]
OBJECT_MOVED = Difference(first=4, second=22, length=3, scale=0.005)
FEATURES = StateFactory({"state": 39}, (HAND_TO_OBJECT, OBJECT_TO_GOAL, HAND_MOVED, OBJECT_MOVED))
ACTIONS = 4
MOST_NOISE = 0.6  # standard deviation on the expert's action; each episode's own is uniform below it
EXPLORATION_STD = 0.5  # of a cloned policy, at least (ours): that of the demonstrations, about 0.3, explores little
LEAD = (3, 12)  # steps before its violation at which a doomed episode is handed to the retreat
ESCAPE_STEPS = 25  # that the retreat goes on, at most
MOST_TRIES = 30  # episodes for each that is kept
BEGINNER_DEMONSTRATIONS, BEGINNER_UPDATES, BEGINNER_BATCH = 40, 2_000, 256


@dataclass(frozen=True)
class Tally:
    """What it took: episodes run and kept, failures made on the way and among those kept."""

    episodes: int = 0
    kept: int = 0
    kept_steps: int = 0
    failures: int = 0
    failures_kept: int = 0

    def plus(self, scene: Scene, kept: bool) -> Tally:
        failed = _violation(scene.steps) is not None
        return Tally(
            self.episodes + 1,
            self.kept + kept,
            self.kept_steps + kept * len(scene.steps),
            self.failures + failed + scene.doomed,
            self.failures_kept + (failed and kept),
        )


@dataclass(frozen=True)
class Scene:
    """One scripted episode.

    Attributes:
        doomed: it is the rerun of an episode that failed, which counts as a failure made.
    """

    env_seed: int
    env: SawyerTask
    steps: list[Step]
    doomed: bool = False


class NoisyExpert:
    """The scripted expert with Gaussian noise on its action, of another size in every episode."""

    def __init__(self, task: SawyerTask, most_noise: float = MOST_NOISE) -> None:
        self._expert, self._most_noise = expert_for(task), most_noise
        self.begin(0)

    def begin(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 0x4015E])
        self._std = self._rng.uniform(0.0, self._most_noise)

    def reset(self) -> None:
        """An episode's draws come from its seed, see `begin`."""

    def act(self, observation: Observation) -> Proposal:
        action = self._expert.act(_state(observation))
        action[:3] += self._std * self._rng.standard_normal(3)
        return single(action, Authority.POLICY)


class BadDriver:
    """The corrupted expert as a policy."""

    def __init__(self, task: SawyerTask) -> None:
        self.corrupted = Corrupted(task)

    def begin(self, seed: int) -> None:
        self.corrupted.reset(seed)

    def reset(self) -> None:
        """An episode's draws come from its seed, see `begin`."""

    def act(self, observation: Observation) -> Proposal:
        return single(self.corrupted.act(_state(observation)), Authority.POLICY)


class Beginner:
    """A policy cloned from demonstrations of the noisy expert, as the task policy will be, acting as it explores."""

    def __init__(self, task: str, run_seed: int) -> None:
        clean = (scene.steps for scene in episodes(task, "task", run_seed) if is_kept("task", scene.steps))
        shown = Trajectories.of(list(islice(clean, BEGINNER_DEMONSTRATIONS)))
        config, rng = OfflinePPOConfig(min_std=EXPLORATION_STD), np.random.default_rng(run_seed)
        learner = OfflinePPO(config, FEATURES, ACTIONS, run_seed)
        learner.fit_normaliser(shown.batch())
        for _ in range(BEGINNER_UPDATES):
            learner.clone(shown.rows(rng.integers(len(shown), size=BEGINNER_BATCH)).batch())
        self._learner = learner
        self.begin(0)

    def begin(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 0xBE61])
        self._policy = GaussianPolicy(self._learner.encoder, self._learner.actor, rng)

    def reset(self) -> None:
        """An episode's draws come from its seed, see `begin`."""

    def act(self, observation: Observation) -> Proposal:
        return self._policy.explore(observation)


Driver = NoisyExpert | BadDriver | Beginner


class Handover:
    """A trigger that helps from one step of the episode on."""

    def __init__(self, start: int) -> None:
        self.start, self._step = start, 0

    def reset(self) -> None:
        self._step = 0

    def update(self, assessment: Assessment) -> float:
        self._step += 1
        return float(self._step > self.start)


def episodes(task: str, kind: str, run_seed: int) -> Iterator[Scene]:
    """Yield one scripted episode after the other, whatever came of them.

    Raises:
        UnknownNameError: no such task or kind.
    """
    if kind not in KINDS:
        raise unknown_name("kind of data", kind, KINDS)
    env: SawyerTask = make(task, noise=PoseNoise())
    drivers: list[Driver] = [NoisyExpert(env)] if kind == "task" else [BadDriver(env), Beginner(task, run_seed)]
    alone = Supervised(env)
    for index, driver in zip(count(FIRST_EPISODE[kind]), cycle(drivers), strict=False):
        seed = training_env_seed(run_seed, index)
        driver.begin(seed)
        steps = run_episode(alone, driver, seed=seed)
        first = _violation(steps)
        if kind == "recovery" and first is not None:
            yield Scene(seed, env, _escape(env, driver, seed, first), doomed=True)
        else:
            yield Scene(seed, env, steps)


def _escape(env: SawyerTask, driver: Driver, seed: int, first: int) -> list[Step]:
    """The same episode again, until some steps before its `first` violation the retreat takes over."""
    lead = int(np.random.default_rng([seed, 0xE5CA]).integers(*LEAD, endpoint=True))
    handover = Handover(max(0, first - lead))
    supervisor = Supervisor(trigger=handover, recovery=Scripted(retreat_of(env)))
    driver.begin(seed)
    steps = list(islice(episode(Supervised(env, supervisor), driver, seed=seed), handover.start + ESCAPE_STEPS))
    return [*steps[:-1], replace(steps[-1], truncated=not steps[-1].terminated)]


def is_kept(kind: str, steps: Sequence[Step]) -> bool:
    """Whether an episode shows what its kind should: a clean success, an escape that worked, or a bad driver.

    A bad driver's near misses are kept beside their failures: without them every clumsy move would seem to end in one.
    """
    failed = _violation(steps) is not None
    if kind == "failure":
        return True
    if kind == "recovery":
        return not failed and steps[-1].authority is Authority.ASSISTANT
    return not failed and steps[-1].success


def collect(task: str, kind: str, amount: int, run_seed: int, folder: Path) -> Tally:
    """Write `amount` episodes (of failures: steps) into the dataset at `folder`, or find them there; count the cost.

    Raises:
        UnknownNameError: no such task or kind.
        HandrailError: too few episodes show what they should.
    """
    file = folder / "tally.json"
    if file.is_file():
        return from_mapping(Tally, json.loads(file.read_text()))
    shutil.rmtree(folder, ignore_errors=True)  # half a collection
    tally = Tally()
    with DatasetWriter(folder, SawyerTask.fps) as writer:
        for scene in episodes(task, kind, run_seed):
            kept = is_kept(kind, scene.steps)
            tally = tally.plus(scene, kept)
            if kept:
                record(writer, scene.steps, scene.env, env_seed=scene.env_seed, run_seed=run_seed)
            if (tally.kept_steps if kind == "failure" else tally.kept) >= amount:
                break
            if tally.episodes >= MOST_TRIES * (tally.kept + 10):
                raise HandrailError(
                    f"{tally.kept} of {tally.episodes} {kind} episodes of {task} are fit to keep: "
                    "the scripted driver does not suit this geometry"
                )
    write_atomically(file, json.dumps(asdict(tally)).encode())
    return tally


def _violation(steps: Sequence[Step]) -> int | None:
    """Index of the first violation."""
    return next((index for index, step in enumerate(steps) if step.cost > 0), None)


def retreat_of(env: SawyerTask) -> Callable[[Observation], Array]:
    """The scripted retreat as a function of the observation."""
    retreat = Retreat(env)
    return lambda observation: retreat.act(_state(observation))


def _state(observation: Observation) -> Array:
    state = observation["state"]
    assert not isinstance(state, str)
    return state
