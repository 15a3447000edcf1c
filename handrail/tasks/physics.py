"""One way through simulated time: every MuJoCo task advances here, and faster loops hang on the ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco

from handrail.core.clock import SECOND_NS


@dataclass(slots=True)
class Tick:
    """A loop inside the physics. It acts on the first physics step at or after its nominal time.

    Attributes:
        period_ns: nominal period [ns]; need not divide the physics step.
        act: called with no arguments; reads and writes the `MjData` it closed over.
        next_ns: nominal time of the next call [ns].
    """

    period_ns: int
    act: Callable[[], None]
    next_ns: int = 0

    def reset(self, now_ns: int = 0) -> None:
        self.next_ns = now_ns


def now_ns(data: mujoco.MjData) -> int:
    """Simulated time [ns], rounded: `MjData.time` accumulates floating-point error."""
    return round(data.time * SECOND_NS)


def advance(model: mujoco.MjModel, data: mujoco.MjData, until_s: float, on_tick: Sequence[Tick] = ()) -> None:
    """Step the physics until `until_s` [s], calling each of `on_tick` when due. Steps between ticks run in one call."""
    step_ns = round(model.opt.timestep * SECOND_NS)
    end_ns = round(until_s * SECOND_NS)
    time_ns = now_ns(data)
    while time_ns < end_ns:
        next_ns = end_ns
        for tick in on_tick:
            if tick.next_ns <= time_ns:
                tick.act()
                tick.next_ns += tick.period_ns
            next_ns = min(next_ns, tick.next_ns)
        count = max(1, -(-(next_ns - time_ns) // step_ns))
        mujoco.mj_step(model, data, nstep=count)
        time_ns += count * step_ns
