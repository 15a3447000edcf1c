"""Operational-space impedance control of the Panda (Khatib 1987, as in gym-hil and HIL-SERL's arm controller)."""

from __future__ import annotations

import mujoco
import numpy as np

from handrail.core.values import Array

STIFFNESS = 200.0  # task-space, per unit of task-space inertia [1/s^2]; gym-hil's gains
DAMPING = 2.0 * np.sqrt(STIFFNESS)  # critically damped [1/s]
NULL_STIFFNESS = 0.5
NULL_DAMPING = 2.0 * np.sqrt(NULL_STIFFNESS)
SINGULAR_DETERMINANT = 1e-2  # below it the task-space inertia is pseudo-inverted, as in gym-hil


class OperationalSpace:
    """Drives the tool site to `position` and `quaternion`; the null space relaxes toward `home`.

    tau = J^T L (K e - D J dq) + (I - J^T L J M^-1)(K0 (q0 - q) - D0 dq) + bias,   L = (J M^-1 J^T)^-1
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, site: str, home: Array) -> None:
        self.model, self.data, self.home = model, data, home
        self.site_id = model.site(site).id
        self._dof = slice(0, 7)
        self._ctrl = slice(0, 7)
        self._jacobian = np.zeros((6, model.nv))
        self._inertia = np.zeros((model.nv, model.nv))
        self._tool_quaternion = np.zeros(4)
        self._rotation_error = np.zeros(3)
        self.position = np.zeros(3)  # [m] target
        self.quaternion = np.array([0.0, 1.0, 0.0, 0.0])  # target, w x y z

    def act(self) -> None:
        """Write the seven joint torques into `data.ctrl`."""
        model, data, dof = self.model, self.data, self._dof
        mujoco.mj_jacSite(model, data, self._jacobian[:3], self._jacobian[3:], self.site_id)
        mujoco.mj_fullM(model, self._inertia, data.qM)
        jacobian = self._jacobian[:, dof]  # (6, 7)
        inertia_inverse = np.linalg.inv(self._inertia[dof, dof])  # (7, 7)
        mobility = jacobian @ inertia_inverse @ jacobian.T  # (6, 6)
        near_singular = abs(np.linalg.det(mobility)) < SINGULAR_DETERMINANT
        task_inertia = np.linalg.pinv(mobility, rcond=1e-2) if near_singular else np.linalg.inv(mobility)
        velocity = data.qvel[dof]
        acceleration = STIFFNESS * self._error() - DAMPING * (jacobian @ velocity)
        force = task_inertia @ acceleration  # (6,)
        posture = NULL_STIFFNESS * (self.home - data.qpos[dof]) - NULL_DAMPING * velocity  # (7,)
        posture_force = task_inertia @ (jacobian @ (inertia_inverse @ posture))
        data.ctrl[self._ctrl] = jacobian.T @ (force - posture_force) + posture + data.qfrc_bias[dof]

    def _error(self) -> Array:
        """Pose error (6,) [m, rad] from the tool to the target, world frame."""
        error = np.empty(6)
        error[:3] = self.position - self.data.site_xpos[self.site_id]
        mujoco.mju_mat2Quat(self._tool_quaternion, self.data.site_xmat[self.site_id])
        conjugate = self._tool_quaternion * (1.0, -1.0, -1.0, -1.0)
        difference = np.empty(4)
        mujoco.mju_mulQuat(difference, self.quaternion, conjugate)
        mujoco.mju_quat2Vel(error[3:], difference if difference[0] >= 0 else -difference, 1.0)
        return error
