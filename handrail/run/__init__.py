"""The rollout loop and the wrapper that any loop can use."""

from __future__ import annotations

from handrail.run.loop import episode, run_episode
from handrail.run.supervised import Supervised, as_mapping
from handrail.run.supervisor import Assist, Decision, Supervisor

__all__ = ["Assist", "Decision", "Supervised", "Supervisor", "as_mapping", "episode", "run_episode"]
