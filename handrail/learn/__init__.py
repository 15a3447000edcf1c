"""Trains: one algorithm a file.

A learner owns networks, loss, `act` and `update(batch) -> metrics`; it never steps an environment.
"""

from .bc import BC, BCConfig
from .rlpd import RLPD, RLPDConfig

__all__ = ["BC", "RLPD", "BCConfig", "RLPDConfig"]
