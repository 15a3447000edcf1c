"""Protocols, the resumable runner, and tables with intervals."""

from __future__ import annotations

from handrail.bench.protocol import BUDGETS, DEVELOPMENT_ENV_SEEDS, EVALUATION_ENV_SEEDS, training_env_seed
from handrail.bench.runner import BenchConfig, Cell, run_bench
from handrail.bench.statistics import Interval, difference, interval
from handrail.bench.table import Table, make_table
from handrail.bench.tuning import Trial, count_trials, record_trial

__all__ = [
    # protocol
    "BUDGETS",
    "DEVELOPMENT_ENV_SEEDS",
    "EVALUATION_ENV_SEEDS",
    "training_env_seed",
    # running
    "BenchConfig",
    "Cell",
    "run_bench",
    # tables
    "Interval",
    "Table",
    "difference",
    "interval",
    "make_table",
    # honesty
    "Trial",
    "count_trials",
    "record_trial",
]
