"""Trains: one algorithm a file.

A learner owns networks, loss, `act` and `update(batch) -> metrics`; it never steps an environment.
"""

from .bc import BC, BCConfig
from .cql import CQL, CQLConfig
from .cql_data import CQLBatch, CQLSampler
from .next_place import NextPlace, NextPlaceConfig
from .next_place_data import NextPlaceSampler, Scene
from .offline_ppo import OfflinePPO, OfflinePPOConfig
from .ppo import PPO, PPOConfig
from .rlpd import RLPD, RLPDConfig
from .safety_q import SafetyQ, SafetyQConfig
from .world_model import WindowSampler, WorldModel, WorldModelConfig

__all__ = [
    "BC", "CQL", "CQLBatch", "CQLSampler", "NextPlace", "NextPlaceSampler", "PPO", "RLPD", "OfflinePPO", "SafetyQ",
    "Scene", "WindowSampler", "WorldModel", "BCConfig", "CQLConfig", "NextPlaceConfig", "OfflinePPOConfig", "PPOConfig",
    "RLPDConfig", "SafetyQConfig", "WorldModelConfig",
]  # fmt: skip
