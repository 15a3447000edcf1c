"""What every task shares: the truth it can tell, the noise that learners see, and the renderer."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Protocol

import mujoco
import numpy as np

from handrail.core.errors import RenderError
from handrail.core.values import Array, Observation
from handrail.tasks.gl import no_gl


@dataclass(frozen=True, slots=True)
class Truth:
    """What `privileged()` returns. Only simulated people, oracles and benches may look."""

    progress: float  # in [0, 1], along the task
    tool_position: Array  # (3,) [m], base frame
    tool_yaw: float  # [rad]
    goal_distance_m: float  # tool to the place where it is needed next
    failure_margin_m: float  # to the nearest irreversible failure; inf where none is near
    contact_force_n: float  # largest normal force on the object
    phase: str


@dataclass(frozen=True, slots=True)
class Waypoint:
    """Where a scripted expert wants the tool next."""

    position: Array  # (3,) [m]
    yaw: float  # [rad]
    grip: float  # -1 close, 0 stay, +1 open
    contact: bool  # tight contact: a person would search here
    phase: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything needed to continue an episode from here."""

    physics: Array
    task: dict[str, Any]


@dataclass(frozen=True)
class PoseNoise:
    """Error of the object pose that learners, monitors and assistants see (design: evidence protocol).

    The bias is drawn once an episode; the jitter at every step is `jitter_share` of it.
    """

    sigma_m: float = 0.003
    sigma_rad: float = float(np.deg2rad(2.0))
    jitter_share: float = 0.1


class HilTask(Protocol):
    """What operators, experts and benches may rely on besides `gymnasium.Env`."""

    name: str
    instruction: str
    fps: int
    action_scale: Array  # (A-1,) [m or rad per unit action]

    def privileged(self) -> Truth: ...
    def snapshot(self) -> Snapshot: ...
    def restore(self, snapshot: Snapshot) -> None: ...
    def hold(self, observation: Observation) -> Array: ...
    def failure_kind(self) -> str: ...
    def action_toward(self, position: Array, yaw: float, grip: float) -> Array: ...


class Camera:
    """Renders one model offscreen, with shadows, multisampling and skybox off (ten times as fast in software)."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.quality.offsamples = 0
        try:
            self._renderer = mujoco.Renderer(model, height=height, width=width)
        except Exception as error:  # mujoco raises whatever its GL binding raises
            raise RenderError(no_gl(error)) from error
        self._free = weakref.finalize(self, self._renderer.close)  # before the GL library itself is torn down
        flags = self._renderer.scene.flags
        for flag in (
            mujoco.mjtRndFlag.mjRND_SHADOW,
            mujoco.mjtRndFlag.mjRND_SKYBOX,
            mujoco.mjtRndFlag.mjRND_REFLECTION,
        ):
            flags[flag] = False

    def render(self, data: mujoco.MjData, camera: str | mujoco.MjvCamera) -> Array:
        """Return an image (H, W, 3) uint8."""
        self._renderer.update_scene(data, camera=camera)
        return self._renderer.render()

    def close(self) -> None:
        self._free()
