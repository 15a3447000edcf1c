"""Meta-World's Sawyer as a lean Gymnasium environment: stock's dynamics, observation and reward, plus a constraint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces

from handrail.core.errors import InvalidValueError, require_finite, unknown_name
from handrail.core.values import Array, Observation
from handrail.tasks.base import Camera, PoseNoise, Snapshot
from handrail.tasks.failurebench.rewards import Point, Reading, Score, Start
from handrail.tasks.failurebench.scene import SCENE_CAMERA, compiled, quaternion, turned
from handrail.tasks.physics import advance

CONTROL_S = 0.0125  # five physics steps of 2.5 ms
SETTLE_STEPS = 50  # stock's `_reset_hand`
HAND_HOME = (0.0, 0.6, 0.2)
HAND_LOW, HAND_HIGH = (-0.5, 0.4, 0.05), (0.5, 1.0, 0.5)  # of the mocap body
MOCAP_QUATERNION = (1.0, 0.0, 1.0, 0.0)  # not normalised: as stock writes it
SEEN_LOW, SEEN_HIGH = (-0.525, 0.348, -0.0525, -1.0), (0.525, 1.025, 0.7, 1.0)  # hand and gripper
ONE, MINUS_ONE = np.float32(1.0), np.float32(-1.0)
STEP_M = np.float32(0.01)  # mocap displacement of a unit action
TRUTH_REACH_M = 1.0  # distances to what must not be touched are told up to here
APART_M = 0.15  # object and goal are drawn again when closer
CAMERAS = {"front": SCENE_CAMERA, "top": "topview"}
INTEGRATION = mujoco.mjtState.mjSTATE_INTEGRATION
NO_ERROR = (0.0, 0.0, 0.0, 0.0)
UNUSED = (0.0,) * 7


@dataclass(frozen=True)
class Ranges:
    """Where object and goal are drawn [m]: stock's, all heights left out because stock overwrites them."""

    object_x: tuple[float, float]
    object_y: tuple[float, float]
    goal_x: tuple[float, float]
    goal_y: tuple[float, float]
    goal_z: tuple[float, float]  # only the observation's bounds

    def widened(self, scale: float) -> Ranges:
        """The same with the object's range scaled about its middle."""
        return Ranges(
            _scaled(self.object_x, scale), _scaled(self.object_y, scale), self.goal_x, self.goal_y, self.goal_z
        )


@dataclass(frozen=True, slots=True)
class SawyerTruth:
    """What `privileged()` returns. Only oracles, simulated people and benches may look."""

    progress: float  # in [0, 1]: 0.3 for reaching the object, 0.7 for bringing it to the goal (ours)
    tool_position: Array  # (3,) [m], between the finger tips
    object_position: Array  # (3,) [m]
    goal: Array  # (3,) [m]
    failure_margin_m: float  # signed distance to the violation, negative inside it
    in_violation: bool


class SawyerTask(gym.Env[Array, Array]):
    """80 Hz actions, 400 Hz physics. The base of the four tasks of FailureBench.

    Observation (39,) float64, as stock's with the goal visible: hand 3, gripper opening, object position 3,
    quaternion 4 (x, y, z, w), 7 zeros; the same 18 of the step before; goal 3. Action (4,): hand displacement in units
    of 1 cm, gripper effort (1 closes). An episode is terminated by success and truncated at the horizon; a failure
    ends nothing: `info["cost"]` is 1 at each step in violation. Stepping on past the end is allowed.

    Args:
        noise: the pose error that learners see; None for the truth, as stock.
        horizon: steps until truncation; the task's own when None.
        object_range_scale: widens where the object is drawn, about the middle (shifted evaluation).
        friction_scale: scales the friction of every geom (shifted evaluation).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}
    name: str
    instruction: str
    fps = 80
    action_scale = np.full(3, float(STEP_M))  # [m per unit]
    violation: ClassVar[str]  # what `failure_kind` calls it
    cap: ClassVar[int]  # steps
    ranges: ClassVar[Ranges]
    object_body: ClassVar[str] = "obj"
    success_radius_m: ClassVar[float]

    def __init__(
        self,
        spec: mujoco.MjSpec,
        *,
        noise: PoseNoise | None = None,
        horizon: int | None = None,
        object_range_scale: float = 1.0,
        friction_scale: float = 1.0,
    ) -> None:
        self.horizon = self.cap if horizon is None else horizon
        for what, value in (
            ("horizon", self.horizon),
            ("object_range_scale", object_range_scale),
            ("friction_scale", friction_scale),
        ):
            if not value > 0:
                raise InvalidValueError(f"{what} is {value}, it must be positive: leave it out for the task's own")
        self.model = compiled(spec)
        self.model.geom_friction *= friction_scale
        self.data = mujoco.MjData(self.model)
        self.noise, self._ranges = noise, self.ranges.widened(object_range_scale)
        self.render_mode = "rgb_array"
        self._camera: Camera | None = None
        self._hold_views()
        goal = self._ranges
        seen = [(*SEEN_LOW, *(-math.inf,) * 14) * 2 + (goal.goal_x[0], goal.goal_y[0], goal.goal_z[0])]
        seen += [(*SEEN_HIGH, *(math.inf,) * 14) * 2 + (goal.goal_x[1], goal.goal_y[1], goal.goal_z[1])]
        self._low, self._high = np.array(seen)
        self.observation_space = spaces.Box(self._low, self._high, dtype=np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self._settle()
        self.reset(seed=0)

    # -- what a task supplies ------------------------------------------------------------------------------------------

    def _object_height(self) -> float:
        """Height [m] at which the object is put down; called once, when the hand has settled."""
        return float(self._object[2])

    def _goal_height(self, object_height: float) -> float:
        """Height [m] of the goal."""
        return object_height

    def _show_goal(self, goal: Point) -> None:
        """Move the goal in the model."""
        self.model.site_pos[self._goal_site] = goal

    def _score(self, now: Reading, start: Start, effort: float) -> Score:
        """Stock's reward."""
        raise AssertionError(f"{type(self).__name__} has no reward")

    def _in_violation(self, now: Reading) -> bool:
        """Whether the constraint is violated in this instant."""
        raise AssertionError(f"{type(self).__name__} cannot fail")

    def _margin_m(self, now: Reading) -> float:
        """Signed distance to the violation."""
        raise AssertionError(f"{type(self).__name__} has no margin")

    # -- Gymnasium -----------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start an episode; `options={"object": (x, y), "goal": (x, y)}` places either [m] instead of drawing it."""
        super().reset(seed=seed)
        drawn_object, drawn_goal = self._draw()
        x, y = (options or {}).get("object", drawn_object)
        goal_x, goal_y = (options or {}).get("goal", drawn_goal)
        error = NO_ERROR
        if self.noise is not None:
            error = self._pose_error(1.0)
        start = Start(
            (float(x), float(y), self._start_height),
            (float(goal_x), float(goal_y), self._goal_height(self._start_height)),
            self._start_tool,
        )
        mujoco.mj_setState(self.model, self.data, self._settled, INTEGRATION)
        self._begin(start, error)
        self.data.qpos[9:12] = start.object
        self.data.qvel[9:15] = 0.0
        mujoco.mj_forward(self.model, self.data)
        self._steps, self._effort, self._finished = 0, -1.0, ""
        self._now = self._read()
        self._violating = self._in_violation(self._now)
        self._violated = self._violating
        self._frame = self._seen_frame(self._now)
        return np.array((*self._frame, *self._frame, *start.goal)), {"success": False, "cost": int(self._violating)}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Execute `action` (4,).

        Raises:
            NonFiniteError: the action holds NaN or infinity.
            InvalidValueError: the action has another shape.
        """
        self._command(action)
        advance(self.model, self.data, self.data.time + CONTROL_S)
        mujoco.mj_forward(self.model, self.data)  # as stock: what is read is of this instant, and so is the warm start
        self._steps += 1
        now = self._now = self._read()
        score = self._score(now, self._start, self._effort)
        self._violating = self._in_violation(now)
        self._violated = self._violated or self._violating
        truncated = not score.success and self._steps >= self.horizon
        self._finished = "timeout" if truncated else ""
        return self._observe(now), score.reward, score.success, truncated, self._info(now, score)

    def render(self) -> Array:  # type: ignore[override]
        """Return the front view (240, 320, 3) uint8."""
        return self.frame("front", 240, 320)

    def frame(self, camera: str, height: int, width: int) -> Array:
        """Return one view (height, width, 3) uint8: "front" or "top".

        Raises:
            UnknownNameError: no such camera.
        """
        if camera not in CAMERAS:
            raise unknown_name("camera", camera, CAMERAS)
        if self._camera is None or self._camera_size != (height, width):
            self.close()
            self._camera, self._camera_size = Camera(self.model, height, width), (height, width)
        mujoco.mj_camlight(self.model, self.data)
        return self._camera.render(self.data, CAMERAS[camera])

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    # -- what monitors' oracles, experts and benches rely on -----------------------------------------------------------

    def failure_kind(self) -> str:
        """The violation, if there was one in this episode; else "timeout" after time ran out; else empty."""
        return self.violation if self._violated else self._finished

    def hold(self, observation: Observation | Array) -> Array:
        """The action (4,) that stays where the robot is and keeps the gripper's effort."""
        return np.array((0.0, 0.0, 0.0, self._effort), np.float32)

    def privileged(self) -> SawyerTruth:
        """The truth about this instant."""
        now, start = self._now, self._start
        reach = 1.0 - math.dist(now.object, now.tool) / math.dist(start.object, start.tool)
        radius = self.success_radius_m
        far, farthest = math.dist(now.object, start.goal) - radius, math.dist(start.object, start.goal) - radius
        bring = 1.0 - far / max(farthest, 1e-9)
        progress = 1.0 if far <= 0.0 else 0.3 * min(1.0, max(0.0, reach)) + 0.7 * min(1.0, max(0.0, bring))
        tool, thing, goal = np.array((now.tool, now.object, start.goal))
        return SawyerTruth(progress, tool, thing, goal, self._margin_m(now), self._violating)

    def snapshot(self) -> Snapshot:
        """Everything needed to continue bit for bit, in microseconds: an oracle takes one at every step."""
        physics = np.empty(self._state_size)
        mujoco.mj_getState(self.model, self.data, physics, INTEGRATION)
        task = {
            "episode": (self._start, self._error),
            "steps": (self._steps, self._effort, self._finished, self._violating, self._violated),
            "reading": (self._now, self._frame),
            "rng": self.np_random.bit_generator.state,
        }
        return Snapshot(physics, task)

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from `snapshot`, of this episode or another one of this environment."""
        task = snapshot.task
        if task["episode"][0] is not self._start:
            self._begin(*task["episode"])
        mujoco.mj_setState(self.model, self.data, snapshot.physics, INTEGRATION)
        mujoco.mj_kinematics(self.model, self.data)  # where things are, for whoever asks before the next step
        self._error = task["episode"][1]
        self._steps, self._effort, self._finished, self._violating, self._violated = task["steps"]
        self._now, self._frame = task["reading"]
        self.np_random.bit_generator.state = task["rng"]

    # -- inside --------------------------------------------------------------------------------------------------------

    def _hold_views(self) -> None:
        """Keep views of what is read at every step; looking names up is what makes stock slow."""
        model, data = self.model, self.data
        body = {name: data.xpos[model.body(name).id] for name in ("hand", "leftclaw", "rightclaw")}
        self._hand, self._claws = body["hand"], (body["rightclaw"], body["leftclaw"])
        self._tips = tuple(data.site_xpos[model.site(f"{side}EndEffector").id] for side in ("right", "left"))
        self._pads = tuple(data.xpos[model.body(f"{side}pad").id] for side in ("left", "right"))
        self._pad_geoms = tuple(model.geom(f"{side}pad_geom").id for side in ("left", "right"))
        thing = model.body(self.object_body).id
        self._object, self._object_matrix = data.xpos[thing], data.xmat[thing]
        self._object_geom = model.geom("objGeom").id
        self._goal_site = model.site("goal").id
        self._mocap_position, self._mocap_quaternion, self._ctrl = data.mocap_pos[0], data.mocap_quat[0], data.ctrl
        self._state_size = mujoco.mj_stateSize(model, INTEGRATION)

    def _settle(self) -> None:
        """Bring the hand home as every stock reset does, once: it always ends the same."""
        mujoco.mj_resetData(self.model, self.data)
        for _ in range(SETTLE_STEPS):
            self._mocap_position[:] = HAND_HOME
            self._mocap_quaternion[:] = MOCAP_QUATERNION
            self._ctrl[:] = (-1.0, 1.0)
            mujoco.mj_step(self.model, self.data, nstep=5)
        self._settled = np.empty(self._state_size)
        mujoco.mj_getState(self.model, self.data, self._settled, INTEGRATION)
        self._start_height = self._object_height()
        self._start_tool = self._read().tool

    def _draw(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Object and goal [m], drawn as stock draws them: again when closer than `APART_M`."""
        ranges = self._ranges
        low, high = np.array((ranges.object_x, ranges.object_y, ranges.goal_x, ranges.goal_y)).T
        while True:
            x, y, goal_x, goal_y = self.np_random.uniform(low, high).tolist()
            if math.hypot(x - goal_x, y - goal_y) >= APART_M:
                return (x, y), (goal_x, goal_y)

    def _begin(self, start: Start, error: tuple[float, ...]) -> None:
        self._start, self._error = start, error
        self._show_goal(start.goal)

    def _command(self, action: Array) -> None:
        """Move the mocap body by the action and set the fingers, rounding as stock does on float32 actions."""
        wanted = np.asarray(action, np.float32)
        if wanted.shape != (4,):
            raise InvalidValueError(f"action has shape {wanted.shape}, {self.name} takes (4,)")
        if not math.isfinite(sum(wanted.tolist())):
            require_finite("action", wanted)
        bounded = np.minimum(np.maximum(wanted, MINUS_ONE), ONE)
        shift = (bounded[:3] * STEP_M).tolist()
        place = zip(self._mocap_position.tolist(), shift, HAND_LOW, HAND_HIGH, strict=True)
        self._mocap_position[:] = [min(max(here + by, low), high) for here, by, low, high in place]
        self._mocap_quaternion[:] = MOCAP_QUATERNION
        self._effort = effort = float(bounded[3])
        self._ctrl[:] = (effort, -effort)

    def _read(self) -> Reading:
        right, left = (tip.tolist() for tip in self._tips)
        one, other = (claw.tolist() for claw in self._claws)
        return Reading(
            tuple(self._hand.tolist()),
            min(1.0, math.dist(one, other) / 0.1),
            tuple(self._object.tolist()),
            quaternion(self._object_matrix.tolist()),
            ((right[0] + left[0]) / 2.0, (right[1] + left[1]) / 2.0, (right[2] + left[2]) / 2.0),
            float(self._pads[0][1]),
            float(self._pads[1][1]),
        )

    def _seen_frame(self, now: Reading) -> tuple[float, ...]:
        """Half an observation (18,): what is seen now."""
        if self.noise is None:
            return (*now.hand, now.opening, *now.object, *now.quaternion, *UNUSED)
        jitter = self._pose_error(self.noise.jitter_share)
        x, y, z, yaw = (a + b for a, b in zip(self._error, jitter, strict=True))
        place = (now.object[0] + x, now.object[1] + y, now.object[2] + z)
        return (*now.hand, now.opening, *place, *turned(now.quaternion, yaw), *UNUSED)

    def _pose_error(self, share: float) -> tuple[float, ...]:
        """Draw an error of the object's position [m] and yaw [rad]."""
        noise: PoseNoise = self.noise  # type: ignore[assignment]
        x, y, z, yaw = (share * self.np_random.normal(size=4)).tolist()
        return x * noise.sigma_m, y * noise.sigma_m, z * noise.sigma_m, yaw * noise.sigma_rad

    def _observe(self, now: Reading) -> Array:
        frame = self._seen_frame(now)
        observation = np.array((*frame, *self._frame, *self._start.goal))
        self._frame = frame
        np.maximum(observation, self._low, out=observation)
        return np.minimum(observation, self._high, out=observation)

    def _info(self, now: Reading, score: Score) -> dict[str, Any]:
        lifted = now.opening > 0.0 and now.object[2] - 0.02 > self._start.object[2]
        return {
            "success": score.success,
            "cost": int(self._violating),
            "near_object": float(score.tool_to_object <= 0.03),
            "grasp_success": float(lifted and self._gripped()),
            "grasp_reward": score.grasp,
            "in_place_reward": score.in_place,
            "obj_to_target": score.object_to_target,
            "unscaled_reward": score.reward,
        }

    def _gripped(self) -> bool:
        """Both pads press on the object."""
        force = dict.fromkeys(self._pad_geoms, 0.0)
        for contact in self.data.contact:
            for pad in self._pad_geoms:
                if {pad, self._object_geom} == {contact.geom1, contact.geom2}:
                    force[pad] += float(self.data.efc_force[contact.efc_address])
        return all(value > 0.0 for value in force.values())


def _scaled(interval: tuple[float, float], scale: float) -> tuple[float, float]:
    middle, half = (interval[0] + interval[1]) / 2, (interval[1] - interval[0]) / 2
    return middle - scale * half, middle + scale * half
