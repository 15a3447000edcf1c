"""What guided teleoperation learns from: past teleoperation, and what is trained and calibrated on it.

1. Episodes of people of all tiers, alone: successes and failures, both goals. 2. On them the conservative critic with
its failure head, the next places of hands, and the copilot of the baselines. 3. On further episodes q_lo, q_hi and the
gate.
4. Held-out persons, alone: what every method is compared with, episode by episode. Sizes are ours.

It is built once for each (task, run seed) and shared by all methods; the held-out persons are those of all run seeds.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from handrail.assist.copilot import JOINTS, Copilot, clonable
from handrail.assist.gate import Gate, GateConfig
from handrail.assist.success_score import SuccessScore
from handrail.core.config import from_mapping
from handrail.core.contracts import Trigger
from handrail.core.errors import CheckpointError, InvalidValueError
from handrail.core.seeds import EVALUATION_ENV_SEEDS, training_env_seed
from handrail.core.values import Array, Assessment, Step
from handrail.learn.bc import BC, BCConfig
from handrail.learn.cql import CQL, CQLConfig
from handrail.learn.cql_data import CQLSampler
from handrail.learn.next_place import NextPlace, NextPlaceConfig
from handrail.learn.next_place_data import NextPlaceSampler, Scene
from handrail.nets import Difference, StateFactory
from handrail.operators.traits import EVALUATION_DRAWS, training_draw
from handrail.run.folder import RunFolder
from handrail.run.record import record
from handrail.store import Dataset, DatasetWriter, checkpoint
from handrail.store.atomic import write_atomically
from handrail.store.ring import Batch
from handrail.store.trajectories import Trajectories
from handrail.systems.guided_station import TIERS, Outcome, Station, Visit, visits
from handrail.tasks import make
from handrail.tasks.bimanual.base import BimanualTask
from handrail.tasks.bimanual.kinematics import forward
from handrail.tasks.bimanual.observe import POSE_DIM, STATE_DIM

FIRST_EPISODE = {"teleoperation": 4_000_000, "calibration": 5_000_000}
"""Episode index from which a run draws the resets of each kind, apart from those of other systems."""
TOOL_POSITION = (28, 37)  # of the left and the right tool in "state"
GRIPS = (6, 13)  # the openings in "state" and in the action
CRITIC = CQLConfig(n_step=1_000, draws=2, lead=15, min_unit=0.12, bound=1.0, noise=0.1, clone=4.0, compliance=0.1)
"""Tuned on development draws. Returns reach to the end of an episode: with 10 steps a success 500 steps away is slow to
come through, and every beginning looks hopeless. In units of 0.12 rad a correction can say where a hand is 0.3 s later
without its direction being cut, so that it is a place, and needs no gain."""
LEARNERS = {"": {}, "no-cql": {"alpha": 0.0}, "no-failure-head": {"beta": 0.0}}
"""What an ablation changes in the learner; the others share the one without a name."""


@dataclass(frozen=True)
class People:
    """How many come, and how often each.

    Attributes:
        novice, ordinary, expert: persons, episodes each.
    """

    novice: tuple[int, int]
    ordinary: tuple[int, int]
    expert: tuple[int, int]

    def of(self, tier: str) -> tuple[int, int]:
        return getattr(self, tier)


@dataclass(frozen=True)
class OfflineConfig:
    """Sizes of what is collected and trained.

    Attributes:
        teleoperation, calibration: who is recorded to learn from, and to calibrate on; everybody once.
        held_out: who is evaluated.
        authority_each: episodes of each held-out ordinary person with the other goal.
        copilot_updates: of behaviour cloning.
        ahead: steps by which the copilot's second command is later.
        calm: mean level that the gate is calibrated to on successful calibration episodes of experts.
        horizon: steps until time is up; None for the task's own.
    """

    teleoperation: People = People(novice=(90, 1), ordinary=(180, 1), expert=(90, 1))
    calibration: People = People(novice=(6, 1), ordinary=(12, 1), expert=(6, 1))
    held_out: People = People(novice=(5, 2), ordinary=(10, 4), expert=(5, 2))
    authority_each: int = 2
    copilot_updates: int = 4_000
    ahead: int = 15
    calm: float = 0.6
    horizon: int | None = None
    cql: CQLConfig = CRITIC
    places: NextPlaceConfig = field(default_factory=NextPlaceConfig)
    copilot: BCConfig = field(default_factory=partial(BCConfig, horizon=2, hidden=(256, 256)))
    gate: GateConfig = field(default_factory=GateConfig)

    def task_options(self) -> dict[str, Any]:
        return {} if self.horizon is None else {"horizon": self.horizon}


@dataclass(frozen=True)
class GateCalibration:
    """Where the gate opens, and what that means on the calibration episodes.

    Attributes:
        rho0: risk at which the level is one half.
        calm: mean level on successful episodes of experts, which `rho0` was chosen by.
        level: mean level on all episodes: the rate that a constant level is matched to.
    """

    rho0: float
    calm: float
    level: float


@dataclass
class Artefacts:
    """What every method of a (task, run seed) shares.

    Attributes:
        learners: by ablation; see `LEARNERS`.
        gates: the same, calibrated each on its own score.
        tally: persons' success by tier in the data that was learnt from.
        alone: outcomes of the held-out persons without assistance, in the order of `evaluation_visits`.
        held_out: their episodes.
    """

    learners: dict[str, CQL]
    gates: dict[str, GateCalibration]
    places: NextPlace
    copilot: Copilot
    tally: dict[str, dict[str, float]]
    alone: list[Outcome]
    held_out: Dataset | None


def evaluation_visits(config: OfflineConfig) -> list[Visit]:
    """Held-out persons on evaluation seeds: ordinary, novice, expert; then ordinary ones who want the other goal."""
    found, seed = [], EVALUATION_ENV_SEEDS[0]
    for tier in ("ordinary", "novice", "expert"):
        people, each = config.held_out.of(tier)
        found += visits(tier, EVALUATION_DRAWS[:people], each, seed)
        seed += people * each
    people, each = config.held_out.ordinary
    first = visits("ordinary", EVALUATION_DRAWS[:people], each, EVALUATION_ENV_SEEDS[0])
    found += [replace(visit, switched=True) for visit in first if visit.episode < config.authority_each]
    if seed > EVALUATION_ENV_SEEDS[-1] + 1:
        raise InvalidValueError(f"{seed - EVALUATION_ENV_SEEDS[0]} evaluation episodes, there are 100 seeds: ask fewer")
    return found


def features(env: BimanualTask) -> StateFactory:
    """What learners see: the observation, and where each tool is from each object."""
    sizes = {"state": STATE_DIM, "environment_state": POSE_DIM * len(env.objects) + env.extra_dim}
    places = [STATE_DIM + POSE_DIM * index for index in range(len(env.objects))]
    return StateFactory(sizes, tuple(Difference(tool, place, 3) for tool in TOOL_POSITION for place in places))


def scene(env: BimanualTask) -> Scene:
    """Where the poses are in the observation."""
    return Scene(TOOL_POSITION, GRIPS, len(env.objects), env.extra_dim)


def build(
    task: str,
    seed: int,
    config: OfflineConfig,
    folder: Path,
    ablation: str = "",
    say: Callable[[str], None] = lambda text: None,
    evaluated: bool = True,
) -> Artefacts:
    """Collect, train and calibrate, or read what is there. One process at a time; another waits and then reads.

    Args:
        folder: of this run seed; the held-out persons lie beside it, in `../people`.
        ablation: the learner besides the full one that is wanted.
        evaluated: held-out persons are wanted as well; development does without.

    Raises:
        CheckpointError: `folder` was built of another task or with another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _Build(task, seed, config, folder, say).run(ablation, evaluated)


def absent(folder: Path, ablation: str) -> str:
    """The first part of what a method needs to assist that is not in `folder`; empty where all is there."""
    parts = (_named("cql", ablation), _named("gate", ablation) + ".json", "places", "copilot")
    return next((name for name in parts if not (folder / name).exists()), "")


def _named(part: str, ablation: str) -> str:
    """Its file name: the parts of an ablation carry its name."""
    return f"{part}-{ablation}" if ablation else part


class _Build:
    """One offline phase; every part is written to `folder` as it is finished, and read if it is there."""

    def __init__(self, task: str, seed: int, config: OfflineConfig, folder: Path, say: Callable[[str], None]) -> None:
        self.task, self.seed, self.config, self.folder, self.say = task, seed, config, folder, say
        self.env: BimanualTask = make(task, **config.task_options())

    def run(self, ablation: str, evaluated: bool) -> Artefacts:
        config = json.loads(json.dumps({"task": self.task, **asdict(self.config)}))
        if _kept(self.folder / "config.json", lambda: config) != config:
            raise CheckpointError(
                f"{self.folder} was built of another task or with another configuration: give another folder, "
                "or delete it"
            )
        data, calibration = (self._data(kind) for kind in ("teleoperation", "calibration"))
        learnt, judged = Trajectories.read(data), Trajectories.read(calibration)
        names = dict.fromkeys(("", ablation))
        learners = {name: self._learner(name, learnt, judged) for name in names}
        gates = {name: self._gate(name, learners[name], calibration) for name in names}
        alone, held_out = self._held_out() if evaluated else ([], None)
        copilot = self._copilot(data, learnt)
        return Artefacts(learners, gates, self._places(learnt), copilot, _tally(data), alone, held_out)

    def _data(self, kind: str) -> Dataset:
        people: People = getattr(self.config, kind)
        rng = np.random.default_rng([self.seed, FIRST_EPISODE[kind], 0x6D1D])
        come = [
            Visit(tier, draw, number, training_env_seed(self.seed, FIRST_EPISODE[kind] + 10_000 * index + one))
            for index, tier in enumerate(TIERS)
            for one, (draw, number) in enumerate(_everybody(people.of(tier), rng))
        ]
        return self._recorded(come, self.folder / "data" / kind, f"recording {kind}")[1]

    def _held_out(self) -> tuple[list[Outcome], Dataset]:
        come = evaluation_visits(self.config)
        return self._recorded(come, self.folder.parent / "people", "held-out persons, alone")

    def _recorded(self, come: Sequence[Visit], folder: Path, what: str) -> tuple[list[Outcome], Dataset]:
        """Everybody's episode, on disk, as far as it is not there yet, and what came of it."""
        out, options = RunFolder(folder), self.config.task_options()
        out.go_on({"task": self.task, "options": options, "visits": [asdict(visit) for visit in come]})
        found = [from_mapping(Outcome, line["outcome"]) for line in out.lines("alone")]
        if len(found) < len(come):
            station = Station(self.task, **options)
            with DatasetWriter(out.episodes, station.env.fps) as writer:
                for visit in come[len(found) :]:
                    self.say(f"{what}: {len(found)} of {len(come)}")
                    outcome, steps = station.run(visit)
                    if writer.num_episodes == len(found):  # else it was cut short after this and before the line
                        who = {"operator_draw": visit.draw, "operator_tier": visit.tier}
                        record(writer, steps, station.env, env_seed=visit.env_seed, run_seed=self.seed, **who)
                    out.log("alone", outcome=asdict(outcome))
                    found.append(outcome)
            out.sync()
        return found, Dataset(out.episodes)

    def _learner(self, name: str, data: Trajectories, calibration: Trajectories) -> CQL:
        config = replace(self.config.cql, **LEARNERS.get(name, {}))
        learner = CQL(config, features(self.env), JOINTS, self.seed)
        learner.fit_normaliser(data.batch())
        learner.fit_scales(data)

        def train() -> None:
            sampler, rng = CQLSampler(data, config), np.random.default_rng([self.seed, 0xC01])
            for update in range(config.updates):
                learner.update(sampler.sample(config.batch_size, rng))
                if update % 1_000 == 0:
                    self.say(f"training the critic: update {update} of {config.updates}")
            learner.fit_bounds(calibration)

        return self._made(_named("cql", name), learner, train)

    def _places(self, learnt: Trajectories) -> NextPlace:
        config = self.config.places
        learner = NextPlace(config, scene(self.env), self.seed)
        learner.fit_normaliser(learnt)

        def train() -> None:
            sampler = NextPlaceSampler(learnt, learner.scene, config, forward)
            rng = np.random.default_rng([self.seed, 0x9EC7])
            rows = sampler.part(held_out=False)
            for update in range(config.updates):
                learner.update(sampler.sample(rows, rng))
                if update % 1_000 == 0:
                    self.say(f"learning the next places: update {update} of {config.updates}")
            learner.fit_errors(sampler.rows(sampler.part(held_out=True)))

        return self._made("places", learner, train)

    def _copilot(self, data: Dataset, learnt: Trajectories) -> Copilot:
        shown = learnt.pieces(learnt.ended_well()) if learnt.ended_well().any() else learnt
        actions, scale = clonable(shown, self.config.ahead)
        learner = BC(self.config.copilot, features(self.env), JOINTS, self.seed)
        batch = replace(shown.batch(), action=actions)
        learner.fit_normaliser(batch)

        def train() -> None:
            self.say("cloning the copilot")
            rng = np.random.default_rng([self.seed, 0xBC])
            for part in islice(_batches(batch, self.config.copilot.batch_size, rng), self.config.copilot_updates):
                learner.update(part)

        return Copilot(self._made("copilot", learner, train), scale)

    def _made(self, name: str, learner: Any, train: Callable[[], None]) -> Any:
        """Load `learner` from the folder, or train and save it."""
        where = self.folder / name
        if checkpoint.exists(where):
            learner.load_state(*checkpoint.load(where, task=self.task))
        else:
            train()
            arrays, meta = learner.state()
            checkpoint.save(where, arrays, meta | {"task": self.task, "seed": self.seed})
        return learner

    def _gate(self, name: str, learner: CQL, calibration: Dataset) -> GateCalibration:
        def calibrate() -> dict[str, Any]:
            score = SuccessScore(learner)
            episodes = steps_of(calibration)
            metas = [calibration.meta(index) for index in range(calibration.num_episodes)]
            assessed = [score.assess_many(steps) for steps in episodes]
            good = [meta.success and meta.operator_tier == "expert" for meta in metas]
            return asdict(fit_gate(assessed, good, self.config.gate, self.config.calm))

        found = _kept(self.folder / (_named("gate", name) + ".json"), calibrate)
        return from_mapping(GateCalibration, found)


def fit_gate(
    assessed: Sequence[Sequence[Assessment]], good: Sequence[bool], config: GateConfig, calm: float
) -> GateCalibration:
    """The lowest rho0 (to 0.01) at which the mean level on `good` episodes is at most `calm` (ours).

    Args:
        assessed: of each calibration episode, in order.
        good: which episodes need no help; where none is, all count.
    """
    quiet = [one for one, fine in zip(assessed, good, strict=True) if fine] or list(assessed)
    low, high = 0, 100
    while low < high:  # the level falls as rho0 grows
        middle = (low + high) // 2
        if _mean_level(quiet, replace(config, rho0=middle / 100)) <= calm:
            high = middle
        else:
            low = middle + 1
    chosen = replace(config, rho0=min(low, 100) / 100)
    return GateCalibration(chosen.rho0, _mean_level(quiet, chosen), _mean_level(assessed, chosen))


def levels_of(assessed: Iterable[Assessment], trigger: Trigger) -> Array:
    """What `trigger` would have said of one episode, step by step: (T,)."""
    trigger.reset()
    return np.array([trigger.update(one) for one in assessed])


def _mean_level(episodes: Sequence[Sequence[Assessment]], config: GateConfig) -> float:
    return float(np.mean(np.concatenate([levels_of(one, Gate(config)) for one in episodes])))


def _everybody(people: tuple[int, int], rng: np.random.Generator) -> list[tuple[int, int]]:
    """(draw, number of their episode) of new persons from the training range."""
    count, each = people
    return [(draw, number) for draw in [training_draw(rng) for _ in range(count)] for number in range(each)]


def _tally(data: Dataset) -> dict[str, dict[str, float]]:
    """Episodes and success of each tier."""
    metas = [data.meta(index) for index in range(data.num_episodes)]
    found = {}
    for tier in TIERS:
        won = [meta.success for meta in metas if meta.operator_tier == tier]
        found[tier] = {"episodes": float(len(won)), "success": float(np.mean(won)) if won else 0.0}
    return found


def _batches(batch: Batch, size: int, rng: np.random.Generator) -> Iterable[Batch]:
    while True:
        yield batch.rows(rng.integers(len(batch), size=size))


def _kept(file: Path, make_it: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The JSON object in a file, made if it is missing."""
    if not file.is_file():
        write_atomically(file, json.dumps(make_it(), indent=1).encode())
    return json.loads(file.read_text())


def steps_of(dataset: Dataset) -> list[list[Step]]:
    """All its episodes."""
    return [dataset.episode(index).steps() for index in range(dataset.num_episodes)]
