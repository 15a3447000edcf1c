"""A machine without OpenGL answers in one line, also where MuJoCo itself cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys

from handrail.cli.doctor import APT_LINE
from handrail.tasks.gl import PACKAGES

HIDE_EGL = """
import ctypes, ctypes.util
real = ctypes.CDLL.__init__
def missing(self, name, *args, **kwargs):
    if name and "EGL" in str(name):
        raise OSError(f"{name}: cannot open shared object file")
    real(self, name, *args, **kwargs)
ctypes.CDLL.__init__ = missing
find = ctypes.util.find_library
ctypes.util.find_library = lambda name: None if "EGL" in name else find(name)
"""
"""What a process sees on a machine without libEGL."""


def answer(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HIDE_EGL + code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_a_task_names_the_packages() -> None:
    code = """
from handrail.core import RenderError
try:
    import handrail.tasks
except RenderError as error:
    print(error)
"""
    said = answer(code, MUJOCO_GL="egl").strip()
    assert said.startswith("no usable OpenGL library (")
    assert said.endswith(
        "): install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0 and set MUJOCO_GL=egl, "
        "or unset MUJOCO_GL and run without cameras"
    )
    assert "\n" not in said


def test_state_only_needs_no_library() -> None:
    code = """
from handrail.core import RenderError
from handrail.tasks import make
env = make("TubeInsertion")
env.reset(seed=0)
print(env.step(env.hold({}))[0]["state"].shape)
try:
    env.render()
except RenderError as error:
    print(error)
"""
    lines = answer(code, MUJOCO_GL="", DISPLAY="").strip().splitlines()
    assert lines[0] == "(18,)"
    assert lines[-1].startswith("no usable OpenGL library (")


def test_the_doctor_names_the_same_packages() -> None:
    assert APT_LINE.endswith(PACKAGES)


def test_a_camera_left_open_ends_quietly() -> None:
    code = "from handrail.tasks import make; env = make('TubeInsertion'); env.reset(seed=0); print(env.render().shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("(240, 320, 3)", "")
