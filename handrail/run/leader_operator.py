"""A person at real leader arms: the 500 Hz loop of the device in a thread of its own, beside whoever decides."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag
from threading import Thread
from types import TracebackType

import numpy as np

from handrail.core.clock import RealClock
from handrail.core.errors import DeviceError
from handrail.core.values import Event, Intent, StepView, TakeoverCause
from handrail.operators.leaders import ARM_DIM, PERIOD_NS, Assistance, LeaderArm, LeaderConfig, LeaderLoop
from handrail.run.scheduler import Loop, Scheduler

ALIGN_RAD = 0.15  # so near must every joint of the leader be to the follower's before it drives (ours)
JOIN_S = 1.0  # a driver that blocks for longer is left behind


class LeaderOperator:
    """Whoever holds `arm` drives; an `Operator`, and a context manager that leaves the arm without torque.

    The loop goes on while the robot or the assistant keeps the deciding loop waiting, and lets the arm go when it hears
    nothing for `LeaderConfig.command_age_s`. The robot holds (STOP, which ends the episode) after such a silence, and
    once the device has failed. It does not jump to where a leader happens to lie: until the leader is where the robot
    is, the robot stays and the coupling draws the leader there.

    Args:
        arm: the device, D joints in the order of the action; one thread at a time talks to it.
        assistance: renders guidance; None for none.
        config: coupling and limits.
        arms: how many arms `arm` has.
        align_rad: how near [rad] the leader must be before it drives.
    """

    def __init__(
        self,
        arm: LeaderArm,
        assistance: Assistance | None = None,
        config: LeaderConfig | None = None,
        arms: int = 2,
        align_rad: float = ALIGN_RAD,
    ) -> None:
        self.clock = RealClock()
        self.loop = LeaderLoop(arm, self.clock, assistance, config, arms)
        self.align_rad = align_rad
        self.scheduler: Scheduler | None = None  # of this episode, or of the last: its counts say what was missed
        self._arm_joints = np.arange(arms * ARM_DIM) % ARM_DIM != ARM_DIM - 1  # triggers may lie anywhere
        self._aligned = self._heard = False
        self._end, self._thread = Flag(), Thread()
        self._error: Exception | None = None  # of the device, until somebody is told

    def __enter__(self) -> LeaderOperator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except DeviceError:
            if kind is None:  # else what ended the session is the news
                raise

    def close(self) -> None:
        """Stop the loop; the arm is without torque.

        Raises:
            DeviceError: the device failed meanwhile, or does so now.
        """
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)
        if self._thread.is_alive():
            self._error = TimeoutError(f"it keeps a call waiting for more than {JOIN_S:g} s")
        else:
            self._guarded(self.loop.release)
        self._require_sound()

    def reset(self, draw: int) -> None:
        """Begin an episode; `draw` names the person and changes nothing here.

        Raises:
            DeviceError: the device failed in the last episode, or does so at once.
        """
        self.close()
        self.loop.reset()
        self._aligned = self._heard = False
        self._end = Flag()
        self.scheduler = Scheduler(self.clock, PERIOD_NS, [Loop("device", PERIOD_NS, self.loop.act)])
        self._guarded(self.scheduler.tick)
        self._require_sound()
        self._thread = Thread(target=self._run, args=(self.scheduler, self._end), name="leader", daemon=True)
        self._thread.start()

    def intent(self, view: StepView) -> Intent:
        """Where the leaders are (D,); STOP where nobody could say."""
        follower = np.asarray(view.observation["state"], np.float64)[: len(self._arm_joints)]
        silent = self._heard and self.loop.follower.get() is None
        q = self.loop.joints
        if self._error is not None or silent or q is None:
            return Intent(event=Event.STOP)
        self._heard = True
        self.loop.heed(view.last_command)
        self.loop.follower.put(follower)
        self._aligned = self._aligned or bool(np.abs(q - follower)[self._arm_joints].max() <= self.align_rad)
        return Intent((q if self._aligned else follower).astype(np.float32), cause=TakeoverCause.DEMONSTRATION)

    def _run(self, scheduler: Scheduler, end: Flag) -> None:
        while not end.is_set() and self._error is None:
            self._guarded(scheduler.tick)

    def _guarded(self, talk: Callable[[], None]) -> None:
        """Keep whatever a driver raises; the first of it is what happened."""
        try:
            talk()
        except Exception as error:
            self._error = self._error or error

    def _require_sound(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise DeviceError(f"the leader arm failed ({error}): check it and begin the episode anew") from error
