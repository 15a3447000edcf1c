"""d3rlpy's CQL behind a line protocol: the other half of `../cql.py`, run by the Python of an environment of its own.

Each line in is a JSON object, each line out its answer:

    {"do": "begin", "data": npz, "config": {...}}     -> {"version": ...}
    {"do": "fit", "updates": n}                       -> {"seconds": wall seconds}
    {"do": "value", "rows": npz, "out": npy}          -> {}     Q of states "s" and actions "a"
    {"do": "act", "rows": npz, "out": npy}            -> {}     the mean action at states "s"

It needs d3rlpy, torch and NumPy, and nothing of handrail.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import d3rlpy
import numpy as np
import torch

torch.set_num_threads(1)
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what d3rlpy logs is no answer


class Peer:
    """The learner, once it has begun."""

    def begin(self, data: str, config: dict[str, Any]) -> dict[str, Any]:
        torch.manual_seed(config["seed"])
        d3rlpy.seed(config["seed"])
        columns = np.load(data)
        self._batch = config["batch_size"]
        self._dataset = d3rlpy.dataset.MDPDataset(
            columns["s"], columns["a"], columns["reward"], columns["terminal"], columns["timeout"]
        )
        net = d3rlpy.models.VectorEncoderFactory(hidden_units=list(config["hidden"]))
        self._cql = d3rlpy.algos.CQLConfig(
            batch_size=self._batch, gamma=config["discount"], tau=config["tau"],
            actor_learning_rate=config["learning_rate"], critic_learning_rate=config["learning_rate"],
            n_action_samples=config["draws"], conservative_weight=config["alpha"],
            initial_alpha=1.0, alpha_learning_rate=0.0,  # the weight is what was asked for: no Lagrange multiplier
            actor_encoder_factory=net, critic_encoder_factory=net,
        ).create(device=False)  # fmt: skip
        self._cql.build_with_dataset(self._dataset)
        return {"version": d3rlpy.__version__, "torch": torch.__version__}

    def fit(self, updates: int) -> dict[str, Any]:
        started = time.perf_counter()
        for _ in range(updates):
            self._cql.update(self._dataset.sample_transition_batch(self._batch))
        return {"seconds": time.perf_counter() - started}

    def value(self, rows: str, out: str) -> dict[str, Any]:
        columns = np.load(rows)
        np.save(out, self._cql.predict_value(columns["s"], columns["a"]))
        return {}

    def act(self, rows: str, out: str) -> dict[str, Any]:
        np.save(out, self._cql.predict(np.load(rows)["s"]))
        return {}


def main() -> int:
    peer = Peer()
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(peer, asked.pop("do"))(**asked)
        ANSWERS.write(json.dumps(answer) + "\n")
        ANSWERS.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
