"""Guided bimanual teleoperation (arXiv 2602.01092): a person drives two arms, a conservative value says how it stands.

The score of a critic that was learnt from past teleoperation, successes and failures, sets how strongly an actor's
correction is rendered on the leaders; the person's hands are compliant, and their command is always what the hands do.
The paper's equations are not public: ours are ours. Nothing is learnt online: a run collects, trains and calibrates
once for each (task, run seed), and evaluates one method on held-out persons, who are the same for all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from handrail.assist.success_score import LATELY
from handrail.core.clock import SECOND_NS, RealClock
from handrail.core.config import from_mapping
from handrail.core.errors import CheckpointError, InvalidValueError, RenderError
from handrail.core.values import Step
from handrail.learn.bc import BCConfig
from handrail.nets import one_thread
from handrail.run import Assist
from handrail.run.folder import RunFolder
from handrail.systems import guided_methods, guided_offline
from handrail.systems.guided_film import record_comparison, worth_seeing
from handrail.systems.guided_measures import Heldout, checks, mean, score_numbers, told
from handrail.systems.guided_methods import METHODS_BY_NAME, AssistConfig
from handrail.systems.guided_offline import Artefacts, OfflineConfig, People, evaluation_visits
from handrail.systems.guided_station import Outcome, Station, Visit
from handrail.systems.named import Known
from handrail.systems.progress import Progress
from handrail.tasks.bimanual.base import BimanualTask

TASKS = (
    "TransferCube", "PegInsertion", "TrayCarry", "BoxStack", "DrawerPlace", "LidOpen", "PenPick", "PlugSocket", "Pour",
    "TowelFold",
)  # fmt: skip
METHODS = tuple(METHODS_BY_NAME)
FOUR_TASKS = ("PegInsertion", "TrayCarry", "BoxStack", "DrawerPlace")
"""Where the privileged bound, the other baselines and the ablations are measured as well."""
MAIN = ("unassisted", "blending", "bc-copilot", "ours")
PLAN: dict[str, dict[str, tuple[str, ...]]] = {
    "smoke": dict.fromkeys(TASKS, ("unassisted", "ours")),
    "quick": dict.fromkeys(TASKS, ("unassisted", "bc-copilot", "ours")),
    "standard": {task: METHODS if task in FOUR_TASKS else MAIN for task in TASKS},
    "paper": dict.fromkeys(TASKS, MAIN),
}
HEADLINE = "ours"
HEADLINE_METHODS: tuple[str, ...] = ()  # three run seeds each
COLUMNS = (
    "success", "gain", "time_ratio", "authority",
    "irreversible_failure", "completion_time", "effort", "transparency", "false_assist", "auroc", "failure_auroc",
    "lead_s", "called", "false_alarms", "ece", "success_novice", "success_expert",
)  # fmt: skip
CHECKS = ("ood_lower", "ood_gap", "captured", "raised", "raises", "furthest", "furthest_m", "furthest_rad")
SHIFTS: dict[str, dict[str, float]] = {
    "slippery": {"friction_scale": 0.5},
    "sticky": {"friction_scale": 2.0},
    "heavy": {"mass_scale": 1.5},
    "spread": {"pose_range_scale": 1.3},
}
"""Conditions that nothing was trained in: name -> options of the task."""
SHIFTED_METHODS = ("unassisted", "ours")


@dataclass(frozen=True)
class GuidedConfig:
    """One run: what is collected and trained, how methods assist, how many come in shifted conditions.

    Attributes:
        shifted: held-out ordinary persons of each shifted condition, one episode each; 0 leaves the conditions out.
        film: the same episode alone and assisted is filmed for the report.
    """

    offline: OfflineConfig = field(default_factory=OfflineConfig)
    assist: AssistConfig = field(default_factory=AssistConfig)
    shifted: int = 10
    film: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.shifted <= 100:
            raise InvalidValueError(f"shifted is {self.shifted}, must be in 0..100: there are 100 evaluation persons")


_STANDARD = GuidedConfig()
_ONE, _TWO = People((1, 1), (1, 1), (1, 1)), People((2, 1), (2, 1), (2, 1))
BUDGETS: dict[str, GuidedConfig] = {
    "smoke": replace(
        _STANDARD, shifted=0,
        offline=replace(
            _STANDARD.offline, teleoperation=_TWO, calibration=_ONE, held_out=_ONE, authority_each=1,
            copilot_updates=50, horizon=100, cql=replace(_STANDARD.offline.cql, updates=50),
            places=replace(_STANDARD.offline.places, updates=50),
            copilot=BCConfig(horizon=2, hidden=(32, 32)),
        ),
    ),
    "quick": replace(
        _STANDARD, shifted=0,
        offline=replace(
            _STANDARD.offline, teleoperation=People((30, 1), (60, 1), (30, 1)), held_out=People((2, 2), (8, 2), (2, 2)),
            authority_each=1, cql=replace(_STANDARD.offline.cql, updates=8_000), copilot_updates=2_000,
        ),
    ),
    "standard": _STANDARD,
    "paper": replace(
        _STANDARD,
        offline=replace(
            _STANDARD.offline, teleoperation=People((200, 1), (400, 1), (200, 1)),
            cql=replace(_STANDARD.offline.cql, updates=100_000),
        ),
    ),
}  # fmt: skip
EPISODES_EACH = {name: config.offline.held_out.ordinary[1] for name, config in BUDGETS.items()}
"""Of an ordinary held-out person: their numbers are the method's."""
KNOWN = Known("guided-teleop", TASKS, METHODS, BUDGETS)


def run(
    *,
    task: str,
    method: str,
    seed: int,
    budget: str,
    folder: Path,
    resume: bool = True,
    config: GuidedConfig | None = None,
) -> dict[str, Any]:
    """Evaluate one method on held-out persons and return its result; what it needs is built if it is missing.

    Args:
        folder: a folder METHOD/seed-N shares data, learners and held-out persons with other methods of the task, in
            `../../offline`; any other holds its own, in `offline`.
        resume: go on with the episodes that are on record there.
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
    if not resume:
        out.clear()
    out.go_on({**names, "config": asdict(config)})
    with Progress(f"{method} on {task}, seed {seed}", len(evaluation_visits(config.offline))) as progress:
        evaluation = Evaluation(names, config, folder, progress.note)
        return out.write_result(evaluation.result(out, progress))


class Evaluation:
    """One method on one task with one run seed, and everything that it needs.

    Args:
        evaluated: held-out persons are wanted, to compare with.
    """

    def __init__(
        self,
        names: dict[str, Any],
        config: GuidedConfig,
        folder: Path,
        say: Callable[[str], None] = lambda text: None,
        evaluated: bool = True,
    ) -> None:
        self.names, self.config = names, config
        self.task, self.method, self.seed = str(names["task"]), str(names["method"]), int(names["seed"])
        learner, offline = METHODS_BY_NAME[self.method].learner, offline_of(names, folder)
        self.built: Artefacts = guided_offline.build(
            self.task, self.seed, config.offline, offline, learner, say, evaluated
        )
        self.gate = guided_methods.gate_of(self.method, self.built, config.offline.gate)

    def station(self, assist: Assist = "on", **options: Any) -> Station:
        """Where the method assists; `options` are of the task."""
        known = self.config.offline.task_options() | options
        gate = self.config.offline.gate
        return guided_methods.station(self.task, self.method, self.config.assist, self.built, gate, assist, **known)

    def result(self, out: RunFolder, progress: Progress) -> dict[str, Any]:
        """Evaluate what is left of it."""
        clock = RealClock()
        started_ns = clock.now_ns()
        visits, alone = evaluation_visits(self.config.offline), self.built.alone
        outcomes = alone if self.method == "unassisted" else self._evaluated("nominal", visits, out, progress)
        found = told(outcomes, alone) | self._shifted(out, progress) | self._score()
        if self.config.film and METHODS_BY_NAME[self.method].toward:
            self._film(worth_seeing(outcomes, alone), out, progress)
        return {
            **self.names, "online_steps": 0, "episodes": len(outcomes), "knows_the_goal": int(self._knows_the_goal()),
            **dict.fromkeys(("success_rate_autonomous", "return_mean", "assistant_rate")),
            "success_rate_assisted": found["success"], "takeovers": 0, "operator_seconds_to_80": None,
            **dict.fromkeys(("intervention_rate", "intervention_rate_first", "intervention_rate_last"), None),
            "operator_seconds": float(sum(one.time_s for one in outcomes)), **found,
            "collected": {"people": self.built.tally, "gate": asdict(self.gate)},
            "wall_s": round((clock.now_ns() - started_ns) / SECOND_NS, 1),
        }  # fmt: skip

    def _knows_the_goal(self) -> bool:
        return self.method in guided_methods.PRIVILEGED

    def _evaluated(
        self, condition: str, visits: list[Visit], out: RunFolder, progress: Progress, **options: float
    ) -> list[Outcome]:
        """Every visit's outcome, in order; those on record in the run folder are read."""
        found = [from_mapping(Outcome, line["outcome"]) for line in out.lines(condition)]
        if len(found) < len(visits):
            station = self.station("on", **options)
            for visit in islice(visits, len(found), None):
                outcome, steps = station.run(visit)
                found.append(outcome)
                out.log(condition, outcome=asdict(outcome))
                progress.update(len(found), steps)
            out.sync()
        return found

    def _shifted(self, out: RunFolder, progress: Progress) -> dict[str, Any]:
        """Ordinary persons in conditions that nothing was trained in."""
        found: dict[str, Any] = {}
        if self.method not in SHIFTED_METHODS or not self.config.shifted:
            return found
        people = replace(self.config.offline.held_out, ordinary=(self.config.shifted, 1))
        first = evaluation_visits(replace(self.config.offline, held_out=people))[: self.config.shifted]
        for name, options in SHIFTS.items():
            outcomes = self._evaluated(name, first, out, progress, **options)
            found[f"success_{name}"] = mean([one.success for one in outcomes])
            found[f"irreversible_failure_{name}"] = mean([one.irreversible for one in outcomes])
            found[f"completion_time_{name}"] = mean([one.time_s for one in outcomes if one.success])
        return found

    def _film(self, visit: Visit, out: RunFolder, progress: Progress) -> None:
        """The same episode twice; a machine that cannot draw goes without."""
        progress.note("filming")
        try:
            record_comparison(self.station("shadow"), self.station(), visit, out.comparison)
        except RenderError as error:
            shutil.rmtree(out.comparison, ignore_errors=True)
            progress.note(f"no film: {error}")

    def _score(self) -> dict[str, Any]:
        """What the method's score says of held-out persons alone; nothing where the method has none."""
        what = METHODS_BY_NAME[self.method]
        if not what.toward or self._knows_the_goal():
            return {}
        score = guided_methods.score_of(self.method, self.built)
        monitor = guided_methods.monitor_of(self.method, score, self.built)
        trigger = guided_methods.trigger_of(self.method, self.config.assist, self.built, self.config.offline.gate)
        episodes = self._held_out()
        seen = Heldout(episodes, [monitor.assess_many(steps) for steps in episodes])
        found = score_numbers(seen, trigger, self.config.offline.cql.horizon, BimanualTask.fps)
        if (what.level, what.toward) != ("gate", "place"):  # there is one such method for each learner
            return found
        guide = guided_methods.place_guide(score, self.built, self.config.assist)
        corrected = [
            guide.target(step.observation, step.action, steps[max(0, index - LATELY)].action)
            for steps in episodes for index, step in enumerate(steps)
        ]  # fmt: skip
        return found | checks(score.learner, seen, np.array(corrected, np.float32), self.seed)

    def _held_out(self) -> list[list[Step]]:
        """Episodes of the held-out persons alone, with the goals that they meant first."""
        people, count = self.built.held_out, sum(not one.visit.switched for one in self.built.alone)
        return [] if people is None else [people.episode(index).steps() for index in range(count)]


def offline_of(names: Mapping[str, Any], folder: Path) -> Path:
    """Where the run in `folder` has what was collected and trained."""
    own = f"seed-{names['seed']}"
    shared = (folder.resolve().parent.name, folder.name) == (names["method"], own)
    return (folder.resolve().parents[1] if shared else folder) / "offline" / own


def load(folder: Path) -> Evaluation:
    """The method of a run that has been trained, ready to assist.

    Raises:
        CheckpointError: `folder` holds no run, or what the run has learnt is not there.
    """
    names = RunFolder.open(folder).read_config()
    offline, learner = offline_of(names, folder), METHODS_BY_NAME[names["method"]].learner
    if absent := guided_offline.absent(offline, learner):
        raise CheckpointError(
            f"{folder} has no '{absent}' in {offline}, where the run keeps what it has learnt: copy that folder along, "
            "or train the run again"
        )
    return Evaluation(names, from_mapping(GuidedConfig, names["config"]), folder, evaluated=False)
