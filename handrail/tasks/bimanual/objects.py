"""The free bodies of a task: where they are in the model's arrays, and this episode's mass and friction."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np


class Objects:
    """Indices and nominal properties of the bodies `names`; free ones have a place and a velocity."""

    def __init__(self, model: mujoco.MjModel, names: Sequence[str]) -> None:
        self._model, self._scratch = model, mujoco.MjData(model)
        bodies = {name: model.body(name) for name in names}
        self.bodies = frozenset(int(body.id) for body in bodies.values())
        self.places: dict[str, slice] = {}  # of position and quaternion (7,) in qpos
        self.velocities: dict[str, slice] = {}  # of the linear velocity (3,) in qvel
        for name, body in bodies.items():
            if model.jnt_type[body.jntadr[0]] != mujoco.mjtJoint.mjJNT_FREE:
                continue
            place, dof = model.jnt_qposadr[body.jntadr[0]], model.jnt_dofadr[body.jntadr[0]]
            self.places[name], self.velocities[name] = slice(place, place + 7), slice(dof, dof + 3)
        self._geoms = np.flatnonzero(model.geom_priority == 1)  # what `parts.solid` made
        self._moving = np.array([i for i in sorted(set(model.geom_bodyid[self._geoms])) if model.body_weldid[i]])
        self._friction = model.geom_friction[self._geoms].copy()
        self._mass = model.body_mass[self._moving].copy()
        self._inertia = model.body_inertia[self._moving].copy()

    def vary(self, mass: float, friction: float) -> None:
        """Multiply nominal mass and friction of everything that `parts.solid` made by these factors."""
        model = self._model
        model.geom_friction[self._geoms] = self._friction * friction
        model.body_mass[self._moving] = self._mass * mass
        model.body_inertia[self._moving] = self._inertia * mass
        mujoco.mj_setConst(model, self._scratch)
