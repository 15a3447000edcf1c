"""`handrail doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from handrail.cli.parse import parse

SUMMARY = "check that this machine is ready, and say what to do if not"

MIN_PYTHON = (3, 11)
MUJOCO_BEFORE = (3, 9)
APT_LINE = "sudo apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0"

RENDER = """
import time
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 2'/><geom type='sphere' size='.3' rgba='1 0 0 1'/></worldbody></mujoco>"
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 64, 64) as renderer:
    renderer.update_scene(data)
    started = time.perf_counter()
    frame = renderer.render()
    print(int(frame.max()) - int(frame.min()), round(1000 * (time.perf_counter() - started), 1))
"""
"""Draws a red ball in a process of its own: a broken GL driver may take its process down."""


@dataclass(frozen=True)
class DoctorConfig:
    """Which folder runs will be written to, and how much room they need."""

    folder: Path = Path("runs")
    """where runs will be written"""
    min_free_gb: float = 2.0
    """least free disk space there [GB]"""
    render_timeout_s: float = 60.0
    """how long drawing one frame may take [s]"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `text` says what was found and, if it is not right, the next step."""

    name: str
    good: bool
    text: str


def check_python() -> Finding:
    """Python is new enough."""
    version = platform.python_version()
    good = sys.version_info[:2] >= MIN_PYTHON
    return Finding("python", good, version if good else f"{version}: install Python >= 3.11 and make the venv again")


def check_torch() -> Finding:
    """torch imports, and says what it computes on."""
    try:
        import torch
    except ImportError as error:
        return Finding("torch", False, f"{error}: pip install -c constraints.txt -e .")
    place = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return Finding("torch", True, f"{torch.__version__} on {place}")


def check_mujoco() -> Finding:
    """MuJoCo is installed in a version that the task packages work with."""
    try:
        version = importlib.metadata.version("mujoco")
    except importlib.metadata.PackageNotFoundError:
        return Finding("mujoco", False, "not installed: pip install -c constraints.txt -e '.[sim]'")
    if tuple(int(part) for part in version.split(".")[:2]) >= MUJOCO_BEFORE:
        return Finding("mujoco", False, f"{version} breaks the task packages: pip install 'mujoco<3.9'")
    return Finding("mujoco", True, version)


def check_rendering(timeout_s: float) -> Finding:
    """A frame is really drawn, and something is to be seen on it."""
    environment = dict(os.environ)
    if not environment.get("DISPLAY"):
        environment.setdefault("MUJOCO_GL", "egl")
    backend = environment.get("MUJOCO_GL", "default")
    command = [sys.executable, "-c", RENDER]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return Finding("rendering", False, f"MUJOCO_GL={backend}: no frame in {timeout_s:g} s: try MUJOCO_GL=osmesa")
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Finding("rendering", False, f"MUJOCO_GL={backend}: {reason}: {APT_LINE}")
    contrast, milliseconds = done.stdout.split()
    if int(contrast) == 0:
        return Finding("rendering", False, f"MUJOCO_GL={backend} draws an empty frame: {APT_LINE}")
    return Finding("rendering", True, f"MUJOCO_GL={backend}, 64x64 in {milliseconds} ms")


def check_disk(folder: Path, min_free_gb: float) -> Finding:
    """There is room for runs."""
    free_gb = shutil.disk_usage(_existing(folder)).free / 1e9
    text = f"{free_gb:.1f} GB free at {folder}"
    if free_gb < min_free_gb:
        return Finding("disk", False, f"{text}, {min_free_gb:g} GB needed: free some space, or give another --folder")
    return Finding("disk", True, text)


def check_writing(folder: Path) -> Finding:
    """A file can be written where runs will go; nothing is left behind."""
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(folder), prefix=".handrail-"):
            return Finding("writing", True, f"{folder} can be written")
    except OSError as error:
        return Finding("writing", False, f"{folder}: {error.strerror}: give another --folder")


def findings(config: DoctorConfig) -> Iterator[Finding]:
    """Look at everything, one after the other; one broken part does not hide the next."""
    checks: tuple[Callable[[], Finding], ...] = (
        check_python,
        check_torch,
        check_mujoco,
        lambda: check_rendering(config.render_timeout_s),
        lambda: check_disk(config.folder, config.min_free_gb),
        lambda: check_writing(config.folder),
    )
    for check in checks:
        yield check()


def main(argv: list[str]) -> int:
    """Print one line per finding; return 0 when all is well, 2 when something must be done."""
    config = parse(DoctorConfig, argv, prog="handrail doctor")
    bad = 0
    for finding in findings(config):
        bad += not finding.good
        print(f"{'ok  ' if finding.good else 'FAIL'}  {finding.name:<10} {finding.text}", flush=True)
    print("this machine is ready" if not bad else f"{bad} to be put right: see the lines above")
    return 2 if bad else 0


def _existing(folder: Path) -> Path:
    """The nearest folder, upwards, that is there already."""
    folder = folder.absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())
