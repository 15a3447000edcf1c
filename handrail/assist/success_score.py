"""The monitor of guided teleoperation: how likely the operator's command still leads to success, and to a failure.

`S = clip((min Q - q_lo) / (q_hi - q_lo), 0, 1)` with the 5th and 95th percentiles of calibration episodes, and
`risk = 1 - (1 - f) S` with f the probability of an irreversible failure within H steps (arXiv 2602.01092 normalises a
conservative critic to a success score; the equations are ours). One assessment is NumPy on one row, where a call into
torch would cost more than the arithmetic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from handrail.core.values import Array, Assessment, Observation, Step
from handrail.learn.actor_critic import encode_one
from handrail.learn.cql import CQL
from handrail.nets import Mlp, numpy_forward
from handrail.store.trajectories import Trajectories

from .gate import combined_risk

LATELY = 10  # steps


@dataclass(frozen=True, slots=True)
class Heard:
    """The command that was assessed last, as the networks see it."""

    features: Array  # (D,)
    command: Array  # (A,) joint targets
    action: Array  # (A,) the same as a displacement in units, within [-1, 1]


class SuccessScore:
    """A `Monitor`. Parts: "score" S and "failure" f, which `gate.Gate` reads; the value is S.

    It shares the memory of the learner's parameters: training it or loading a checkpoint takes effect at once. `heard`
    is the command that was assessed last; a guide answers it. `commands` are those of the last 0.2 s at 50 Hz, oldest
    first: they say where the operator's hands are going.

    Args:
        learner: trained, with `fit_bounds` done.
    """

    def __init__(self, learner: CQL) -> None:
        self.learner = learner
        nets = learner.nets
        self._critics = [numpy_forward(critic) for critic in nets.critics if isinstance(critic, Mlp)]
        self._unit, self._low, self._high = nets.unit.numpy(), nets.score_low.numpy(), nets.score_high.numpy()
        self._reads_failure = bool(learner.config.beta)
        self._present = learner.config.relative_to
        self.heard: Heard | None = None
        self.commands: deque[Array] = deque(maxlen=LATELY + 1)

    def reset(self) -> None:
        """Forget the commands that were assessed; nothing else is remembered."""
        self.heard = None
        self.commands.clear()

    def assess(self, observation: Observation, action: Array) -> Assessment:
        """One observation and joint targets (A,), which need not be executed."""
        self.heard = heard = self.hear(observation, action)
        self.commands.append(heard.command)
        score, failure = self.judge(heard.features, heard.action)
        return _assessment(score, failure)

    def assess_many(self, episode: Sequence[Step]) -> list[Assessment]:
        """The executed action of every step, in one batch."""
        if not episode:
            return []
        columns = Trajectories.of([episode])
        q, failures = self.learner.values(columns.observation, columns.action)
        return [_assessment(self.normalised(float(one)), float(f)) for one, f in zip(q, failures, strict=True)]

    def hear(self, observation: Observation, command: Array) -> Heard:
        """What the networks make of an observation and joint targets (A,)."""
        present = np.asarray(observation[self._present])[: len(command)] if self._present else np.float32(0.0)
        action = np.clip((command - present) / self._unit, -1.0, 1.0, dtype=np.float32)
        return Heard(encode_one(self.learner.encoder, observation), np.asarray(command, np.float32), action)

    def judge(self, features: Array, action: Array) -> tuple[float, float]:
        """S and f of features (D,) and an action (A,) in units."""
        row = np.concatenate([features, action])
        (q_1, f_1), (q_2, f_2) = [critic(row).tolist() for critic in self._critics]
        failure = 0.5 * (sigmoid(f_1) + sigmoid(f_2)) if self._reads_failure else 0.0
        return self.normalised(sigmoid(min(q_1, q_2))), failure

    def normalised(self, q: float) -> float:
        """min Q -> S in [0, 1]."""
        low, high = float(self._low), float(self._high)
        return min(max((q - low) / (high - low), 0.0), 1.0)

    def joints(self, heard: Heard, action: Array) -> Array:
        """Joint positions (A,) of an action in units, where `heard` was commanded.

        What clipping took from the command it keeps: an action equal to the operator's is exactly their command.
        """
        return heard.command + self._unit * (action - heard.action)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1.0 / (1.0 + exp(-min(max(x, -60.0), 60.0)))


def _assessment(score: float, failure: float) -> Assessment:
    return Assessment(combined_risk(score, failure), score, {"score": score, "failure": failure})
