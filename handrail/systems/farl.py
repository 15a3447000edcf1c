"""FARL (arXiv 2601.07821): a policy that is fine-tuned online by PPO, with somebody who sees a failure coming.

At every step the world model predicts C_H of the action that the policy proposes; above eps_safe the recovery policy
acts. World model and recovery policy are frozen, only the task policy learns. `METHODS` says what the others change:
who watches, who helps, or how the policy learns. Bursts are committed (ours): a switch at every step chatters. What PPO
learns from a recovered step is the proposed action with what came of it (Recovery RL's relabelling), so that whoever
watches is a part of the world that the policy acts in. FARL stores the executed action, `farl-store`: the policy then
learns to do the opposite of help that costs time, and calls for ever more of it (docs/farl.md). A step of help has a
price (ours): where rescue is free, nothing tells the policy to stay out of trouble.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from handrail.assist import LookAhead, PolicyRecovery, Rejection, SafetyQMonitor, Threshold, YokedTrigger
from handrail.assist.imagination import mean_of
from handrail.assist.mppi import MPPI, MPPIConfig
from handrail.assist.world_model import WorldModelMonitor
from handrail.core.clock import SECOND_NS, RealClock
from handrail.core.config import from_mapping
from handrail.core.contracts import Monitor, Policy, Recovery, Trigger
from handrail.core.errors import InvalidValueError
from handrail.core.seeds import DEVELOPMENT_ENV_SEEDS, EVALUATION_ENV_SEEDS, training_env_seed
from handrail.core.values import Array, Step
from handrail.learn.ppo import PPO, PPOConfig
from handrail.learn.world_model import WindowSampler
from handrail.nets import one_thread
from handrail.run import Supervised, Supervisor
from handrail.run.evaluate import Evaluation
from handrail.run.folder import RunFolder
from handrail.run.lockstep import Foreseen, lockstep
from handrail.run.record import record, recorded_env_seeds
from handrail.store import DatasetWriter, checkpoint
from handrail.store.metrics import episode_summary
from handrail.store.safety_metrics import bursts, failed, preventive, recovery_rate
from handrail.store.trajectories import Trajectories, concatenate
from handrail.systems import farl_offline
from handrail.systems.farl_data import ACTIONS, FEATURES
from handrail.systems.farl_film import film_prevented
from handrail.systems.farl_offline import LANES, Artefacts, OfflineConfig, learnable, paid
from handrail.systems.named import Known
from handrail.systems.progress import Progress
from handrail.tasks import make
from handrail.tasks.base import PoseNoise
from handrail.tasks.failurebench.sawyer import SawyerTask

TASKS = ("BoundedPush", "BoundedSoccer", "FragilePushWall", "ObstructedPush")


@dataclass(frozen=True)
class Method:
    """What distinguishes the methods of the table.

    Attributes:
        watcher: "world-model", "safety-q", "oracle", "yoked" (FARL's own bursts at random times), or "" for nobody.
        helper: "policy" (the recovery policy), "mppi" or "reject" (stand still).
        refit: the world model goes on learning from the online stream.
        stored: the policy learns from the executed action, and pays nothing for help, as FARL publishes it.
        priced: a fixed price for a failure in the reward.
        constrained: PPO-Lagrangian.
    """

    watcher: str = ""
    helper: str = "policy"
    refit: bool = False
    stored: bool = False
    priced: bool = False
    constrained: bool = False


METHODS_BY_NAME = {
    "ppo": Method(),
    "farl": Method("world-model"),
    "ppo-lagrangian": Method(constrained=True),
    "oracle": Method("oracle"),
    "random": Method("yoked"),
    "ppo-penalty": Method(priced=True),
    "farl-refit": Method("world-model", refit=True),
    "farl-store": Method("world-model", stored=True),
    "safety-q": Method("safety-q"),
    "mppi": Method("world-model", helper="mppi"),
    "reject": Method("world-model", helper="reject"),
}
METHODS = tuple(METHODS_BY_NAME)

MAIN = ("ppo", "farl", "ppo-lagrangian", "oracle", "random")
PLAN: dict[str, dict[str, tuple[str, ...]]] = {
    "smoke": dict.fromkeys(TASKS, MAIN[:2]),
    "quick": dict.fromkeys(TASKS, ("ppo", "farl", "random")),
    "standard": {task: MAIN if task in ("BoundedSoccer", "FragilePushWall") else METHODS for task in TASKS},
    "paper": dict.fromkeys(TASKS, MAIN[:2]),
}
"""What each budget asks for: the ablations on two tasks, the paper's size for the headline pair."""
AFTER = {"random": "farl"}
"""Method -> the one whose run it starts from: random bursts are as many and as long as those of FARL."""
HEADLINE = "farl"
HEADLINE_METHODS: tuple[str, ...] = ()  # three run seeds each
COLUMNS = (
    "failure_reduction", "gap_closed", "return_ratio",
    "failure_episode_rate", "failures_per_1000_steps", "failure_steps", "return_normalised", "success_rate_autonomous",
    "assistant_rate", "recovery_rate", "auroc", "recall_lead5", "ece",
)  # fmt: skip
SHIFTS: dict[str, dict[str, float]] = {"range": {"object_range_scale": 1.1}, "friction": {"friction_scale": 0.7}}
"""Conditions that the final policy was not trained in (ours): name -> options of the task."""
ORACLE_TRUST = 3  # steps for which a look-ahead of the oracle that found nothing stands (ours)
SETTLED_STEPS = 10  # a burst has recovered when nothing is violated until so many steps after it


@dataclass(frozen=True)
class FarlConfig:
    """One training run.

    Attributes:
        online_steps: environment steps; the last round of whole episodes may go over.
        every: online steps between two checks on development seeds; checkpoints and refits fall there too.
        evaluate_episodes, final_episodes: of the checks, of the evaluation that the table reports.
        record_every: every n-th training episode is kept on disk, without images.
        leave_share: a burst ends where C_H is at most this share of eps_safe.
        min_steps, max_steps: length of a burst (ours; the authors' clips show 2 to 10). Longer bursts protect no better
            and cost success: docs/farl.md.
        penalty: price of a step in violation for `ppo-penalty`, in units of the task's reward (ours, of four tried).
        help_penalty: price of a step of help, likewise (ours; after RLIF, Luo et al. 2023, where an intervention
            is the only reward): a policy that is rescued for nothing goes on needing it.
        cost_limit: steps in violation an episode that `ppo-lagrangian` may make (ours).
        safety_eps: threshold of the model-free risk (ours, of four tried; Recovery RL uses 0.1 to 0.35).
        refit_updates: updates of the world model at each refit of `farl-refit`.
        ppo: what it learns from a recovered step is the proposed action with what came of it; its prices and its
            constraint are those above.
        film: a prevented failure is filmed for the report; without, nothing is drawn, and no OpenGL library is needed.
    """

    online_steps: int = 200_000
    every: int = 20_000
    evaluate_episodes: int = 20
    final_episodes: int = 100
    record_every: int = 100
    leave_share: float = 1.0
    min_steps: int = 2
    max_steps: int = 20
    penalty: float = 30.0
    help_penalty: float = 5.0
    cost_limit: float = 0.1
    safety_eps: float = 0.05
    refit_updates: int = 1_000
    film: bool = True
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    ppo: PPOConfig = field(default_factory=partial(PPOConfig, recovered="relabel"))

    def __post_init__(self) -> None:
        for name in ("online_steps", "every", "evaluate_episodes", "final_episodes", "record_every"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name} is {getattr(self, name)}, the least is 1: give a larger number")


_STANDARD = FarlConfig()
BUDGETS: dict[str, FarlConfig] = {
    "smoke": replace(
        _STANDARD, online_steps=3_000, every=1_500, evaluate_episodes=4, final_episodes=8, record_every=5,
        offline=replace(
            _STANDARD.offline, task_demonstrations=10, failure_steps=1_500, recovery_demonstrations=8,
            calibration_episodes=60, clone_updates=200, evaluate_updates=50, improve_updates=20,
            world_model_updates=150, safety_updates=50,
        ),
        ppo=replace(_STANDARD.ppo, batch_size=1_000, epochs=2),
    ),
    "quick": replace(_STANDARD, online_steps=50_000, every=10_000, final_episodes=50),
    "standard": _STANDARD,
    "paper": replace(_STANDARD, online_steps=1_000_000, every=50_000, record_every=500),
}  # fmt: skip
KNOWN = Known("farl", TASKS, METHODS, BUDGETS)


class Training:
    """The state of one online phase: what `save` writes and `load` brings back, to go on bit for bit.

    Args:
        given: assistance levels (T,) of FARL's own episodes, for the yoked control.
    """

    def __init__(
        self, task: str, method: str, seed: int, config: FarlConfig, built: Artefacts, given: list[Array] | None = None
    ) -> None:
        self.task, self.method, self.seed, self.config, self.built = task, METHODS_BY_NAME[method], seed, config, built
        self.learner = PPO(self._ppo(), FEATURES, ACTIONS, seed)
        self.learner.start_from(built.policy)
        self.monitor = self._monitor()
        self.tasks: list[SawyerTask] = [make(task, noise=PoseNoise()) for _ in range(LANES)]
        self.alone = [Supervised(env) for env in self.tasks]
        levels = [(given or [])[lane::LANES] for lane in range(LANES)]
        self.supervised = [Supervised(env, self._supervisor(env, i, levels[i])) for i, env in enumerate(self.tasks)]
        self.episodes = self.steps = 0
        self.seen: list[Trajectories] = []  # since the last refit
        self.rng = np.random.default_rng([seed, 0xFA52])
        self._clock = RealClock()
        self._earlier_s, self._started_ns = 0.0, self._clock.now_ns()

    @property
    def wall_s(self) -> float:
        """Time spent on the online phase, over all the processes it took [s]."""
        return self._earlier_s + (self._clock.now_ns() - self._started_ns) / SECOND_NS

    def _ppo(self) -> PPOConfig:
        """The learner's configuration, as this method changes it."""
        config, method = self.config, self.method
        unit = config.offline.reward_scale
        changed: dict[str, Any] = {"help_penalty": config.help_penalty * unit}
        if method.stored:
            changed = {"recovered": "store"}
        if method.priced:
            changed["cost_penalty"] = config.penalty * unit
        if method.constrained:
            changed["cost_limit"] = config.cost_limit
        return replace(config.ppo, **changed)

    def _monitor(self) -> WorldModelMonitor | None:
        """The monitor that all lanes share, where they can."""
        if self.method.watcher != "world-model":
            return None
        found = self.built.calibration
        mean = mean_of(self.learner.actor)
        return WorldModelMonitor(self.built.world_model, mean, found.horizon, found.gamma_risk)

    def _supervisor(self, env: SawyerTask, lane: int, given: list[Array]) -> Supervisor:
        """Who watches and who helps in one lane."""
        watchers: dict[str, Monitor | None] = {"": None, "yoked": None}
        if self.monitor is not None:
            watchers["world-model"] = Foreseen(self.monitor)
        found = self.built.calibration
        watchers["safety-q"] = SafetyQMonitor(self.built.safety.risk, self.built.safety.risks)
        watchers["oracle"] = LookAhead(env, self.learner, found.horizon, 1.0, stop_at_first=True, trust=ORACLE_TRUST)
        trigger, watcher = self._trigger(lane, given), watchers[self.method.watcher]
        return Supervisor(watcher, trigger, self._recovery(env), assess_executed=False) if trigger else Supervisor()

    def _trigger(self, lane: int, given: list[Array]) -> Trigger | None:
        if self.method.watcher == "":
            return None
        if self.method.watcher == "yoked":
            return YokedTrigger(given, self.seed * LANES + lane)
        return self.threshold()

    def threshold(self) -> Threshold:
        """A trigger of this method's watcher."""
        eps = {"world-model": self.built.calibration.eps_safe, "safety-q": self.config.safety_eps, "oracle": 0.0}
        enter, config = eps[self.method.watcher], self.config
        return Threshold(enter, config.leave_share * enter, config.min_steps, config.max_steps)

    def _recovery(self, env: SawyerTask) -> Recovery:
        if self.method.helper == "mppi":
            return MPPI(self.built.world_model, MPPIConfig(), self.seed)
        return Rejection(env.hold) if self.method.helper == "reject" else PolicyRecovery(self.built.recovery)

    def round(self) -> Iterator[tuple[int, SawyerTask, list[Step]]]:
        """Whole episodes until a batch is full, each with env seed and task; then the policy learns from them."""
        seeds = (training_env_seed(self.seed, index) for index in count(self.episodes))
        explore = partial(self.learner.policy.actions, explore=True)
        assess = None if self.monitor is None else self.monitor.assess_batch
        taken: list[list[Step]] = []
        for seed, env, steps in lockstep(self.supervised, explore, seeds, self.config.ppo.batch_size, assess):
            taken.append(steps)
            self.episodes, self.steps = self.episodes + 1, self.steps + len(steps)
            task = env.unwrapped
            assert isinstance(task, SawyerTask)
            yield seed, task, steps
        data = learnable(Trajectories.of(taken), self.config.offline)
        self.losses = self.learner.update(data)
        if self.method.refit:
            self.seen.append(data)

    def refit(self) -> None:
        """The world model goes on learning, from the offline data and what was seen since the last time (ours)."""
        model, config = self.built.world_model, self.config.offline.world_model
        sampler = WindowSampler(concatenate([self.built.data, *self.seen]), config.horizon, config.positive_share)
        for _ in range(self.config.refit_updates):
            model.update(*sampler.sample(config.batch_size, self.rng))
        self.seen = []

    def evaluate(self, seeds: range, **shift: float) -> list[list[Step]]:
        """Episodes of the mean action on env `seeds`, in their order, nobody watching."""
        envs = [Supervised(make(self.task, noise=PoseNoise(), **shift)) for _ in range(LANES)] if shift else self.alone
        mean = partial(self.learner.policy.actions, explore=False)
        found = {seed: steps for seed, _, steps in lockstep(envs, mean, iter(seeds))}
        return [found[seed] for seed in seeds]

    # -- checkpoint --------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        arrays, meta = self.learner.state()
        learners = {"learner": (arrays, meta)}
        if self.method.refit:
            learners["world_model"] = self.built.world_model.state()
        tensors = {f"{name}/{key}": value for name, (arrays, _) in learners.items() for key, value in arrays.items()}
        triggers = [lane.supervisor.trigger for lane in self.supervised]
        yoked = [trigger.state() for trigger in triggers if isinstance(trigger, YokedTrigger)]
        counters = {"steps": self.steps, "episodes": self.episodes, "wall_s": self.wall_s}
        states = {
            "rng": self.rng.bit_generator.state,
            "yoked": yoked,
            "learners": {n: m for n, (_, m) in learners.items()},
        }
        checkpoint.save(folder, tensors, {"task": self.task, "seed": self.seed} | counters | states)

    def load(self, folder: Path) -> None:
        """Raises CheckpointError where the checkpoint is missing, damaged or of another task."""
        arrays, meta = checkpoint.load(folder, task=self.task)
        for name, state in meta["learners"].items():
            learner = self.learner if name == "learner" else self.built.world_model
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
            learner.load_state(own, state)
        triggers = [lane.supervisor.trigger for lane in self.supervised]
        yoked = [trigger for trigger in triggers if isinstance(trigger, YokedTrigger)]
        for trigger, state in zip(yoked, meta["yoked"], strict=True):
            trigger.load_state(state)
        self.steps, self.episodes, self._earlier_s = meta["steps"], meta["episodes"], meta["wall_s"]
        self.rng.bit_generator.state = meta["rng"]


def run(
    *,
    task: str,
    method: str,
    seed: int,
    budget: str,
    folder: Path,
    resume: bool = True,
    config: FarlConfig | None = None,
) -> dict[str, Any]:
    """Run the online phase of one method, evaluate it, and return its result. The offline phase is built if missing.

    Args:
        folder: a folder METHOD/seed-N shares its offline phase with other methods, in `../../offline/seed-N`; any
            other holds its own.
        config: replaces the budget's, whose name may then be any.

    Raises:
        UnknownNameError: no such task, method or budget.
        CheckpointError: `folder` holds another run, or one that was begun with another configuration.
        InvalidValueError: the yoked control without a finished run of FARL beside it.
    """
    names = KNOWN.names(task, method, seed, budget, any_budget=config is not None)
    one_thread()
    out, config = RunFolder(folder), config or BUDGETS[budget]
    if resume and (result := out.finished(names)) is not None:
        return result
    with Progress(f"{method} on {task}, seed {seed}", config.online_steps) as progress:
        training = _training(names, config, folder, progress)
        if resume and out.has_checkpoint():
            out.require_same({**names, "config": asdict(config)})
            training.load(out.checkpoint)
            out.rewind(training.steps)
        else:
            out.clear()
            out.write_config({**names, "config": asdict(config)})
        _train(training, out, progress)
        return _finish(training, out, names, progress)


def _training(names: dict[str, Any], config: FarlConfig, folder: Path, progress: Progress) -> Training:
    task, method, seed = names["task"], names["method"], names["seed"]
    built = farl_offline.build(
        task, seed, config.offline, folder.parents[1] / "offline" / f"seed-{seed}", progress.note
    )
    given = _given(folder.parents[1] / "farl" / f"seed-{seed}") if METHODS_BY_NAME[method].watcher == "yoked" else None
    return Training(task, method, seed, config, built, given)


def _given(farl: Path) -> list[Array]:
    """The assistance levels of the episodes of a finished run."""
    if not (farl / "result.json").is_file():
        raise InvalidValueError(
            f"{farl} holds no finished run, random is yoked to it: run method farl of this seed first"
        )
    levels = []
    for line in RunFolder.open(farl).lines("episode"):
        level = np.zeros(line["length"])
        for start, length in line["bursts"]:
            level[start : start + length] = 1.0
        levels.append(level)
    return levels


def _train(training: Training, out: RunFolder, progress: Progress) -> None:
    config = training.config
    with DatasetWriter(out.episodes, SawyerTask.fps) as writer:
        recorded = recorded_env_seeds(out.episodes)
        if training.steps == 0:
            _evaluate(training, out)
        while training.steps < config.online_steps:
            before = training.steps
            for seed, task, steps in training.round():
                _log_episode(training, out, task, steps)
                progress.update(training.steps, steps)
                if training.episodes % config.record_every == 0 and seed not in recorded:
                    record(writer, steps, task, env_seed=seed, run_seed=training.seed, policy_version=str(before))
            out.log("update", online_steps=training.steps, **training.losses)
            if before // config.every < training.steps // config.every:
                if training.method.refit:
                    training.refit()
                _evaluate(training, out)
                out.sync()
                training.save(out.checkpoint)


def _log_episode(training: Training, out: RunFolder, task: SawyerTask, steps: list[Step]) -> None:
    summary = episode_summary(steps, task.fps, task.failure_kind())
    in_time = len(preventive(steps))
    recovered = round((recovery_rate([steps], SETTLED_STEPS) or 0.0) * in_time)
    out.log(
        "episode", episode=training.episodes, online_steps=training.steps, **summary,
        bursts=[[burst.start, len(burst)] for burst in bursts(steps)], in_time=in_time, recovered=recovered,
    )  # fmt: skip


def _evaluate(training: Training, out: RunFolder) -> None:
    """The policy alone on development seeds, on the way."""
    episodes = training.evaluate(DEVELOPMENT_ENV_SEEDS[: training.config.evaluate_episodes])
    out.log("evaluation", online_steps=training.steps, episodes=len(episodes), **_alone(training, episodes))


def _alone(training: Training, episodes: list[list[Step]]) -> dict[str, Any]:
    """Success, return and failures of episodes that nobody watched."""
    cap, expert = training.tasks[0].horizon, training.built.expert_return
    returns = [round(paid(steps, cap) / expert, 4) for steps in episodes]
    return {
        "success_rate": float(np.mean([steps[-1].success for steps in episodes])),
        "return_normalised": float(np.mean(returns)),
        "failure_rate": float(np.mean([failed(steps) for steps in episodes])),
        "return_mean": float(np.mean([sum(step.reward for step in steps) for steps in episodes])),
        "failure_modes": {training.tasks[0].violation: sum(map(failed, episodes))},
        "returns": returns,
    }


def _finish(training: Training, out: RunFolder, names: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Save the policy, evaluate it on the evaluation seeds and in shifted conditions, and write the result."""
    out.sync()
    training.save(out.checkpoint)
    seeds = EVALUATION_ENV_SEEDS[: training.config.final_episodes]
    progress.note("evaluating alone")
    episodes = training.evaluate(seeds)
    final = _alone(training, episodes)
    shifted = {name: _alone(training, training.evaluate(seeds, **options)) for name, options in SHIFTS.items()}
    keys = ("success_rate", "return_normalised", "failure_rate")
    if training.config.film and names["method"] == HEADLINE:
        progress.note("filming a prevented failure")
        film_prevented(training.task, training.built, training.threshold(), out.prevented)
    return out.write_result(
        {
            **names, "online_steps": training.steps, "episodes": training.episodes,
            "success_rate_autonomous": final["success_rate"],
            "episodes_success": [int(steps[-1].success) for steps in episodes],
            "return_normalised": final["return_normalised"], "episodes_return": final["returns"],
            "return_mean": final["return_mean"], "failure_rate_autonomous": final["failure_rate"],
            "failure_modes": final["failure_modes"],
            **{f"{key}_{name}": found[key] for name, found in shifted.items() for key in keys},
            **_online_numbers(out), **_foresight(training),
            "collected": {kind: asdict(tally) for kind, tally in training.built.tallies.items()},
            "wall_s": round(training.wall_s, 1),
        }
    )  # fmt: skip


def _online_numbers(out: RunFolder) -> dict[str, Any]:
    """Failures and help of the online phase."""
    lines = list(out.lines("episode"))
    steps, failing = sum(line["length"] for line in lines), sum(line["failures"] > 0 for line in lines)
    in_time = sum(line["in_time"] for line in lines)
    return {
        "success_rate_assisted": float(np.mean([line["success"] for line in lines])),
        "failure_episodes": failing,
        "failure_episode_rate": failing / len(lines),
        "failures_per_1000_steps": 1000.0 * failing / steps,
        "failure_steps": sum(line["failures"] for line in lines),
        "bursts": sum(len(line["bursts"]) for line in lines),
        "recovery_rate": sum(line["recovered"] for line in lines) / in_time if in_time else None,
        "assistant_rate": sum(line["assistant_steps"] for line in lines) / steps,
        **dict.fromkeys(("intervention_rate", "intervention_rate_first", "intervention_rate_last"), 0.0),
        "takeovers": 0, "operator_seconds": 0.0, "operator_seconds_to_80": None,
    }  # fmt: skip


def _foresight(training: Training) -> dict[str, Any]:
    """Quality of C_H on the calibration episodes that chose nothing, where the method watches with it."""
    if training.method.watcher != "world-model":
        return dict.fromkeys(("auroc", "recall_lead5", "ece", "calibration_curve"))
    found, curve = training.built.held_out, asdict(training.built.curve)
    return {
        "auroc": found.auroc, "recall_lead5": found.recall, "ece": found.ece,
        "calibration_curve": {name: values.round(4).tolist() for name, values in curve.items()},
    }  # fmt: skip


def evaluate_run(folder: Path, seeds: range) -> Evaluation:
    """Evaluate the last checkpoint of the run in `folder`, alone, on env `seeds`."""
    training = _loaded(folder)
    episodes = training.evaluate(seeds)
    failures = sum(failed(steps) for steps in episodes)
    return Evaluation(
        success=[int(steps[-1].success) for steps in episodes],
        returns=[float(sum(step.reward for step in steps)) for steps in episodes],
        lengths=[len(steps) for steps in episodes],
        failures={training.tasks[0].violation: failures} if failures else {},
    )


def load_policy(folder: Path) -> Policy:
    """The task policy of the last checkpoint of the run in `folder`."""
    return _loaded(folder).learner


def load_monitor(folder: Path) -> Monitor:
    """The world-model monitor of the run in `folder`, for its last policy."""
    training = _loaded(folder)
    found = training.built.calibration
    return WorldModelMonitor(
        training.built.world_model, mean_of(training.learner.actor), found.horizon, found.gamma_risk
    )


def _loaded(folder: Path) -> Training:
    out = RunFolder.open(folder)
    names = out.read_config()
    config = from_mapping(FarlConfig, names["config"])
    with Progress(names["method"], 0) as progress:
        training = _training(names, config, folder, progress)
    training.load(out.checkpoint)
    return training
