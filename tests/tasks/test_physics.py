"""One way through time: ticks at their own rates, exact and deterministic."""

from __future__ import annotations

import mujoco

from handrail.tasks.physics import Tick, advance, now_ns

BALL = "<mujoco><option timestep='0.002'/><worldbody><body><freejoint/><geom size='0.1'/></body></worldbody></mujoco>"


def test_ticks_act_on_the_first_step_at_or_after_their_time() -> None:
    model = mujoco.MjModel.from_xml_string(BALL)
    data = mujoco.MjData(model)
    seen: list[int] = []
    advance(model, data, 0.1, (Tick(7_000_000, lambda: seen.append(now_ns(data))),))
    assert seen == [-(-k * 7_000_000 // 2_000_000) * 2_000_000 for k in range(15)]
    assert now_ns(data) == 100_000_000


def test_rates_need_not_divide_and_nothing_drifts() -> None:
    model = mujoco.MjModel.from_xml_string(BALL)
    data = mujoco.MjData(model)
    counts = {30: 0, 90: 0}
    ticks = [
        Tick(1_000_000_000 // rate, lambda rate=rate: counts.__setitem__(rate, counts[rate] + 1)) for rate in counts
    ]
    for step in range(1, 101):
        advance(model, data, step * 0.1, ticks)
    assert counts == {30: 301, 90: 901} or counts == {30: 300, 90: 900}
    assert now_ns(data) == 10_000_000_000
