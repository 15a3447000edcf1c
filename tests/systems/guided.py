"""The smallest run of guided teleoperation that does everything: half a second an episode."""

from __future__ import annotations

from dataclasses import replace

from handrail.learn.bc import BCConfig
from handrail.systems import guided_teleop
from handrail.systems.guided_offline import People

ONE = People((1, 1), (1, 1), (1, 1))
_SMOKE = guided_teleop.BUDGETS["smoke"]
TINY = replace(
    _SMOKE,
    film=False,
    # after five updates it is sure of nothing
    assist=replace(_SMOKE.assist, place=replace(_SMOKE.assist.place, doubt=0.0)),
    offline=replace(
        _SMOKE.offline, teleoperation=ONE, calibration=ONE, held_out=ONE, copilot_updates=5, horizon=25,
        calm=0.9,  # the gate opens before the last step
        places=replace(_SMOKE.offline.places, updates=5, hidden=(16,)),
        copilot=BCConfig(horizon=2, hidden=(16,)),
        cql=replace(_SMOKE.offline.cql, updates=10, hidden=(16, 16), batch_size=16),
    ),
)  # fmt: skip
