"""Leader arms: the protocol of a device, and the 500 Hz loop that couples it to the robot and lets it be guided.

Joint vectors (14,) are in the order of the bimanual action: left arm 6 [rad], left trigger [rad; 0 pressed, 1 open],
then the right arm's. Torques are in N m, on top of the arm's own gravity compensation. One loop serves simulated arms
(`replicas.SimulatedLeaders`) and real ones; nothing here needs MuJoCo.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from handrail.core.contracts import Clock
from handrail.core.errors import InvalidValueError, require_finite
from handrail.core.stream import Stream
from handrail.core.values import Array, Command

ARM_DIM = 7
DIM = 2 * ARM_DIM
PERIOD_NS = 2_000_000  # 500 Hz


@runtime_checkable
class LeaderArm(Protocol):
    """One or more leader arms as a 500 Hz loop sees them. `apply` holds a torque until the next one."""

    def read(self) -> tuple[Array, Array]:
        """Joint positions (D,) [rad] and velocities (D,) [rad/s] now."""
        ...

    def apply(self, torque: Array) -> None:
        """Torque (D,) [N m], on top of gravity compensation."""
        ...


class BothArms:
    """Two separate leader arms as one: left, then right."""

    def __init__(self, left: LeaderArm, right: LeaderArm) -> None:
        self.left, self.right = left, right

    def read(self) -> tuple[Array, Array]:
        (left_q, left_qd), (right_q, right_qd) = self.left.read(), self.right.read()
        return np.concatenate([left_q, right_q]), np.concatenate([left_qd, right_qd])

    def apply(self, torque: Array) -> None:
        half = len(torque) // 2
        self.left.apply(torque[:half])
        self.right.apply(torque[half:])


class Guide(NamedTuple):
    """A decision of the assistant, held until the next one."""

    desired: Array  # (D,) [rad] joint positions
    level: float  # in [0, 1]
    velocity: Array | None = None  # (D,) [rad/s] of `desired`; None for at rest


class Assistance(Protocol):
    """Renders the assistant's decision as a torque; `assist.guidance.Guidance` is the one there is."""

    torque_max: Array  # (D,) [N m], never exceeded
    last: Array  # (D,) [N m] held now

    def reset(self) -> None: ...

    def torque(self, q: Array, qd: Array, guide: Guide | None, dissipated_j: float) -> Array:
        """Torque (D,) for the next period; None guides nowhere. `dissipated_j`: damping took it out in the last."""
        ...


@dataclass(frozen=True)
class LeaderConfig:
    """Bilateral coupling and protection, one value per joint of an arm and its trigger. All values are ours.

    Attributes:
        stiffness: pulls the leader toward the follower [N m/rad]: light beside a hand's 135 N/m, which is some
            20 N m/rad at the waist, but felt when the follower is stopped.
        stiffness_max: the most that this pull may be [N m].
        damping: of the leader's own motion [N m s/rad].
        torque_limit: of everything together [N m].
        speed_max: joint speed [rad/s] that the limit leaves room to damp.
        command_age_s: without word from the follower for so long, all torques are zero and the robot holds;
            without word from the assistant, guidance is zero.
    """

    stiffness: tuple[float, ...] = (2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.1)
    stiffness_max: tuple[float, ...] = (2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.1)
    damping: tuple[float, ...] = (0.2, 0.2, 0.2, 0.03, 0.03, 0.03, 0.01)
    torque_limit: tuple[float, ...] = (6.0, 6.0, 6.0, 1.5, 1.5, 1.5, 0.5)
    speed_max: float = 6.0
    command_age_s: float = 0.1


class LeaderLoop:
    """What happens every 2 ms between a leader and the robot: read, add up the torques, limit them, apply.

    `follower` and `guide` are streams: whoever knows the follower's joints, or decides on guidance, puts them there at
    a rate of their own. Anything that goes wrong leaves the arm without torque (its weight compensated) before it
    is raised.

    Args:
        arm: the device; D joints, a multiple of 7.
        clock: stamps the streams.
        assistance: renders guidance; None for none.
        arms: how many arms the device has.

    Raises:
        InvalidValueError: the torque limit cannot hold coupling, damping and guidance together, so that it would
            cut into what the energy tank has accounted for.
    """

    def __init__(
        self,
        arm: LeaderArm,
        clock: Clock,
        assistance: Assistance | None = None,
        config: LeaderConfig | None = None,
        arms: int = 2,
    ) -> None:
        self.arm, self.assistance, self.config = arm, assistance, config or LeaderConfig()
        c = self.config
        self._stiffness, self._pull_max, self._damping, self._limit = (
            np.tile(values, arms) for values in (c.stiffness, c.stiffness_max, c.damping, c.torque_limit)
        )
        self._check_room()
        self.follower: Stream[Array] = Stream(clock, c.command_age_s)
        self.guide: Stream[Guide] = Stream(clock, c.command_age_s)
        self.reset()

    def _check_room(self) -> None:
        guidance = 0.0 if self.assistance is None else self.assistance.torque_max
        needed = self._pull_max + self._damping * self.config.speed_max + guidance
        if np.any(needed > self._limit):
            joint = int(np.argmax(needed - self._limit))
            raise InvalidValueError(
                f"torque_limit of leader joint {joint} is {self._limit[joint]:g} N m, coupling, damping and guidance "
                f"need {needed[joint]:g}: raise it or lower stiffness_max"
            )

    def reset(self) -> None:
        """Begin an episode: nothing was heard yet."""
        self.follower.clear()
        self.guide.clear()
        self.holding = True  # nobody has spoken for the follower: it must not be moved
        self.torque = np.zeros_like(self._limit)
        self._q, self._damped = None, self.torque
        if self.assistance is not None:
            self.assistance.reset()

    @property
    def joints(self) -> Array | None:
        """Joint positions (D,) at the last period; None before the first."""
        return self._q

    def heed(self, command: Command | None) -> None:
        """Render what was decided with the last command; where that was no guidance, let go at once."""
        if command is not None and command.guidance is not None and command.level > 0.0:
            desired = command.guidance / command.level  # the arbiter multiplies by the level
            self.guide.put(Guide(np.asarray(desired, np.float64), float(command.level)))
        elif command is not None:
            self.guide.clear()

    def release(self) -> None:
        """Leave the arm without torque: nobody is going to call `act` for a while."""
        self.torque = np.zeros_like(self._limit)
        self.arm.apply(self.torque)

    def act(self) -> None:
        """One period.

        Raises:
            NonFiniteError: the arm, or guidance, gave NaN or infinity.
        """
        torque = np.zeros_like(self._limit)
        try:
            torque = self._sum(*self.arm.read())
        finally:
            self.torque = torque
            self.arm.apply(torque)

    def _sum(self, q: Array, qd: Array) -> Array:
        dissipated_j = 0.0 if self._q is None else max(0.0, -float(self._damped @ (q - self._q)))
        follower = self.follower.get()
        self.holding = follower is None
        guidance = self._guidance(q, qd, dissipated_j)
        self._q = q
        self._damped = np.zeros_like(q) if self.holding else -self._damping * qd
        torque = self._damped + guidance
        if follower is not None:
            torque += bounded(self._stiffness * (follower - q), self._pull_max)
        if not isfinite(
            float(q.sum() + qd.sum() + torque.sum())
        ):  # one look at everything: this runs 500 times a second
            for what, values in (("leader joints", q), ("leader velocities", qd), ("leader torque", torque)):
                require_finite(what, values)
        return bounded(torque, self._limit)

    def _guidance(self, q: Array, qd: Array, dissipated_j: float) -> Array | float:
        if self.assistance is None:
            return 0.0
        guide = None if self.holding else self.guide.get()
        return self.assistance.torque(q, qd, guide, dissipated_j)


def bounded(vector: Array, limit: Array) -> Array:
    """`vector` within +- `limit`, entry by entry."""
    return np.minimum(np.maximum(vector, -limit), limit)
