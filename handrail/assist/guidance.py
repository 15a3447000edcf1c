"""Guidance as a force: impedance rendering with saturation, and a tank that bounds the energy it may inject.

`tau = s * level * sat(K_a (q_des - q) + D_a (qd_des - qd), tau_max)`, with s in [0, 1] what the tank can pay for.
K_a is diagonal, or, where the arm's Jacobian J is known, `J^T diag(k_x, k_r) J`: a hand is then pulled straight toward
where it should be, whatever the arm's posture, and saturation shortens the pull without turning it. A diagonal K_a
pulls aside, which people take for a push against them (ours).
Energy tanks are those of Franken et al. 2011 (two-layer bilateral teleoperation) and Ferraguti et al. 2013 (variable
stiffness); energy is observed exactly, as torque held over a period times the distance moved in it (Stramigioli et al.
2005). Gains, sizes and the rule for s are ours.

The bound. Let v be `speed_reserve` and P the period. As long as no guided joint moves further than v P in a period,

    work done by guidance on the arm <= tank_j + energy that damping had taken out of the arm

at every tick, whatever the operator does and whatever is desired; and over any span of time the same with what the tank
held at its beginning. Nothing is guided above `speed_max`, so that v is only passed by an arm that gains v - speed_max
within one period (2000 rad/s^2). Should one do so, the tank goes negative by at most sum |tau_i| (|dq_i| - v P),
and guidance stays off until damping has paid that back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from handrail.core.errors import InvalidValueError
from handrail.core.values import Array
from handrail.operators.leaders import ARM_DIM, Guide, bounded


@dataclass(frozen=True)
class GuidanceConfig:
    """One value per joint of an arm and its trigger. All values are ours.

    Attributes:
        stiffness: K_a [N m/rad], where no Jacobian is known. 0.1 rad off at the first three joints is full torque.
        hand_stiffness: (k_x [N/m], k_r [N m/rad]) of the stiffness that is shaped by a Jacobian instead: about that of
            a hand. Full torque is reached 3 cm from where guidance pulls to.
        damping: D_a [N m s/rad].
        torque_max: tau_max [N m]: about 5 N at a hand 0.45 m from the base. Triggers are left free: when to grasp is
            the person's to say, and a grip that closes early lies askew.
        tank_j: energy in the tank at the beginning [J]: ten seconds of steady help take about 8.
        tank_max_j: the most it may hold [J].
        speed_max: joint speed [rad/s] above which nothing is guided.
        speed_reserve: joint speed [rad/s] for whose work the tank must hold enough before a torque is applied.
        period_s: of the loop that renders.
    """

    stiffness: tuple[float, ...] = (20.0, 20.0, 20.0, 5.0, 5.0, 5.0, 1.0)
    hand_stiffness: tuple[float, float] = (160.0, 2.5)
    damping: tuple[float, ...] = (0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.0)
    torque_max: tuple[float, ...] = (2.5, 2.5, 2.5, 0.6, 0.6, 0.6, 0.0)
    tank_j: float = 20.0
    tank_max_j: float = 20.0
    speed_max: float = 6.0
    speed_reserve: float = 10.0
    period_s: float = 0.002

    def __post_init__(self) -> None:
        if not 0.0 <= self.tank_j <= self.tank_max_j:
            raise InvalidValueError(
                f"tank_j is {self.tank_j}, must be in [0, tank_max_j = {self.tank_max_j}]: raise tank_max_j"
            )
        if not 0.0 < self.speed_max <= self.speed_reserve:
            raise InvalidValueError(
                f"speed_max is {self.speed_max}, must be in (0, speed_reserve = {self.speed_reserve}]: lower it"
            )
        joints = (ARM_DIM, "one for each joint of an arm and its trigger")
        needed = {"stiffness": joints, "damping": joints, "torque_max": joints, "hand_stiffness": (2, "k_x and k_r")}
        for name, (count, which) in needed.items():
            values = getattr(self, name)
            if not all(0.0 <= value < float("inf") for value in values):
                raise InvalidValueError(f"guidance {name} is {values}, must be >= 0: 0 leaves a joint free")
            if len(values) != count:
                raise InvalidValueError(f"guidance {name} has {len(values)} values, needs {count}: {which}")
        if not 0.0 < self.period_s < float("inf"):
            raise InvalidValueError(f"guidance period_s is {self.period_s}, must be > 0: 0.002 is 500 Hz")


class EnergyTank:
    """Energy that guidance may still inject."""

    def __init__(self, initial_j: float, maximum_j: float) -> None:
        self._initial_j, self._maximum_j = initial_j, maximum_j
        self.reset()

    def reset(self) -> None:
        self.level_j = self._initial_j
        self.injected_j = 0.0  # net work of guidance on the arm
        self.returned_j = 0.0  # offered by damping; what did not fit is lost

    def share(self, worst_j: float) -> float:
        """The largest share in [0, 1] of a torque that can be paid for if it does its worst; 0 for spoilt books."""
        if worst_j <= self.level_j:
            return 1.0
        return self.level_j / worst_j if self.level_j > 0.0 else 0.0

    def settle(self, work_j: float, dissipated_j: float = 0.0) -> None:
        """Pay for work done, take in what was dissipated elsewhere (>= 0)."""
        self.injected_j += work_j
        self.returned_j += dissipated_j
        level_j = self.level_j - work_j + dissipated_j
        self.level_j = self._maximum_j if level_j >= self._maximum_j else level_j  # not a number stays so: shut


class Guidance:
    """Turns desired joint positions and a level into torque. One call of `torque` per period, in order.

    Args:
        config: of one arm.
        arms: how many arms the joint vectors hold.
        jacobian: (6, 6) of an arm at its joints (6,), linear velocity first; None for the diagonal stiffness.
    """

    def __init__(
        self, config: GuidanceConfig | None = None, arms: int = 2, jacobian: Callable[[Array], Array] | None = None
    ) -> None:
        self.config, self._jacobian = config or GuidanceConfig(), jacobian
        self._shaped_for: Guide | None = None
        c = self.config
        self._stiffness, self._damping, self.torque_max = (
            np.tile(np.asarray(values, float), arms) for values in (c.stiffness, c.damping, c.torque_max)
        )
        self._guided = self.torque_max > 0.0
        self._scale = np.where(self._guided, self.torque_max, 1.0)
        self._weight = self._guided / self._scale / max(int(self._guided.sum()), 1)  # of a mean share
        self._damping = self._damping * self._guided
        self.tank = EnergyTank(c.tank_j, c.tank_max_j)
        self.reset()

    def reset(self) -> None:
        """Begin an episode: a full tank, and nothing felt."""
        self.tank.reset()
        self._shaped_for = None
        self.last = np.zeros_like(self.torque_max)  # (D,) torque held now
        self.effort_j = 0.0  # integral of sum |tau_i qd_i|
        self._felt, self._ticks = 0.0, 0
        self._q: Array | None = None

    @property
    def mean_share(self) -> float:
        """Mean of |tau_i| / tau_max_i over joints and periods since `reset`: transparency, 0 is none felt."""
        return self._felt / max(self._ticks, 1)

    def torque(self, q: Array, qd: Array, guide: Guide | None, dissipated_j: float = 0.0) -> Array:
        """Torque (D,) [N m] for the next period.

        Args:
            q, qd: joint positions (D,) [rad] and velocities [rad/s] now.
            guide: where to, and how strongly; None for nowhere.
            dissipated_j: energy that the loop's damping took out of the arm in the last period, >= 0.
        """
        if self._q is not None:
            moved = self.last * (q - self._q)
            self.tank.settle(float(moved.sum()), dissipated_j)
            self.effort_j += float(np.abs(moved).sum())
        self._q = q
        self.last = self._affordable(self._wanted(q, qd, guide), qd)
        self._felt += float(self._weight @ np.abs(self.last))
        self._ticks += 1
        return self.last

    def _wanted(self, q: Array, qd: Array, guide: Guide | None) -> Array:
        if guide is None or guide.level <= 0.0:
            return np.zeros_like(self.torque_max)
        velocity = 0.0 if guide.velocity is None else guide.velocity
        away, damped = guide.desired - q, self._damping * (velocity - qd)
        if self._jacobian is None:
            return min(guide.level, 1.0) * bounded(self._stiffness * away + damped, self.torque_max)
        if self._shaped_for is not guide:  # the arm hardly turns until the next decision
            self._shaped, self._shaped_for = self._shape(q, self._jacobian), guide
        return min(guide.level, 1.0) * self._shortened(self._shaped @ away + damped)

    def _shape(self, q: Array, jacobian: Callable[[Array], Array]) -> Array:
        """The stiffness (D, D) [N m/rad] at joint positions `q`; joints that are left free pull nowhere."""
        stiffness = np.diag(self._stiffness)
        for arm in range(0, len(q), ARM_DIM):
            joints = slice(arm, arm + ARM_DIM - 1)
            J = jacobian(q[joints])
            stiffness[joints, joints] = J.T @ np.diag(np.repeat(self.config.hand_stiffness, 3)) @ J
        return stiffness * self._guided[:, None]

    def _shortened(self, pull: Array) -> Array:
        """`pull` with each arm's torques scaled together until none is too large; triggers are apart."""
        torque = bounded(pull, self.torque_max)
        for arm in range(0, len(pull), ARM_DIM):
            joints = slice(arm, arm + ARM_DIM - 1)
            most = float(np.max(np.abs(pull[joints]) / self._scale[joints]))
            torque[joints] = pull[joints] / max(1.0, most)
        return torque

    def _affordable(self, torque: Array, qd: Array) -> Array:
        if np.abs(qd).max() > self.config.speed_max:
            return np.zeros_like(torque)
        worst_j = float(np.abs(torque).sum()) * self.config.speed_reserve * self.config.period_s
        return self.tank.share(worst_j) * torque
