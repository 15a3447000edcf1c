"""PickCube: gym-hil's own environment behind an adapter that seeds the block and wants success sustained."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from handrail.core.errors import RenderError
from handrail.core.values import Array
from handrail.tasks.base import Truth
from handrail.tasks.gl import no_gl
from handrail.tasks.hil.panda import PandaTask

LIFT_M = 0.1


class PickCube(PandaTask):
    """Lift a 4 cm cube more than 0.1 m and hold it for five steps.

    Model, home pose, workspace and block range are those of `gym_hil/PandaPickCubeBase-v0` with
    `random_block_position=True`, whose `reset` draws the block from NumPy's global generator; here `reset(seed)` draws
    it. As there, the impedance target integrates the actions. Stock recomputes its controller at 500 Hz, this one at
    100 Hz; a test compares the two motions.
    """

    name = "PickCube"
    instruction = "pick up the cube"
    action_scale = np.array([0.025, 0.025, 0.025])
    object_dim = 3

    def __init__(self, **options: Any) -> None:
        from gym_hil.envs.panda_pick_gym_env import (  # imports input libraries: only when the task is used
            _CARTESIAN_BOUNDS,
            _PANDA_HOME,
            _SAMPLING_BOUNDS,
            PandaPickCubeGymEnv,
        )

        try:
            self.stock = PandaPickCubeGymEnv(random_block_position=True)
        except Exception as error:  # it builds a renderer at once
            raise RenderError(no_gl(error)) from error
        self.stock.close()
        self.home, self.workspace, self._block_range = _PANDA_HOME, _CARTESIAN_BOUNDS, _SAMPLING_BOUNDS
        super().__init__(self.stock.model, self.stock.data, **options)
        self._block = frozenset({self.model.geom("block").id})
        self._block_adr = self.model.joint("block").qposadr[0]
        self._half_m = float(self.model.geom("block").size[2])

    @property
    def object_position(self) -> Array:
        return self.data.qpos[self._block_adr : self._block_adr + 3]

    def _reset_scene(self, rng: np.random.Generator) -> None:
        mujoco.mj_forward(self.model, self.data)
        self.object_position[:] = (*rng.uniform(*self._block_range), self._half_m)

    def _object_pose(self, bias_m: Array, bias_rad: float) -> Array:
        return self.object_position + bias_m

    def _aim(self, shift: Array) -> None:
        self.arm.position = np.clip(self.arm.position + shift[:3], *self.workspace)
        self._point_down(0.0)

    def _lift_m(self) -> float:
        return float(self.object_position[2] - self._half_m)

    def _goal_met(self) -> bool:
        return self._lift_m() > LIFT_M

    def _failure(self) -> str:
        low, high = self._block_range[0] - 0.05, self._block_range[1] + 0.05
        outside = np.any(self.object_position[:2] < low) or np.any(self.object_position[:2] > high)
        return "out_of_reach" if outside and not self._gripped(self._block) else ""

    def _excuse(self) -> str:
        return "not_lifted" if self._gripped(self._block) else "not_grasped"

    def privileged(self) -> Truth:
        distance = float(np.linalg.norm(self.tool_position - self.object_position))
        gripped = self.gripper_closed and self._gripped(self._block)
        lift = np.clip(self._lift_m() / LIFT_M, 0.0, 1.0) if gripped else 0.0
        progress = 0.5 + 0.5 * lift if gripped else 0.4 * np.exp(-distance / 0.1)
        low, high = self._block_range[0] - 0.05, self._block_range[1] + 0.05
        edge = min((self.object_position[:2] - low).min(), (high - self.object_position[:2]).min())
        return Truth(
            progress=float(progress),
            tool_position=self.tool_position.copy(),
            tool_yaw=self.tool_yaw,
            goal_distance_m=distance if not gripped else max(0.0, LIFT_M - self._lift_m()),
            failure_margin_m=float("inf") if gripped else float(edge),
            contact_force_n=self._contact_force(self._block),
            phase="lift" if gripped else "reach",
        )
