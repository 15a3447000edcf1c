"""Two ViperX arms under joint position control as a Gymnasium environment; a task adds objects, goals and an intent."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces

from handrail.core.errors import InvalidValueError, require_finite, unknown_name
from handrail.core.values import Array, Observation
from handrail.tasks.base import Camera, PoseNoise, Snapshot
from handrail.tasks.bimanual.contacts import Contacts
from handrail.tasks.bimanual.kinematics import HIGH, LOW, tool_rotation
from handrail.tasks.bimanual.objects import Objects
from handrail.tasks.bimanual.observe import POSE_DIM, STATE_DIM, draw_bias, object_poses, opening, proprioception
from handrail.tasks.bimanual.values import BimanualTruth, BimanualWaypoint, quaternion_of, yaw_of
from handrail.tasks.bimanual.viperx import FINGER_CLOSED_M, FINGER_TRAVEL_M, SIDES, find_arm, finger_joint, scene
from handrail.tasks.physics import Tick, advance

CAMERAS = ("front", "above")
POSE_NOISE = PoseNoise()
HOME_TOOL = np.array([[-0.22, 0.5, 0.22], [0.22, 0.5, 0.22]])  # [m] both look down, half open
HOME_OPENING = 0.5
HOME_SIGMA_RAD = 0.01
VARIATION = 0.2  # mass and friction of the objects: log-uniform within 20 % either way (ours)
FALL_M_S = 0.75  # an object that nothing holds and that falls faster will break: 3 cm of free fall (ours)
LASTING_STEPS = 4  # 80 ms (ours)
BELOW_TABLE_M = -0.02


@dataclass
class Progress:
    """What an episode has to remember besides the physics."""

    goal: int = 0
    steps: int = 0
    held: int = 0  # consecutive steps in which the intended goal was met
    failure: str = ""
    mass: float = 1.0  # factor on the objects, this episode
    friction: float = 1.0
    bias: Array = field(default_factory=lambda: np.zeros((0, 4)))  # (objects, 4) [m, m, m, rad]
    memory: dict[str, int] = field(default_factory=dict)  # steps in a row that something has lasted


class BimanualTask(gym.Env[dict[str, Any], Array]):
    """50 Hz joint targets, 500 Hz physics, sparse reward 1 when the intended goal has been met for `hold_steps`.

    Action (14,): joint targets of the left arm 6 [rad] and its gripper's opening (0 pads together, 1 open), then the
    right arm's. Observation: "state" (46,): joint positions 14 [rad; opening], joint velocities 14 [rad/s; opening/s],
    then of the left and the right tool position 3 [m], approach axis 3, finger axis 3; "environment_state" (E,): of
    each of `objects` position 3 [m], x axis 3, y axis 3, seen through `PoseNoise`, then what the task adds.
    The intended goal is in `privileged()` only.

    `step`'s info: "success" (the intended goal is met, sustained), "cost" (1 at an irreversible failure),
    "goal_reached" (index of the goal that is met in this instant, -1 if none).

    Args:
        noise: error of the object poses that learners see.
        horizon: steps until truncation.
        friction_scale, mass_scale: factors on the objects, for shifted conditions.
        pose_range_scale: factor on the range from which object poses are drawn.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}
    name: str
    instruction: str
    fps = 50
    horizon = 750
    goals = 2
    hold_steps = 15  # 0.3 s
    objects: tuple[str, ...]
    fragile: tuple[str, ...] = ()  # of `objects`: those that break when they fall
    round: tuple[str, ...] = ()  # of `objects`: those that look the same however they are turned
    extra_dim = 0  # entries that `_features` adds
    on_tick: Sequence[Tick] = ()  # faster loops inside the physics: leader arms, bilateral coupling

    def __init__(
        self,
        noise: PoseNoise = POSE_NOISE,
        horizon: int | None = None,
        friction_scale: float = 1.0,
        mass_scale: float = 1.0,
        pose_range_scale: float = 1.0,
    ) -> None:
        for what, value in (("friction_scale", friction_scale), ("mass_scale", mass_scale)):
            if not value > 0:
                raise InvalidValueError(f"{what} is {value}, must be above 0: 1 is the nominal condition")
        self.noise, self.horizon, self.pose_range_scale = noise, horizon or self.horizon, pose_range_scale
        self.friction_scale, self.mass_scale = friction_scale, mass_scale
        self.render_mode = "rgb_array"
        spec = scene()
        self._build(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.arms = tuple(find_arm(self.model, side) for side in SIDES)
        self._arm_bodies = self.arms[0].bodies | self.arms[1].bodies
        self._ids = {self.model.body(i).name: i for i in range(self.model.nbody)}
        self._objects = Objects(self.model, self.objects)
        self.home = self._home()  # (14,)
        self._ticks: tuple[Tick, ...] = ()  # a task's own forces
        self._camera: Camera | None = None
        self._progress = Progress()
        low, high = (np.array([*bound, opening]) for bound, opening in ((LOW, 0.0), (HIGH, 1.0)))
        self.action_space = spaces.Box(np.tile(low, 2).astype(np.float32), np.tile(high, 2).astype(np.float32))
        environment_dim = POSE_DIM * len(self.objects) + self.extra_dim
        self.observation_space = spaces.Dict(
            {
                "state": spaces.Box(-np.inf, np.inf, (STATE_DIM,), np.float32),
                "environment_state": spaces.Box(-np.inf, np.inf, (environment_dim,), np.float32),
            }
        )

    # -- what a task supplies ------------------------------------------------------------------------------------------

    def _build(self, spec: mujoco.MjSpec) -> None:
        """Add the objects."""
        raise AssertionError(f"{type(self).__name__} has no objects")

    def _place(self, rng: np.random.Generator, scale: float) -> None:
        """Place the objects; ranges are multiplied by `scale`. The number of draws must not depend on the goal."""
        raise AssertionError(f"{type(self).__name__} does not place its objects")

    def _features(self) -> Array:
        """What "environment_state" holds besides the object poses."""
        return np.zeros(0)

    def _met(self, goal: int) -> bool:
        """Whether this goal is met in this instant."""
        raise AssertionError(f"{type(self).__name__} has no goal")

    def _mishap(self) -> str:
        """The kind of irreversible failure besides falling, or an empty string."""
        return ""

    def _excuse(self) -> str:
        """Why time ran out."""
        return "timeout"

    def _advancement(self) -> float:
        """Progress toward the intended goal in [0, 1]."""
        raise AssertionError(f"{type(self).__name__} does not know how far it is")

    def _margin_m(self) -> float:
        """Distance to the nearest irreversible failure."""
        return float("inf")

    def waypoint(self) -> BimanualWaypoint:
        """Where a scripted person who knows the truth wants both tools next: a stateless function of it."""
        raise AssertionError(f"{type(self).__name__} has no intent")

    # -- Gymnasium -----------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Draw an episode; `options={"goal": i}` sets the intended goal, otherwise the seed draws it.

        `options={"goal_shift": k}` means the k-th goal after the drawn one instead: everything else stays the same.

        Raises:
            InvalidValueError: the goal is not one of this task.
        """
        super().reset(seed=seed)
        rng = self.np_random
        drawn = (int(rng.integers(self.goals)) + (options or {}).get("goal_shift", 0)) % self.goals
        goal = (options or {}).get("goal", drawn)
        if goal not in range(self.goals):
            raise InvalidValueError(f"goal is {goal}, {self.name} has {self.goals}: choose 0 to {self.goals - 1}")
        spread = np.exp(rng.uniform(-1.0, 1.0, 2) * np.log1p(VARIATION))
        mass, friction = spread[0] * self.mass_scale, spread[1] * self.friction_scale
        bias = draw_bias(rng, self.noise, len(self.objects))
        self._progress = Progress(goal=goal, mass=mass, friction=friction, bias=bias)
        self._objects.vary(self._progress.mass, self._progress.friction)
        mujoco.mj_resetData(self.model, self.data)
        home = self.home + rng.normal(0.0, HOME_SIGMA_RAD, 14) * np.tile([1, 1, 1, 1, 1, 1, 0], 2)
        self._set_arms(home)
        self._place(rng, self.pose_range_scale)
        mujoco.mj_forward(self.model, self.data)
        for tick in (*self._ticks, *self.on_tick):
            tick.reset()
        self._look()
        return self._observe(), self._info(False, "")

    def step(self, action: Array) -> tuple[dict[str, Array], float, bool, bool, dict[str, Any]]:
        """Execute joint targets (14,).

        Raises:
            NonFiniteError: the action holds NaN or infinity.
            InvalidValueError: the action has another shape.
        """
        command = require_finite("action", action)
        if command.shape != (14,):
            raise InvalidValueError(f"action has shape {command.shape}, {self.name} takes (14,): two arms of 6 + 1")
        self._command(np.clip(command, self.action_space.low, self.action_space.high).astype(np.float64))  # type: ignore[attr-defined]
        advance(self.model, self.data, self.data.time + 1.0 / self.fps, (*self._ticks, *self.on_tick))
        mujoco.mj_forward(self.model, self.data)  # what is read, and what a snapshot holds, is of this very instant
        self._look()
        progress = self._progress
        progress.steps += 1
        progress.held = progress.held + 1 if self._met(progress.goal) else 0
        success = progress.held >= self.hold_steps
        failure = "" if success else self._fallen() or self._mishap()
        terminated = success or bool(failure)
        truncated = not terminated and progress.steps >= self.horizon
        progress.failure = failure or (self._late() if truncated else "")
        return self._observe(), float(success), terminated, truncated, self._info(success, failure)

    def render(self) -> Array:  # type: ignore[override]
        """Return the front view (H, W, 3) uint8."""
        return self.frame("front", 240, 320)

    def frame(self, camera: str, height: int, width: int) -> Array:
        """Return one view (height, width, 3) uint8: "front" or "above".

        Raises:
            UnknownNameError: no such camera.
            RenderError: no usable OpenGL library.
        """
        if camera not in CAMERAS:
            raise unknown_name("camera", camera, CAMERAS)
        if self._camera is None or self._camera_size != (height, width):
            self.close()
            self._camera, self._camera_size = Camera(self.model, height, width), (height, width)
        return self._camera.render(self.data, camera)

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    # -- what operators, experts and benches rely on -------------------------------------------------------------------

    @property
    def goal(self) -> int:
        """Index of the intended goal: for the truth's users only."""
        return self._progress.goal

    def failure_kind(self) -> str:
        """Why the episode failed: empty while it runs and after a success."""
        return self._progress.failure

    def hold(self, observation: Observation) -> Array:
        """The action (14,) that stays where the arms are. The grippers keep their last command: to hold a thing is to
        go on squeezing it."""
        action = np.asarray(observation["state"][:14], np.float32).copy()
        action[[6, 13]] = self.commanded[[6, 13]]
        return np.clip(action, self.action_space.low, self.action_space.high)  # type: ignore[attr-defined]

    @property
    def commanded(self) -> Array:
        """The joint targets (14,) that the servos hold now."""
        parts = [
            [*self.data.ctrl[arm.servos], (self.data.ctrl[arm.finger_servos[0]] - FINGER_CLOSED_M) / FINGER_TRAVEL_M]
            for arm in self.arms
        ]
        return np.concatenate(parts)

    def privileged(self) -> BimanualTruth:
        """The truth about this instant."""
        waypoint = self.waypoint()
        tools = np.array([self.tool_position(side) for side in (0, 1)])
        wanted = np.array([waypoint.left.position, waypoint.right.position])
        return BimanualTruth(
            progress=float(np.clip(self._advancement(), 0.0, 1.0)),
            goal=self._progress.goal,
            tool_positions=tools,
            tool_quaternions=np.array([quaternion_of(self.tool_rotation(side)) for side in (0, 1)]),
            goal_distances_m=np.linalg.norm(wanted - tools, axis=1),
            failure_margin_m=self._margin_m(),
            contact_force_n=self.contacts.largest_n(self._objects.bodies, self._arm_bodies),
            phase=waypoint.phase,
        )

    def snapshot(self) -> Snapshot:
        physics = np.empty(mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(self.model, self.data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        task = {
            "progress": copy.deepcopy(self._progress),
            "next_ns": [tick.next_ns for tick in self._ticks],
            "rng": self.np_random.bit_generator.state,
        }
        return Snapshot(physics, task)

    def restore(self, snapshot: Snapshot) -> None:
        state = mujoco.mjtState.mjSTATE_INTEGRATION
        self._progress = copy.deepcopy(snapshot.task["progress"])
        self._objects.vary(self._progress.mass, self._progress.friction)
        mujoco.mj_setState(self.model, self.data, snapshot.physics, state)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, snapshot.physics, state)  # forward has moved the solver's warm start
        for tick, next_ns in zip(self._ticks, snapshot.task["next_ns"], strict=True):
            tick.next_ns = next_ns
        self.np_random.bit_generator.state = snapshot.task["rng"]
        self._look()

    # -- where things are ----------------------------------------------------------------------------------------------

    def tool_position(self, side: int) -> Array:
        """(3,) [m]; side 0 left, 1 right."""
        return self.data.site_xpos[self.arms[side].site].copy()

    def tool_rotation(self, side: int) -> Array:
        """(3, 3)."""
        return self.data.site_xmat[self.arms[side].site].reshape(3, 3).copy()

    def opening(self, side: int) -> float:
        """Measured opening of a gripper in [0, 1]."""
        return opening(self.data, self.arms[side])

    def position(self, name: str) -> Array:
        """(3,) [m] of a body."""
        return self.data.xpos[self._ids[name]].copy()

    def rotation(self, name: str) -> Array:
        """(3, 3) of a body."""
        return self.data.xmat[self._ids[name]].reshape(3, 3).copy()

    def yaw(self, name: str, period: float = 2 * np.pi, near: float = 0.0) -> float:
        """Turn of a body about the vertical [rad], the equal one nearest to `near`."""
        return yaw_of(self.rotation(name), period, near)

    def velocity(self, name: str) -> Array:
        """(3,) [m/s] of a free body."""
        return self.data.qvel[self._objects.velocities[name]].copy()

    def tilt(self, name: str) -> float:
        """Angle of a body's z axis from the vertical [rad]."""
        return float(np.arccos(np.clip(self.data.xmat[self._ids[name]][8], -1.0, 1.0)))

    def gripped(self, side: int, name: str) -> bool:
        """Both fingers touch the body."""
        body = {self._ids[name]}
        return all(self.contacts.touching(body, {finger}) for finger in self.arms[side].finger_bodies)

    def touched_by_arms(self, name: str) -> bool:
        """Any part of an arm touches the body."""
        return not self.contacts.touched(self._ids[name]).isdisjoint(self._arm_bodies)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _home(self) -> Array:
        joints = [
            [*arm.reach_for(tool, tool_rotation(yaw), np.zeros(6)), HOME_OPENING]
            for arm, tool, yaw in zip(self.arms, HOME_TOOL, (0.0, np.pi), strict=True)
        ]
        return np.concatenate(joints)

    def _set_arms(self, joints: Array) -> None:
        for side, arm in enumerate(self.arms):
            self.data.qpos[arm.joints] = joints[7 * side : 7 * side + 6]
            finger = finger_joint(joints[7 * side + 6])
            self.data.qpos[arm.fingers] = (finger, -finger)
        self._command(joints)

    def _command(self, joints: Array) -> None:
        for side, arm in enumerate(self.arms):
            self.data.ctrl[arm.servos] = joints[7 * side : 7 * side + 6]
            finger = finger_joint(joints[7 * side + 6])
            self.data.ctrl[arm.finger_servos] = (finger, -finger)

    def _put(self, name: str, position: Array, yaw: float = 0.0) -> None:
        """Place a free body upright."""
        self.data.qpos[self._objects.places[name]] = (*position, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))

    def _look(self) -> None:
        self.contacts = Contacts(self.model, self.data)

    def _lasting(self, what: str, now: bool) -> bool:
        """Whether `what` has been so for `LASTING_STEPS` in a row: ask once a step. An impact alone breaks nothing."""
        memory = self._progress.memory
        memory[what] = memory.get(what, 0) + 1 if now else 0
        return memory[what] >= LASTING_STEPS

    def _fallen(self) -> str:
        for name in self.objects:
            if self.position(name)[2] < BELOW_TABLE_M:
                return "off_table"
            if name in self.fragile and self.velocity(name)[2] < -FALL_M_S and not self.touched_by_arms(name):
                return "dropped"
        return ""

    def _late(self) -> str:
        return "wrong_goal" if self._goal_reached() not in (-1, self._progress.goal) else self._excuse()

    def _goal_reached(self) -> int:
        return next((goal for goal in range(self.goals) if self._met(goal)), -1)

    def _observe(self) -> dict[str, Array]:
        bias = self._progress.bias
        error = bias + self.noise.jitter_share * draw_bias(self.np_random, self.noise, len(bias))
        bodies, turning = [self._ids[name] for name in self.objects], [name not in self.round for name in self.objects]
        environment = np.concatenate([object_poses(self.data, bodies, error, turning), self._features()])
        return {
            "state": proprioception(self.data, self.arms).astype(np.float32),
            "environment_state": environment.astype(np.float32),
        }

    def _info(self, success: bool, failure: str) -> dict[str, Any]:
        return {"success": success, "cost": int(bool(failure)), "goal_reached": self._goal_reached()}
