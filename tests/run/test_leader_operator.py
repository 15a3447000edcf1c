"""A person at leader arms on real time: who drives when, and what becomes of the arm when somebody falls silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from handrail.assist.guidance import Guidance
from handrail.core import Command, Operator, RealClock
from handrail.core.errors import DeviceError
from handrail.core.values import Authority, Event, Intent, StepView
from handrail.operators.leaders import DIM, LeaderConfig
from handrail.operators.replicas import SimulatedLeaders
from handrail.run import Supervised
from handrail.run.leader_operator import ALIGN_RAD, LeaderOperator
from handrail.tasks.bimanual.transfer_cube import TransferCube

HOME = np.tile([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5], 2)
AGE_S = LeaderConfig().command_age_s


class Arm:
    """Lies where it was put, until it breaks."""

    def __init__(self, q: np.ndarray) -> None:
        self.q, self.torque, self.broken = q, np.full(DIM, np.nan), False

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        if self.broken:
            raise OSError("cable pulled")
        return self.q.copy(), np.zeros(DIM)

    def apply(self, torque: np.ndarray) -> None:
        self.torque = torque


class Held(SimulatedLeaders):
    """Leaders whose physics advance whenever they are read."""

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        self.step()
        return super().read()


def view(follower: np.ndarray, command: Command | None = None) -> StepView:
    return StepView({"state": np.concatenate([follower, np.zeros(32)]).astype(np.float32)}, command, 0.0)


def until(what: Callable[[], bool]) -> bool:
    """Whether it becomes so within five seconds: the thread may have to wait for a core."""
    deadline = time.monotonic() + 5.0
    while not what() and time.monotonic() < deadline:
        time.sleep(0.005)
    return what()


@pytest.fixture
def arm() -> Arm:
    return Arm(HOME + 0.1)


@pytest.fixture
def person(arm: Arm) -> Iterator[LeaderOperator]:
    with LeaderOperator(arm, Guidance()) as operator:
        operator.reset(0)
        yield operator


def drive(person: LeaderOperator, follower: np.ndarray = HOME) -> np.ndarray:
    action = person.intent(view(follower)).action
    assert action is not None
    return action


def test_the_command_is_where_the_leader_is(arm: Arm, person: LeaderOperator) -> None:
    assert isinstance(person, Operator)
    np.testing.assert_allclose(drive(person), arm.q, atol=1e-6)
    arm.q = HOME + 0.12
    assert until(lambda: np.allclose(drive(person), HOME + 0.12, atol=1e-6))
    assert person.scheduler is not None and person.scheduler.counts["device"].calls > 1
    assert until(lambda: bool(arm.torque[0] < 0.0))  # the coupling draws it to the robot


def test_a_leader_that_lies_elsewhere_does_not_drive_until_it_is_where_the_robot_is(arm: Arm) -> None:
    arm.q = HOME + 2 * ALIGN_RAD
    with LeaderOperator(arm) as person:
        person.reset(0)
        np.testing.assert_allclose(drive(person), HOME, atol=1e-6)  # the robot stays
        assert until(lambda: bool(arm.torque[0] < 0.0))
        arm.q = HOME + 0.5 * ALIGN_RAD
        assert until(lambda: np.allclose(drive(person), arm.q, atol=1e-6))
        arm.q = HOME + 3 * ALIGN_RAD  # from now on it drives wherever it goes
        assert until(lambda: np.allclose(drive(person), arm.q, atol=1e-6))
        arm.q = HOME + 2 * ALIGN_RAD
        person.reset(0)
        np.testing.assert_allclose(drive(person), HOME, atol=1e-6)  # each episode begins with it


def test_when_the_deciding_loop_hangs_the_arm_is_let_go_and_the_robot_stops(arm: Arm, person: LeaderOperator) -> None:
    drive(person)
    assert until(lambda: arm.torque.any())
    time.sleep(1.2 * AGE_S)
    assert until(lambda: not arm.torque.any())
    assert person.intent(view(HOME)) == Intent(event=Event.STOP)


def test_a_device_that_fails_stops_the_robot_and_is_named_at_the_next_episode(arm: Arm, person: LeaderOperator) -> None:
    drive(person)
    assert until(lambda: arm.torque.any())
    arm.broken = True
    assert until(lambda: person.intent(view(HOME)).event is Event.STOP)
    assert not arm.torque.any()
    with pytest.raises(DeviceError, match=r"the leader arm failed \(cable pulled\): check it and begin the episode"):
        person.reset(1)
    with pytest.raises(DeviceError, match="cable pulled"):  # still broken, at once
        person.reset(1)
    arm.broken = False
    person.reset(1)
    np.testing.assert_allclose(drive(person), arm.q, atol=1e-6)


def test_a_failure_that_nobody_was_told_of_is_raised_at_the_end(arm: Arm) -> None:
    with pytest.raises(DeviceError, match="cable pulled"), LeaderOperator(arm) as person:
        person.reset(0)
        drive(person)
        arm.broken = True
        assert until(lambda: person.intent(view(HOME)).event is Event.STOP)


def test_guidance_is_felt_until_a_command_without_it(arm: Arm, person: LeaderOperator) -> None:
    assert person.loop.assistance is not None
    guided = Command(HOME, Authority.OPERATOR, 1.0, HOME - 0.5)
    felt = person.loop.assistance

    def kept_up() -> bool:
        person.intent(view(HOME, guided))
        return bool(felt.last.any())

    assert until(kept_up)

    def stopped() -> bool:
        person.intent(view(HOME, Command(HOME, Authority.STOP)))
        return not felt.last.any()

    assert until(stopped)


def test_whatever_ends_the_session_the_arm_is_without_torque(arm: Arm) -> None:
    def session() -> None:
        with LeaderOperator(arm) as person:
            person.reset(0)
            drive(person)
            assert until(lambda: arm.torque.any())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session()
    told = arm.torque
    assert not told.any()
    time.sleep(0.02)
    assert arm.torque is told  # nobody talks to it any more


def test_it_drives_a_task_on_real_time() -> None:
    task, leaders = TransferCube(horizon=100), Held()
    with LeaderOperator(leaders) as person:
        env = Supervised(task, operator=person, driven_by="operator", clock=RealClock())
        observation, _ = env.reset(seed=0)
        person.close()
        leaders.reset(np.asarray(observation["state"][:DIM], float) + 0.05)  # somebody lays it there
        person.reset(0)
        infos = [env.step(task.hold(env.observation))[4] for _ in range(10)]
    assert {info["authority"] for info in infos} <= {Authority.OPERATOR, Authority.STOP}
    assert infos[0]["authority"] == Authority.OPERATOR
    np.testing.assert_allclose(infos[0]["executed_action"], leaders.data.qpos, atol=0.1)
