"""An operator at two simulated leader arms: person, device and physics, each at its own rate in one scheduler."""

from __future__ import annotations

import numpy as np

from handrail.core.clock import SECOND_NS, SimulatedClock
from handrail.core.values import Array, Intent, StepView, TakeoverCause
from handrail.operators.leaders import DIM, PERIOD_NS, Assistance, Guide, LeaderConfig, LeaderLoop
from handrail.operators.replicas import SimulatedLeaders
from handrail.operators.two_hands import LOOK_HZ, TwoHandedTask, TwoHands
from handrail.run.scheduler import Loop, Scheduler

FEEL_HZ = 50.0
PERIOD_S = PERIOD_NS / SECOND_NS


class Teleoperator:
    """A simulated person who drives a bimanual task through leader arms; an `Operator`.

    At each step of the task the leaders advance by the task's period: the person looks, plans, and holds the arms
    through compliant hands; the device loop couples them to the follower's joints and renders guidance, which is held
    since the last decision. Where the leaders are then is the action (14,). Guidance moves a hand, never the command.

    Args:
        env: the bimanual task, whose "state" begins with the follower's joint positions (14,).
        tier: "novice", "ordinary" or "expert".
        assistance: renders guidance, for example `assist.guidance.Guidance()`; None for an unassisted person.
        config: coupling and limits of the leaders.
        reaction: makes everybody a "yielder", "resister" or "ignorer"; None as drawn.
    """

    def __init__(
        self,
        env: TwoHandedTask,
        tier: str = "ordinary",
        assistance: Assistance | None = None,
        config: LeaderConfig | None = None,
        reaction: str | None = None,
    ) -> None:
        self.env, self.assistance, self.clock = env, assistance, SimulatedClock()
        self.leaders = SimulatedLeaders()
        self.person = TwoHands(env, self.leaders, tier, reaction)
        self.loop = LeaderLoop(self.leaders, self.clock, assistance, config)
        self.scheduler: Scheduler | None = None

    def reset(self, draw: int, episode: int | None = None) -> None:
        """Become the person `draw`; they take hold of the leaders at the first step, where the follower is then."""
        self.person.reset(draw, episode)
        self.loop.reset()
        self.scheduler, self._steps = None, 0

    def guide(self, desired: Array, level: float, velocity: Array | None = None) -> None:
        """Pull the leaders toward joint positions `desired` (14,) at `level` in [0, 1] until told otherwise.

        Guidance that is not renewed for `LeaderConfig.command_age_s` stops.

        Args:
            velocity: (14,) [rad/s] at which `desired` moves; None for at rest.
        """
        self.loop.guide.put(Guide(np.asarray(desired, np.float64), float(level), velocity))

    def intent(self, view: StepView) -> Intent:
        """Advance the leaders to the end of this step; their joint positions (14,) are the action."""
        follower = np.asarray(view.observation["state"], np.float64)[:DIM]
        scheduler = self.scheduler or self._take_hold(follower)
        self.loop.heed(view.last_command)
        self.loop.follower.put(follower)
        self._steps += 1
        scheduler.run_until(round(self._steps * SECOND_NS / self.env.fps))
        return Intent(self.leaders.read()[0].astype(np.float32), cause=TakeoverCause.DEMONSTRATION)

    def _take_hold(self, follower: Array) -> Scheduler:
        self.leaders.reset(follower)
        self.person.begin()
        person, loop = self.person, self.loop
        loops = [
            Loop.at(LOOK_HZ, "look", person.look),
            Loop.at(person.traits.replan_hz, "plan", lambda: person.plan(self._now_s())),
            Loop("hold", PERIOD_NS, lambda: person.hold(self._now_s(), PERIOD_S)),
            Loop("device", PERIOD_NS, loop.act),
            Loop("physics", PERIOD_NS, self.leaders.step),
        ]
        if self.assistance is not None:
            loops.insert(0, Loop.at(FEEL_HZ, "feel", self._feel))
        self.scheduler = Scheduler(self.clock, PERIOD_NS, loops)
        return self.scheduler

    def _feel(self) -> None:
        assert self.assistance is not None, "nothing is felt without assistance"
        self.person.feel(self.assistance.last, 1.0 / FEEL_HZ)

    def _now_s(self) -> float:
        assert self.scheduler is not None, "time begins when the leaders are held"
        return self.scheduler.now_ns() / SECOND_NS
