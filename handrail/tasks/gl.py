"""MuJoCo and the OpenGL library that it draws with: what is missing, in one line."""

from __future__ import annotations

import importlib

from handrail.core.errors import RenderError

PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0"


def require_mujoco() -> None:
    """Import MuJoCo, which binds the OpenGL library that MUJOCO_GL names when it is first imported.

    Raises:
        RenderError: that library is not here; PyOpenGL itself says it with an AttributeError somewhere inside.
        ModuleNotFoundError: MuJoCo is not installed.
    """
    try:
        importlib.import_module("mujoco")
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise RenderError(no_gl(error)) from error


def no_gl(error: Exception) -> str:
    """One line for a machine without a usable OpenGL."""
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"no usable OpenGL library ({cause}): install {PACKAGES} and set MUJOCO_GL=egl, "
        "or unset MUJOCO_GL and run without cameras"
    )
