"""HIL-SERL: the human-in-the-loop RL baseline (Luo et al. 2024), and the methods that its table compares.

Twenty demonstrations by an expert-tier person fill the demonstration buffer. Then the policy drives, an ordinary
person takes over when it gets stuck, operator steps enter both buffers, and RLPD learns from halves of each. `rlpd` is
the same without the person; `bc` clones the same demonstrations; `hg-dagger` (Kelly et al. 2019) clones demonstrations
and operator steps while the policy drives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.clock import SECOND_NS, RealClock
from handrail.core.config import config_hash, from_mapping
from handrail.core.contracts import Policy
from handrail.core.errors import InvalidValueError
from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS, EVALUATION_ENV_SEEDS, training_env_seed
from handrail.core.values import Array, Observation, Proposal, Step
from handrail.learn import BC, RLPD, BCConfig, RLPDConfig
from handrail.nets import Difference, StateFactory, one_thread, state_sizes
from handrail.operators import ExpertValue, Person, ValueTakeover
from handrail.operators.traits import FIRST_TRAINING_DRAW
from handrail.run.demonstrate import demonstrate
from handrail.run.evaluate import Evaluation, evaluate
from handrail.run.film import Film, without_film
from handrail.run.folder import RunFolder
from handrail.run.loop import episode
from handrail.run.record import incidents, record, recorded_env_seeds
from handrail.run.supervised import Supervised
from handrail.store import DatasetWriter, ReplayRing, checkpoint
from handrail.store.metrics import episode_summary
from handrail.store.ring import Batch
from handrail.store.samplers import sample_mixed
from handrail.systems.named import Known
from handrail.systems.progress import Progress
from handrail.tasks import TASKS as ALL_TASKS
from handrail.tasks import make
from handrail.tasks.hil.experts import Expert, expert_for
from handrail.tasks.hil.panda import PandaTask

TASKS = ("PickCube", "TubeInsertion")
DEMONSTRATOR_DRAW = FIRST_TRAINING_DRAW + 1_000  # + run seed: who shows the task
OPERATOR_DRAW = FIRST_TRAINING_DRAW  # + run seed: who watches the training

OBJECT_FROM_TOOL = Difference(first=18, second=15, length=3)  # of "environment_state" and "state" [m]
RATE_WINDOW = 3_000  # online steps over which the first and the last intervention rate are taken


@dataclass(frozen=True)
class Method:
    """What distinguishes the methods of the table."""

    learner: str  # "rlpd" or "bc"
    online: bool  # the policy acts and learns online
    operator: bool  # a person watches and takes over
    patience: float = 1.0  # of that person, times their own
    reaction: float = 1.0
    by_value: bool = False  # instead, somebody takes over by the value of actions (RLIF)


TABLE = {
    "bc": Method("bc", online=False, operator=False),
    "rlpd": Method("rlpd", online=True, operator=False),
    "hg-dagger": Method("bc", online=True, operator=True),
    "hil-serl": Method("rlpd", online=True, operator=True),
}
SENSITIVITY = {
    "hil-serl-patience-half": replace(TABLE["hil-serl"], patience=0.5),
    "hil-serl-patience-double": replace(TABLE["hil-serl"], patience=2.0),
    "hil-serl-reaction-half": replace(TABLE["hil-serl"], reaction=0.5),
    "hil-serl-reaction-double": replace(TABLE["hil-serl"], reaction=2.0),
    "hil-serl-value-operator": replace(TABLE["hil-serl"], by_value=True),
}
"""The headline under people who wait shorter or longer, react faster or slower, or judge by the value of actions."""
METHODS_BY_NAME = TABLE | SENSITIVITY
METHODS, HEADLINE_METHODS = tuple(METHODS_BY_NAME), tuple(TABLE)
PLAN = dict.fromkeys(("quick", "standard"), dict.fromkeys(TASKS, HEADLINE_METHODS))
"""Sensitivity is asked for by name: it takes no more than the quick budget (docs/hil-serl-sensitivity.md)."""


LEARNER = RLPDConfig(
    activation="relu", actor_layer_norm=True, learning_rate=6e-4, actor_every=1, discount=0.98, tau=0.01,
    critic_gain=0.01, initial_temperature=1e-3, target_entropy=-10.0, bc_weight=1.0,
)  # fmt: skip
"""What the tuning trials chose over the public defaults (results/tuning.json). Ours: the gripper is a dimension of the
actor instead of a discrete critic, the actor starts from the demonstrations, and it stays drawn toward the operator's
actions (`bc_weight`). The same for `rlpd` and `hil-serl`."""

CLONER = BCConfig(head="flow", horizon=8, learning_rate=3e-3, weight_decay=1e-2, batch_size=128)
CLONER_UPDATES = 2_600
"""What 18 trials on TubeInsertion chose for the cloning methods: 0.54 there against 0.18 with the defaults of `BC`, and
0.98 against 0.99 on PickCube."""


AT_LEAST_ONE = (
    "online_steps", "demonstrations", "evaluate_every", "evaluate_episodes", "final_episodes", "record_every",
    "checkpoint_every",
)  # fmt: skip


@dataclass(frozen=True)
class HilSerlConfig:
    """One training run.

    Attributes:
        online_steps: environment steps with the policy as driver.
        demonstrations: successful episodes by the expert-tier person.
        start_steps: online steps before the first update.
        bc_updates: updates on the demonstrations before the policy drives, for the cloning methods.
        clone_updates: for the RL methods, updates that clone the demonstrations into the actor, and then as many that
            give its critics their first values (ours; HIL-SERL starts from a random policy).
        evaluate_every, evaluate_episodes: autonomous check on development seeds, before and during training [steps,
            episodes].
        final_episodes: episodes of the evaluation that the table reports.
        filmed_episodes: of those, the last ones are kept on disk.
        record_every: every n-th training episode is kept on disk.
        film: what is kept on disk is filmed; without, nothing is drawn, and no OpenGL library is needed.
        checkpoint_every: online steps between checkpoints, which fall on episode ends.
        patience_scale, reaction_scale: factors on the person's patience and reaction time.
    """

    online_steps: int = 30_000
    demonstrations: int = 20
    start_steps: int = 100
    bc_updates: int = CLONER_UPDATES
    clone_updates: int = 5_000
    evaluate_every: int = 3_000
    evaluate_episodes: int = 20
    final_episodes: int = 100
    filmed_episodes: int = 4
    record_every: int = 50
    film: bool = True
    checkpoint_every: int = 3_000
    tier: str = "ordinary"
    patience_scale: float = 1.0
    reaction_scale: float = 1.0
    rlpd: RLPDConfig = field(default_factory=lambda: LEARNER)
    bc: BCConfig = field(default_factory=lambda: CLONER)

    def __post_init__(self) -> None:
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name} is {getattr(self, name)}, the least is 1: give a larger number")


_STANDARD = HilSerlConfig()
BUDGETS: dict[str, HilSerlConfig] = {
    "smoke": replace(
        _STANDARD, online_steps=600, demonstrations=3, bc_updates=200, clone_updates=200, evaluate_every=300,
        evaluate_episodes=2, final_episodes=4, filmed_episodes=1, record_every=4, checkpoint_every=300,
    ),
    "quick": replace(_STANDARD, online_steps=12_000, final_episodes=50),
    "standard": _STANDARD,
    "paper": replace(_STANDARD, online_steps=60_000, rlpd=replace(_STANDARD.rlpd, utd=4)),
}  # fmt: skip
KNOWN = Known("hil-serl", ALL_TASKS, METHODS, BUDGETS)


class Training:
    """The state of one run: what `save` writes and `load` brings back, to go on bit for bit.

    Args:
        scene: one of `task` that is there already; a new one takes seconds.
    """

    def __init__(
        self, task: str, method: str, seed: int, config: HilSerlConfig, scene: PandaTask | None = None
    ) -> None:
        self.task, self.method, self.seed, self.config = task, METHODS_BY_NAME[method], seed, config
        self.scene: PandaTask = scene or make(task)
        self.env = Film(self.scene)
        expert = expert_for(self.scene)
        self.person = self._judge(expert) if self.method.by_value else self._watcher(expert)
        self.demonstrator = Person(self.scene, expert, tier="expert", drives=True)
        self.watched = Supervised(self.env, operator=self.person if self.method.operator else None)
        self.alone = Supervised(self.env)
        self.online, self.demonstrations = (ReplayRing(config.online_steps + 10_000) for _ in range(2))
        self.rng = np.random.default_rng([seed, 1])
        observation, _ = self.env.reset(seed=0)
        shape = StateFactory(state_sizes(observation), (OBJECT_FROM_TOOL,)), self.env.action_space.shape[0]  # type: ignore[index]
        self.learner = RLPD(config.rlpd, *shape, seed) if self.method.learner == "rlpd" else BC(config.bc, *shape, seed)
        self.episodes, self.demonstration_seconds = 0, 0.0
        self._clock = RealClock()
        self._earlier_s, self._started_ns = 0.0, self._clock.now_ns()  # work of the processes before this one
        self.operator_held: list[bool] = []  # an entry an online step

    def _watcher(self, expert: Expert) -> Person:
        return Person(
            self.scene, expert, tier=self.config.tier,
            patience_scale=self.config.patience_scale * self.method.patience,
            reaction_scale=self.config.reaction_scale * self.method.reaction,
        )  # fmt: skip

    def _judge(self, expert: Expert) -> ValueTakeover:
        """Knows what the policy is about to do, but for its exploration noise, and what the expert would do."""
        value = ExpertValue(self.scene, expert, self.config.rlpd.discount)
        return ValueTakeover(value, lambda seen: expert.act(), lambda seen: self.learner.act(seen).actions[0])

    @property
    def steps(self) -> int:
        return len(self.operator_held)

    @property
    def wall_s(self) -> float:
        """Time spent on this run, over all the processes it took [s]."""
        return self._earlier_s + (self._clock.now_ns() - self._started_ns) / SECOND_NS

    def prepare(self) -> None:
        """Demonstrations, and what a method learns from them before its policy drives."""
        self.collect_demonstrations()
        self.learn_demonstrations()

    def collect_demonstrations(self) -> None:
        """Demonstrations into their buffer."""
        supervised = Supervised(self.env, operator=self.demonstrator)
        for _, steps in demonstrate(supervised, self.config.demonstrations, self.seed, DEMONSTRATOR_DRAW + self.seed):
            self.demonstration_seconds += len(steps) / supervised.rate_hz
            for step in steps:
                self.demonstrations.add(step)

    def learn_demonstrations(self) -> None:
        """Normalisation from the demonstrations, and a cloned policy where a method starts so."""
        self.learner.fit_normaliser(self.demonstrations.all())
        if isinstance(self.learner, BC):
            for _ in range(self.config.bc_updates):
                self.learner.update(self.chunk_batch())
        else:
            for _ in range(self.config.clone_updates):
                self.learner.clone(self.demonstrations.sample(self.config.rlpd.batch_size, self.rng))
            for _ in range(self.config.clone_updates):
                self.learner.evaluate(self.demonstrations.sample(self.config.rlpd.batch_size, self.rng))

    def run_episode(self) -> tuple[list[Step], dict[str, float]]:
        """One online episode: act, record, learn after every step. Returns its steps and the last losses."""
        steps, losses = [], {}
        seed = training_env_seed(self.seed, self.episodes)
        for step in episode(self.watched, self.explorer(), seed=seed, operator_draw=OPERATOR_DRAW + self.seed):
            steps.append(step)
            self.remember(without_film(step))
            if self.steps > self.config.start_steps:
                losses = self.learn(metrics=step.done)
        self.episodes += 1
        return steps, losses

    def remember(self, step: Step) -> None:
        """Online steps into the online buffer; operator steps into the demonstrations as well."""
        self.operator_held.append(step.intervention)
        self.online.add(step)
        if step.intervention:
            self.demonstrations.add(step)

    def learn(self, metrics: bool) -> dict[str, float]:
        """The updates of one online step."""
        if isinstance(self.learner, BC):
            return self.learner.update(self.chunk_batch(), metrics=metrics)
        return self.learner.update(self.mixed_batches(), metrics=metrics)

    def mixed_batches(self) -> list[Batch]:
        rlpd = self.config.rlpd
        return sample_mixed(self.online, self.demonstrations, rlpd.batch_size, self.rng, rlpd.utd)

    def chunk_batch(self) -> Batch:
        return self.demonstrations.sample_chunks(self.config.bc.batch_size, self.config.bc.horizon, self.rng)

    def explorer(self) -> Policy:
        return _Exploring(self.learner) if isinstance(self.learner, RLPD) else self.learner

    def evaluate(self, seeds: range, **watch: Any) -> Evaluation:
        return evaluate(self.alone, self.learner, seeds, **watch)

    def described(self, env_seed: int) -> dict[str, Any]:
        """What goes on record with an episode besides what its task says."""
        return {
            "env_seed": env_seed, "run_seed": self.seed, "operator_draw": OPERATOR_DRAW + self.seed,
            "operator_tier": "" if self.method.by_value else self.config.tier, "policy_version": str(self.steps),
            "config_hash": config_hash(asdict(self.config)),
        }  # fmt: skip

    def save(self, folder: Path) -> None:
        tensors, learner = self.learner.state()
        arrays = {f"learner/{key}": value for key, value in tensors.items()}
        for name, ring in (("online", self.online), ("demonstrations", self.demonstrations)):
            arrays |= {f"{name}/{key}": value for key, value in ring.state().items()}
        arrays["operator_held"] = np.array(self.operator_held, bool)
        meta = {
            "task": self.task,
            "seed": self.seed,
            "steps": self.steps,
            "episodes": self.episodes,
            "learner": learner,
        }
        meta |= {"rng": self.rng.bit_generator.state, "demonstration_seconds": self.demonstration_seconds}
        meta |= {"wall_s": self.wall_s}
        checkpoint.save(folder, arrays, meta | {"person": {str(draw): n for draw, n in self.person.episodes.items()}})

    def load(self, folder: Path) -> None:
        """Raises CheckpointError where the checkpoint is missing, damaged or of another task."""
        arrays, meta = checkpoint.load(folder, task=self.task)
        self.learner.load_state(_under(arrays, "learner/"), meta["learner"])
        self.online.load_state(_under(arrays, "online/"))
        self.demonstrations.load_state(_under(arrays, "demonstrations/"))
        self.operator_held = arrays["operator_held"].tolist()
        self.episodes, self.demonstration_seconds = meta["episodes"], meta["demonstration_seconds"]
        self._earlier_s = meta["wall_s"]
        self.rng.bit_generator.state = meta["rng"]
        self.person.episodes = {int(draw): n for draw, n in meta["person"].items()}


@dataclass(frozen=True)
class _Exploring:
    """The learner as it acts in training."""

    learner: RLPD

    def reset(self) -> None:
        self.learner.reset()

    def act(self, observation: Observation) -> Proposal:
        return self.learner.explore(observation)


def run(
    *,
    task: str,
    method: str,
    seed: int,
    budget: str,
    folder: Path,
    resume: bool = True,
    config: HilSerlConfig | None = None,
) -> dict[str, Any]:
    """Train and evaluate one run, and return its result. Resumes from the last checkpoint in `folder` if it may.

    Args:
        config: replaces the budget's, whose name may then be any.

    Raises:
        UnknownNameError: no such task, method or budget.
        CheckpointError: `folder` holds another run, or one that was begun with another configuration.
    """
    names = KNOWN.names(task, method, seed, budget, any_budget=config is not None)
    one_thread()
    out, config = RunFolder(folder), config or BUDGETS[budget]
    if resume and (result := out.finished(names)) is not None:
        return result
    training = Training(task, method, seed, config)
    if resume and out.has_checkpoint():
        out.require_same({**names, "config": asdict(config)})
        training.load(out.checkpoint)
        out.rewind(training.steps)
    else:
        out.clear()
        out.write_config({**names, "config": asdict(config)})
        training.prepare()
    with Progress(f"{method} on {task}, seed {seed}", config.online_steps if training.method.online else 0) as progress:
        _train(training, out, progress)
        return _finish(training, out, budget, method, progress)


def evaluate_run(folder: Path, seeds: range) -> Evaluation:
    """Evaluate the last checkpoint of the run in `folder`, alone, on env `seeds`."""
    return _loaded(folder).evaluate(seeds)


def load_policy(folder: Path) -> Policy:
    """The policy of the last checkpoint of the run in `folder`."""
    return _loaded(folder).learner


def _loaded(folder: Path) -> Training:
    out = RunFolder.open(folder)
    names = out.read_config()
    training = Training(names["task"], names["method"], names["seed"], from_mapping(HilSerlConfig, names["config"]))
    training.load(out.checkpoint)
    return training


def _train(training: Training, out: RunFolder, progress: Progress) -> None:
    config = training.config
    if not training.method.online:
        return
    with DatasetWriter(out.episodes, training.scene.fps, images="video") as writer:
        recorded = recorded_env_seeds(out.episodes)
        if training.steps == 0:
            _evaluate(training, out)
        while training.steps < config.online_steps:
            before, overruns = training.steps, training.watched.pacer.overruns
            seed = training_env_seed(training.seed, training.episodes)
            known = training.described(seed)  # of the policy that begins the episode
            keep = training.episodes % config.record_every == 0 and seed not in recorded
            training.env.rolling = keep and config.film
            steps, losses = training.run_episode()
            training.env.rolling = False
            if keep:
                record(writer, steps, training.scene, **known)
            summary = episode_summary(steps, training.watched.rate_hz, training.scene.failure_kind())
            summary |= incidents(steps) | {"overruns": training.watched.pacer.overruns - overruns}
            out.log("episode", episode=training.episodes, online_steps=training.steps, **summary)
            out.log("update", online_steps=training.steps, **losses)
            progress.update(training.steps, steps)
            if _passed(before, training.steps, config.evaluate_every):
                _evaluate(training, out)
            if _passed(before, training.steps, config.checkpoint_every):
                out.sync()
                training.save(out.checkpoint)


def _finish(training: Training, out: RunFolder, budget: str, method: str, progress: Progress) -> dict[str, Any]:
    """Save the policy, evaluate it on the evaluation seeds, and write the result."""
    config = training.config
    out.sync()
    training.save(out.checkpoint)
    out.log(
        "latency",
        online_steps=training.steps,
        decide_ms=[round(ms, 4) for ms in list(training.watched.decide_ms)[-2000:]],
    )
    with DatasetWriter(out.episodes, training.scene.fps, images="video") as writer:
        evaluation = _final_evaluation(training, writer, progress)
    _log_evaluation(out, training, evaluation)
    return out.write_result(
        {
            "system": "hil-serl", "task": training.task, "method": method, "seed": training.seed, "budget": budget,
            "online_steps": training.steps, "episodes": training.episodes,
            "success_rate_autonomous": evaluation.success_rate, "episodes_success": evaluation.success,
            "return_mean": evaluation.return_mean, "failure_modes": evaluation.failures,
            "demonstrations": config.demonstrations, "demonstration_seconds": round(training.demonstration_seconds, 1),
            **_online_numbers(training, out), "wall_s": round(training.wall_s, 1),
        }
    )  # fmt: skip


def _final_evaluation(training: Training, writer: DatasetWriter, progress: Progress) -> Evaluation:
    seeds, config = EVALUATION_ENV_SEEDS[: training.config.final_episodes], training.config
    first_kept, recorded = len(seeds) - config.filmed_episodes, recorded_env_seeds(writer.root)

    def after(index: int, steps: list[Step]) -> None:
        progress.note(f"evaluating {index + 1}/{len(seeds)}")
        if index >= first_kept and seeds[index] not in recorded:
            record(writer, steps, training.scene, **training.described(seeds[index]))
        training.env.rolling = config.film and index + 1 >= first_kept

    training.env.rolling = config.film and first_kept <= 0
    evaluation = training.evaluate(seeds, after=after)
    training.env.rolling = False
    return evaluation


def _online_numbers(training: Training, out: RunFolder) -> dict[str, Any]:
    """The numbers of the online phase; where there was none, nobody spent time in it, and it has no rates."""
    held = np.array(training.operator_held, float)
    episodes = list(out.lines("episode"))
    if not episodes:
        return {"intervention_rate": None, "operator_seconds": 0.0, "takeovers": 0, "assistant_rate": None}
    window = min(RATE_WINDOW, len(held))
    rate_hz = training.watched.rate_hz
    reached = next((e["online_steps"] for e in out.lines("evaluation") if e["success_rate"] >= 0.8), None)
    causes: Counter[str] = Counter()
    for line in episodes:
        causes.update(line["operator_steps_by_cause"])
    return {
        "success_rate_assisted": float(np.mean([e["success"] for e in episodes])),
        "intervention_rate": float(held.mean()),
        "intervention_rate_first": float(held[:window].mean()),
        "intervention_rate_last": float(held[-window:].mean()),
        "takeovers": sum(sum(e["takeovers"].values()) for e in episodes),
        "operator_steps_by_cause": dict(causes),
        "operator_seconds": float(held.sum() / rate_hz),
        "operator_seconds_to_80": None if reached is None else float(held[:reached].sum() / rate_hz),
        "steps_to_80": reached,
        "assistant_rate": sum(e["assistant_steps"] for e in episodes) / max(1, len(held)),
        "failures_online": sum(e["failures"] for e in episodes),
        **{name: sum(e[name] for e in episodes) for name in ("clipped_steps", "stops", "overruns")},
    }


def _evaluate(training: Training, out: RunFolder) -> None:
    """The policy alone on development seeds, on the way."""
    _log_evaluation(out, training, training.evaluate(DEVELOPMENT_ENV_SEEDS[: training.config.evaluate_episodes]))


def _log_evaluation(out: RunFolder, training: Training, evaluation: Evaluation) -> None:
    out.log(
        "evaluation", online_steps=training.steps, success_rate=evaluation.success_rate,
        episodes=len(evaluation.success), return_mean=evaluation.return_mean, failure_modes=evaluation.failures,
    )  # fmt: skip


def _passed(before: int, now: int, every: int) -> bool:
    return before // every < now // every


def _under(mapping: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in mapping.items() if key.startswith(prefix)}
