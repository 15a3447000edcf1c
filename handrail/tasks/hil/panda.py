"""The Panda under impedance control as a Gymnasium environment; a task adds its scene, its truth and its expert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces

from handrail.core.clock import SECOND_NS
from handrail.core.errors import InvalidValueError, require_finite, unknown_name
from handrail.core.values import Array, Observation
from handrail.tasks.base import Camera, PoseNoise, Snapshot, Truth
from handrail.tasks.hil.controller import OperationalSpace
from handrail.tasks.physics import Tick, advance

CONTROL_PERIOD_NS = SECOND_NS // 100
GRIPPER_CLOSED = 255.0  # command
FINGER_CLOSED_RAD = 0.8
CAMERAS = {"front": "front", "wrist": "handcam_rgb"}
IMAGE_SIZE = 128
POSE_NOISE = PoseNoise()


@dataclass
class Progress:
    """What an episode has to remember besides the physics."""

    steps: int = 0
    held: int = 0  # consecutive steps in which the goal condition was met
    blocked: int = 0  # steps in which the object stood against an obstacle
    failure: str = ""
    bias_m: Array = None  # type: ignore[assignment]  # (3,) drawn at reset
    bias_rad: float = 0.0


class PandaTask(gym.Env[dict[str, Any], Array]):
    """10 Hz actions, 500 Hz physics, 100-step episodes, sparse reward.

    Observation: "state" (18,): joint positions 7, joint velocities 7, measured gripper opening
    (1 open, 0 closed; gym-hil has the command here, which does not say whether something is held), tool position 3,
    as in gym-hil;
    "environment_state": the object's pose, seen through `PoseNoise`; with `cameras`, "images.<camera>"
    (128, 128, 3) uint8.
    Action (A,) in [-1, 1]: tool displacement (and yaw), then the gripper: <= -0.5 close, >= 0.5 open, else stay.

    Args:
        cameras: any of "front", "wrist".
        noise: the pose error that learners see.
        horizon: steps until truncation.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    name: str
    instruction: str
    fps = 10
    action_scale: Array  # (A-1,) [m, rad per unit]
    home: Array  # (7,) [rad]
    object_dim: int
    hold_steps = 5  # steps that the goal must be held

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        cameras: Sequence[str] = (),
        noise: PoseNoise = POSE_NOISE,
        horizon: int = 100,
    ) -> None:
        for camera in cameras:
            if camera not in CAMERAS:
                raise unknown_name("camera", camera, CAMERAS)
        self.model, self.data, self.cameras, self.noise, self.horizon = model, data, tuple(cameras), noise, horizon
        self.render_mode = "rgb_array"
        self.model.opt.timestep = 0.002
        self.arm = OperationalSpace(model, data, "pinch", self.home)
        self._control = Tick(CONTROL_PERIOD_NS, self.arm.act)
        self._gripper = model.actuator("fingers_actuator").id
        self._finger = model.joint("right_driver_joint").qposadr[0]
        self._camera: Camera | None = None
        self._progress = Progress()
        action_dim = len(self.action_scale) + 1
        self.action_space = spaces.Box(-1.0, 1.0, (action_dim,), np.float32)
        observed: dict[str, spaces.Space[Any]] = {
            "state": spaces.Box(-np.inf, np.inf, (18,), np.float32),
            "environment_state": spaces.Box(-np.inf, np.inf, (self.object_dim,), np.float32),
        }
        for camera in self.cameras:
            observed[f"images.{camera}"] = spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict(observed)

    # -- what a task supplies ------------------------------------------------------------------------------------------

    def _reset_scene(self, rng: np.random.Generator) -> None:
        """Place the objects."""
        raise AssertionError(f"{type(self).__name__} does not place its objects")

    def _object_pose(self, bias_m: Array, bias_rad: float) -> Array:
        """The object's pose (E,) as a camera with this error would give it."""
        raise AssertionError(f"{type(self).__name__} has no object")

    def _goal_met(self) -> bool:
        """Whether the goal condition holds in this instant."""
        raise AssertionError(f"{type(self).__name__} has no goal")

    def _failure(self) -> str:
        """The kind of irreversible failure that has happened, or an empty string."""
        raise AssertionError(f"{type(self).__name__} cannot fail")

    def _blocked(self) -> bool:
        """Whether the object stands against an obstacle in this instant."""
        return False

    def privileged(self) -> Truth:
        """The truth about this instant."""
        raise AssertionError(f"{type(self).__name__} has no truth")

    def _excuse(self) -> str:
        """Why time ran out."""
        return "timeout"

    # -- Gymnasium -----------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self._control.reset()
        self.data.qpos[:7] = self.home
        bias = self.np_random.normal(size=4)
        self._progress = Progress(bias_m=bias[:3] * self.noise.sigma_m, bias_rad=float(bias[3] * self.noise.sigma_rad))
        self._reset_scene(self.np_random)
        mujoco.mj_forward(self.model, self.data)
        self.arm.position = self.tool_position.copy()
        self._point_down(self.tool_yaw)
        return self._observe(), self._info(False, "")

    def step(self, action: Array) -> tuple[dict[str, Array], float, bool, bool, dict[str, Any]]:
        """Execute `action` (A,).

        Raises:
            NonFiniteError: the action holds NaN or infinity.
        """
        command = np.clip(require_finite("action", action), -1.0, 1.0).astype(np.float64)
        if command.shape != self.action_space.shape:
            raise InvalidValueError(f"action has shape {command.shape}, {self.name} takes {self.action_space.shape}")
        self._aim(command[:-1] * self.action_scale)
        self._grip(command[-1])
        advance(self.model, self.data, self.data.time + 1.0 / self.fps, (self._control,))
        mujoco.mj_forward(self.model, self.data)  # what is read, and what a snapshot holds, is of this very instant
        progress = self._progress
        progress.steps += 1
        progress.held = progress.held + 1 if self._goal_met() else 0
        progress.blocked += self._blocked()
        success = progress.held >= self.hold_steps
        failure = "" if success else self._failure()
        terminated = success or bool(failure)
        truncated = not terminated and progress.steps >= self.horizon
        progress.failure = failure or (self._excuse() if truncated else "")
        return self._observe(), float(success), terminated, truncated, self._info(success, failure)

    def render(self) -> Array:  # type: ignore[override]
        """Return the front view (H, W, 3) uint8."""
        return self.frame("front", 240, 320)

    def frame(self, camera: str, height: int, width: int) -> Array:
        """Return one view (height, width, 3) uint8."""
        if self._camera is None or self._camera_size != (height, width):
            self._close_camera()
            self._camera, self._camera_size = Camera(self.model, height, width), (height, width)
        return self._camera.render(self.data, CAMERAS[camera])

    def close(self) -> None:
        self._close_camera()

    # -- what operators, experts and benches rely on -------------------------------------------------------------------

    def failure_kind(self) -> str:
        """Why the episode failed: empty while it runs and after a success."""
        return self._progress.failure

    def hold(self, observation: Observation) -> Array:
        """The action (A,) that stays where the robot is; actions are displacements here."""
        return np.zeros(self.action_space.shape, np.float32)  # type: ignore[arg-type]

    def snapshot(self) -> Snapshot:
        physics = np.empty(mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(self.model, self.data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        task = {
            "progress": Progress(**vars(self._progress)),
            "target": (self.arm.position.copy(), self.arm.quaternion.copy()),
            "next_ns": self._control.next_ns,
            "rng": self.np_random.bit_generator.state,
        }
        return Snapshot(physics, task)

    def restore(self, snapshot: Snapshot) -> None:
        state = mujoco.mjtState.mjSTATE_INTEGRATION
        mujoco.mj_setState(self.model, self.data, snapshot.physics, state)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, snapshot.physics, state)  # forward has moved the solver's warm start
        self._progress = Progress(**vars(snapshot.task["progress"]))
        self.arm.position, self.arm.quaternion = (value.copy() for value in snapshot.task["target"])
        self._control.next_ns = snapshot.task["next_ns"]
        self.np_random.bit_generator.state = snapshot.task["rng"]

    def action_toward(self, position: Array, yaw: float, grip: float) -> Array:
        """The action (A,) that moves the tool straight toward a pose, saturated without changing its direction."""
        shift = (position - self.tool_position) / self.action_scale[:3]
        shift /= max(1.0, float(np.abs(shift).max()))
        turn = [] if len(self.action_scale) == 3 else [np.clip(wrap(yaw - self.tool_yaw) / self.action_scale[3], -1, 1)]
        return np.concatenate([shift, turn, [grip]]).astype(np.float32)

    @property
    def tool_position(self) -> Array:
        return self.data.site_xpos[self.arm.site_id]

    @property
    def tool_yaw(self) -> float:
        """Rotation of the tool about the vertical [rad]; 0 as at home."""
        rotation = self.data.site_xmat[self.arm.site_id]
        return float(np.arctan2(rotation[3], rotation[0]))

    @property
    def gripper_closed(self) -> bool:
        return bool(self.data.ctrl[self._gripper] > 0.5 * GRIPPER_CLOSED)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _aim(self, shift: Array) -> None:
        """Move the impedance target by `shift` (A-1,) from where the tool is: a blocked tool winds nothing up."""
        self.arm.position = np.clip(self.tool_position + shift[:3], *self.workspace)
        self._point_down(self.tool_yaw + (shift[3] if len(shift) > 3 else 0.0))

    workspace: Array = np.array([[0.25, -0.3, 0.0], [0.65, 0.3, 0.5]])

    def _point_down(self, yaw: float) -> None:
        """Aim the tool down, turned by `yaw`: a half turn about x, then about the vertical."""
        self.arm.quaternion = np.array([0.0, np.cos(yaw / 2), np.sin(yaw / 2), 0.0])

    def _grip(self, command: float) -> None:
        if abs(command) >= 0.5:
            self.data.ctrl[self._gripper] = GRIPPER_CLOSED if command < 0 else 0.0

    def _observe(self) -> dict[str, Array]:
        jitter = self.np_random.normal(size=4) * self.noise.jitter_share
        bias_m = self._progress.bias_m + jitter[:3] * self.noise.sigma_m
        bias_rad = self._progress.bias_rad + float(jitter[3]) * self.noise.sigma_rad
        opening = 1.0 - self.data.qpos[self._finger] / FINGER_CLOSED_RAD
        state = np.concatenate([self.data.qpos[:7], self.data.qvel[:7], [opening], self.tool_position])
        observation = {
            "state": state.astype(np.float32),
            "environment_state": self._object_pose(bias_m, bias_rad).astype(np.float32),
        }
        for camera in self.cameras:
            observation[f"images.{camera}"] = self.frame(camera, IMAGE_SIZE, IMAGE_SIZE)
        return observation

    def _info(self, success: bool, failure: str) -> dict[str, Any]:
        return {"success": success, "cost": int(bool(failure))}

    def _contact_force(self, geoms: frozenset[int]) -> float:
        """Largest normal force [N] on any of `geoms` from something that is not the gripper's pads."""
        force, largest = np.zeros(6), 0.0
        for index in range(self.data.ncon):
            pair = set(self.data.contact.geom[index].tolist())
            if pair & geoms and not pair & self._pads:
                mujoco.mj_contactForce(self.model, self.data, index, force)
                largest = max(largest, float(force[0]))
        return largest

    @property
    def _pads(self) -> set[int]:
        return {self.model.geom(f"{side}_pad{i}").id for side in ("left", "right") for i in (1, 2)}

    def _gripped(self, geoms: frozenset[int]) -> bool:
        """Both fingers touch the object."""
        sides = {"left": False, "right": False}
        pads = {self.model.geom(f"{side}_pad{i}").id: side for side in sides for i in (1, 2)}
        for index in range(self.data.ncon):
            one, other = self.data.contact.geom[index].tolist()
            for pad, thing in ((one, other), (other, one)):
                if pad in pads and thing in geoms:
                    sides[pads[pad]] = True
        return all(sides.values())

    def _close_camera(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None


def wrap(angle: float) -> float:
    """The same angle in (-pi, pi]."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def half_turn(angle: float) -> float:
    """The nearest angle that is the same for a parallel gripper, in (-pi/2, pi/2]."""
    return float((angle + np.pi / 2) % np.pi - np.pi / 2)
