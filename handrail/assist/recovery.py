"""Recoveries: what the assistant proposes. All propose one step at a time, so that each answers what is seen now."""

from __future__ import annotations

from collections.abc import Callable

from handrail.core.contracts import Policy, single
from handrail.core.values import Array, Assessment, Authority, Observation, Proposal

Act = Callable[[Observation], Array]
"""observation -> action (A,)."""


class PolicyRecovery:
    """Proposes the action of a recovery policy, the `a_rec ~ pi_rec` of FARL.

    Of a chunk only the first action is taken: the monitor is asked anew at every step, so the recovery is too.

    Args:
        policy: its `act` says how it acts; FARL's is trained offline on escapes from near-failure states, and frozen.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def reset(self) -> None:
        self.policy.reset()

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal:
        proposal = self.policy.act(observation)
        return Proposal(proposal.actions[:1], Authority.ASSISTANT, proposal.made_at_s)


class Scripted:
    """Proposes what a function of the observation says: scripted retreats, which data collection uses.

    Args:
        act: observation -> action (A,), or None where it has nothing to propose and the driver goes on.
    """

    def __init__(self, act: Callable[[Observation], Array | None]) -> None:
        self.act = act

    def reset(self) -> None:
        """It has no memory."""

    def propose(self, observation: Observation, assessment: Assessment) -> Proposal | None:
        action = self.act(observation)
        return None if action is None else single(action, Authority.ASSISTANT)


class Rejection(Scripted):
    """The control "reject": the driver's action is refused and nothing put in its place; the robot stands still.

    It separates what the watcher is worth from what the helper is.

    Args:
        hold: observation -> the action (A,) that stays, as the environment's `hold` tells it.
    """

    def __init__(self, hold: Act) -> None:
        super().__init__(hold)
