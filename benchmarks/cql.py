"""Our CQL against d3rlpy's (Seno & Imai 2022) on the same data: quality and updates a second, on one thread each.

d3rlpy has an environment of its own, because its dependencies (gymnasium 1.0, gym) are not ours:

    python3 -m venv /tmp/d3rlpy && /tmp/d3rlpy/bin/pip install torch==2.13.0 d3rlpy==2.8.1
    python benchmarks/cql.py --peer /tmp/d3rlpy/bin/python

Without `--peer` only ours is measured. Both: float32, batch 128, two critics, two hidden layers of 128, 3 x 4 sampled
actions, the same weight of the conservative term, one-step targets, one update of critics, actor and targets a batch,
sampling included. They take turns, so that a slower machine slows both; the ratio is the median over turns.

The world is a point mass that must pass a pillar to reach a goal; touching the pillar ends the episode. Half of the
driver's episodes succeed. Judged on fresh episodes of the same driver: does Q tell those that succeed (AUROC over
steps), how much lower is it for uniform actions than for the driver's (in units of its 5th to 95th percentile), and how
often does the driver succeed who is moved half of the way from their own action to the actor's: helping is what the
actor of guided teleoperation is for. d3rlpy's actor does not see the driver's action.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from idle import Quiet, parser, refuse, report

from handrail.assist.calibration import auroc
from handrail.core.values import Array
from handrail.learn.cql import CQL, CQLConfig
from handrail.learn.cql_data import CQLSampler
from handrail.nets import one_thread
from handrail.store.trajectories import Trajectories

CONFIG = CQLConfig(
    relative_to="",
    n_step=1,
    timeout_fails=False,
    discount=0.99,
    hidden=(128, 128),
    feature_noise=0.0,
    bound=1.0,
    eta=0.0,
    clone=0.0,
    noise=1.0,
)
SHARED = ("batch_size", "discount", "tau", "learning_rate", "draws", "alpha", "hidden")
PILLAR_M, GOAL, GOAL_M, HORIZON = 0.35, np.array([1.0, 0.0]), 0.15, 80
Act = Callable[[Array], Array]
Value = Callable[[Array, Array], Array]  # of states and actions
Correct = Callable[[Array, Array], Array]  # states, the driver's actions -> the actor's


@dataclass
class Driver:
    """Heads for the goal past one side of the pillar; every episode has its own bias, speed and side."""

    rng: np.random.Generator
    count: int

    def __post_init__(self) -> None:
        self.side = self.rng.choice([-1.0, 1.0], self.count)
        self.clearance = self.rng.normal(0.42, 0.12, self.count)
        self.speed = self.rng.uniform(0.6, 1.0, self.count)

    def __call__(self, s: Array) -> Array:
        beside = np.stack([np.zeros(self.count), self.side * self.clearance], 1)
        to = np.where((s[:, 0] < 0.0)[:, None], beside, GOAL) - s[:, :2]
        wanted = self.speed[:, None] * to / np.maximum(np.linalg.norm(to, axis=1, keepdims=True), 0.2)
        noise = 0.3 * self.rng.standard_normal((self.count, 2))
        return np.clip(wanted - 4.0 * s[:, 2:] + noise, -1.0, 1.0).astype(np.float32)


def episodes(act: Act, count: int, rng: np.random.Generator) -> Trajectories:
    """`count` episodes under actions `act` gives at states (count, 4), one after the other."""
    place = np.stack([rng.uniform(-1.2, -0.8, count), rng.uniform(-0.5, 0.5, count)], 1)
    s, alive = np.concatenate([place, np.zeros((count, 2))], 1).astype(np.float32), np.ones(count, bool)
    rows: list[tuple[Array, ...]] = []
    for step in range(HORIZON):
        a = act(s)
        velocity = 0.8 * s[:, 2:] + 0.04 * np.clip(a, -1.0, 1.0)
        after = np.concatenate([s[:, :2] + velocity, velocity], 1).astype(np.float32)
        won = np.linalg.norm(after[:, :2] - GOAL, axis=1) < GOAL_M
        lost = ~won & (np.linalg.norm(after[:, :2], axis=1) < PILLAR_M)
        over = won | lost
        rows.append((s, after, a, won, lost, over, over | (step == HORIZON - 1), alive))
        s, alive = after, alive & ~over
    columns = [np.stack(column, 1) for column in zip(*rows, strict=True)]
    kept = columns.pop().reshape(-1)
    s, after, a, won, lost, over, last = (c.reshape(count * HORIZON, *c.shape[2:])[kept] for c in columns)
    reward, cost = won.astype(np.float32), lost.astype(np.float32)
    return Trajectories({"state": s}, {"state": after}, a, a, reward, cost, over, last, np.zeros(len(s), np.int64))


class Ours:
    """Handrail's learner."""

    def __init__(self, data: Trajectories, config: CQLConfig, seed: int) -> None:
        self.learner, self.rng = CQL(config, {"state": 4}, 2, seed), np.random.default_rng(seed)
        self.learner.fit_normaliser(data.batch())
        self.sampler = CQLSampler(data, config)

    def fit(self, updates: int) -> float:
        started = time.perf_counter()
        for _ in range(updates):
            self.learner.update(self.sampler.sample(self.learner.config.batch_size, self.rng))
        return time.perf_counter() - started

    def value(self, s: Array, a: Array) -> Array:
        return self.learner.values({"state": s}, a)[0]

    def correct(self, s: Array, a: Array) -> Array:
        return self.learner.corrected({"state": s}, a)


class Theirs:
    """d3rlpy's learner, in a process of the environment that it is installed in."""

    def __init__(self, python: Path, data: Trajectories, config: CQLConfig, seed: int, folder: Path) -> None:
        self._folder = folder
        script = Path(__file__).parent / "peers" / "d3rlpy_cql.py"
        self._process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        np.savez(
            folder / "data.npz", s=data.observation["state"], a=data.action, reward=data.reward,
            terminal=data.terminated.astype(np.float32), timeout=(data.last & ~data.terminated).astype(np.float32),
        )  # fmt: skip
        settings = {name: getattr(config, name) for name in SHARED} | {"seed": seed}
        self.versions = self._ask("begin", data=str(folder / "data.npz"), config=settings)

    def fit(self, updates: int) -> float:
        return self._ask("fit", updates=updates)["seconds"]

    def value(self, s: Array, a: Array) -> Array:
        return self._array("value", s=s, a=a)

    def correct(self, s: Array, a: Array) -> Array:
        return self._array("act", s=s)

    def close(self) -> None:
        """End the process; only then does its time count as the benchmark's own."""
        self._process.communicate()

    def _array(self, do: str, **rows: Array) -> Array:
        given, out = self._folder / "rows.npz", self._folder / "out.npy"
        np.savez(given, allow_pickle=False, **rows)
        self._ask(do, rows=str(given), out=str(out))
        return np.load(out)

    def _ask(self, do: str, **asked: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **asked}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            refuse(f"the peer ended at '{do}': install d3rlpy in the environment of --peer, see the docstring")
        return json.loads(answer)


def quality(value: Value, correct: Correct, held_out: Trajectories, seed: int) -> dict[str, float]:
    """What Q and the actor are worth on episodes that nobody learnt from."""
    rng = np.random.default_rng(seed)
    s = held_out.observation["state"]
    q, q_uniform = value(s, held_out.action), value(s, rng.uniform(-1, 1, held_out.action.shape).astype(np.float32))
    low, high = np.percentile(q, [5, 95])
    chance, driver = np.random.default_rng([seed, 1]), Driver(np.random.default_rng([seed, 2]), 400)

    def helped(s: Array) -> Array:
        a = driver(s)
        return a + 0.5 * (correct(s, a) - a)

    won = episodes(helped, 400, chance).reward.sum()
    return {
        "auroc": round(auroc(q, held_out.ended_well()), 3),
        "gap": round(float((q - q_uniform).mean() / max(high - low, 1e-6)), 3),
        "q_low": round(float(low), 3),
        "q_high": round(float(high), 3),
        "helped_success": round(float(won) / 400, 3),
    }


def main() -> int:
    flags = parser((__doc__ or "").splitlines()[0])
    flags.add_argument("--peer", type=Path, metavar="PYTHON", help="Python of an environment with d3rlpy")
    flags.add_argument("--updates", type=int, default=5_000, help="of each learner")
    flags.add_argument("--turns", type=int, default=10)
    flags.add_argument("--episodes", type=int, default=300, help="to learn from")
    flags.add_argument("--alpha", type=float, default=CONFIG.alpha, help="weight of the conservative term, of both")
    flags.add_argument("--seed", type=int, default=0)
    options = flags.parse_args()
    one_thread()
    rng = np.random.default_rng(options.seed)
    data, held_out = (episodes(Driver(rng, n), n, rng) for n in (options.episodes, 200))
    config = replace(CONFIG, alpha=options.alpha)
    updates = (40 if options.smoke else options.updates) // options.turns
    with tempfile.TemporaryDirectory() as folder, Quiet(options) as quiet:
        learners: dict[str, Any] = {"handrail": Ours(data, config, options.seed)}
        if options.peer is not None:
            learners["d3rlpy"] = Theirs(options.peer, data, config, options.seed, Path(folder))
        rates: dict[str, list[float]] = {name: [] for name in learners}
        for _ in range(options.turns):
            for name, learner in learners.items():
                rates[name].append(updates / learner.fit(updates))
        judged = {name: quality(one.value, one.correct, held_out, options.seed) for name, one in learners.items()}
        if options.peer is not None:
            learners["d3rlpy"].close()
    alone = quality(lambda s, a: s[:, 0], lambda s, a: a, held_out, options.seed)["helped_success"]
    found = {"benchmark": "cql", "alpha": config.alpha, "driver_success": alone, **summary(rates, judged)}
    if options.peer is not None:
        found["peer"] = learners["d3rlpy"].versions
    return report(found, quiet, options)


def summary(rates: dict[str, list[float]], judged: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Medians, and the median ratio over turns where there is a peer."""
    found: dict[str, Any] = {
        "updates_per_s": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "quality": judged,
    }
    if "d3rlpy" in rates:
        ratio = statistics.median(o / t for o, t in zip(rates["handrail"], rates["d3rlpy"], strict=True))
        found |= {"ratio": round(ratio, 3)}
    return found


if __name__ == "__main__":
    sys.exit(main())
