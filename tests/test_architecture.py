"""The shape of the house, checked on its source: who may import whom, who may see the truth, what may be unpickled."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "handrail"

ORDER = (
    "core",
    "store",
    "nets",
    "tasks",
    "operators",
    "learn",
    "assist",
    "run",
    "report",
    "systems",
    "bench",
    "cli",
)
"""A folder imports only from folders before it."""

FORBIDDEN = {"run": {"learn", "tasks"}}
"""Beyond the order: folder -> folders that it must do without."""

TRUTH = ("privileged", "snapshot")
MAY_SEE_TRUTH = ("tasks/", "operators/", "bench/", "assist/oracle.py", "run/collect.py")

UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MAY_UNPICKLE = ("store/importers/hil_serl.py",)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module that the file imports, wherever in it, as an absolute dotted name, with its line."""
    package = ["handrail", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "handrail":  # `from handrail import core`, `from .. import core`
                yield from ((f"handrail.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield module, node.lineno


def out_of_order(path: Path, tree: ast.Module) -> Iterator[str]:
    """Imports of this file that the order does not allow."""
    folder = path.relative_to(PACKAGE).parts[0]
    if folder not in ORDER:
        return
    for module, line in imported(path, tree):
        parts = module.split(".")
        if parts[0] != "handrail" or len(parts) == 1 or parts[1] not in ORDER:
            continue
        late = ORDER.index(parts[1]) > ORDER.index(folder)
        if late or parts[1] in FORBIDDEN.get(folder, ()):
            yield f"{name_of(path)}:{line} imports {module}, which {folder} may not"


def looks_at_truth(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Uses and definitions of the privileged names, also through strings (getattr, get_wrapper_attr)."""
    for node in ast.walk(tree):
        word = {
            ast.Attribute: lambda n: n.attr,
            ast.Name: lambda n: n.id,
            ast.FunctionDef: lambda n: n.name,
            ast.Constant: lambda n: n.value,
        }.get(type(node), lambda n: None)(node)
        if word in TRUTH:
            yield str(word), getattr(node, "lineno", 0)


def unsafe_loads(path: Path, tree: ast.Module) -> Iterator[str]:
    """Ways to turn a file into running code: pickle and its relatives, also behind NumPy and torch."""
    for module, line in imported(path, tree):
        if module.split(".")[0] in UNSAFE_MODULES:
            yield f"{name_of(path)}:{line} imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and getattr(node.value, "value", True):
            yield f"{name_of(path)}:{node.value.lineno} allows pickle"
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("load", "save")
            and getattr(node.value, "id", "") == "torch"
        ):
            yield f"{name_of(path)}:{node.lineno} uses torch.{node.attr}, which pickles: use store.checkpoint"


def test_every_folder_is_in_the_order() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders <= set(ORDER)


def test_folders_import_upwards_only() -> None:
    found = [problem for path in sources() for problem in out_of_order(path, parsed(path))]
    assert not found, "\n".join(found)


def test_the_truth_is_seen_only_where_it_may_be() -> None:
    found = [
        f"{name_of(path)}:{line} uses {word}"
        for path in sources()
        if not name_of(path).startswith(MAY_SEE_TRUTH)
        for word, line in looks_at_truth(parsed(path))
    ]
    assert not found, "\n".join([*found, f"only {', '.join(MAY_SEE_TRUTH)} may"])


def test_nothing_unpickles() -> None:
    found = [
        problem
        for path in sources()
        if name_of(path) not in MAY_UNPICKLE
        for problem in unsafe_loads(path, parsed(path))
    ]
    assert not found, "\n".join(found)


def test_core_needs_numpy_only() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "handrail"}
    found = [
        f"{name_of(path)}:{line} imports {module}"
        for path in sources()
        if path.parent.name == "core"
        for module, line in imported(path, parsed(path))
        if module.split(".")[0] not in allowed
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("handrail", ("torch", "mujoco", "matplotlib", "pyarrow", "av", "gymnasium")),
        ("handrail.core", ("torch", "mujoco", "matplotlib", "pyarrow", "av", "gymnasium")),
        ("handrail.store", ("torch", "mujoco", "matplotlib")),
        ("handrail.cli.main", ("torch", "mujoco", "matplotlib")),
    ],
)
def test_cheap_imports_stay_cheap(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*(m for m in {unwanted!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_lazy_names_lead_somewhere() -> None:
    import handrail

    for name in handrail.__all__:
        assert getattr(handrail, name) is not None
    assert set(handrail.__all__) <= set(dir(handrail))
    with pytest.raises(AttributeError, match="module 'handrail' has no attribute 'Supervisd'"):
        _ = handrail.Supervisd  # pyright: ignore[reportAttributeAccessIssue]


def rejected(folder: str, code: str) -> bool:
    """Would these lines, in a file of this folder, be refused?"""
    path, tree = PACKAGE / folder / "example.py", ast.parse(code)
    wrong = [*out_of_order(path, tree), *unsafe_loads(path, tree)]
    truth = [] if name_of(path).startswith(MAY_SEE_TRUTH) else list(looks_at_truth(tree))
    return bool(wrong or truth)


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("run", "from handrail.learn import RLPD"),
        ("run", "import handrail.tasks"),
        ("run", "from ..learn.rlpd import RLPD"),
        ("run", "def late():\n    from handrail import tasks"),
        ("core", "from handrail.store import Dataset"),
        ("tasks/hil", "from ...learn import bc"),
        ("learn", "truth = env.privileged()"),
        ("learn", "ask = env.unwrapped.snapshot"),
        ("assist", "getattr(env, 'privileged')()"),
        ("assist", "here = env.snapshot()"),
        ("store", "import pickle"),
        ("nets", "from cloudpickle import loads"),
        ("nets", "torch.load(path)"),
        ("store", "np.load(path, allow_pickle=True)"),
    ],
)
def test_the_lints_bite(folder: str, code: str) -> None:
    assert rejected(folder, code)


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("run", "from handrail.core import Step\nfrom ..assist import oracle\nfrom .loop import rollout"),
        ("tasks/hil", "from ..base import Task\nclass A:\n    def privileged(self): ..."),
        ("bench", "env.privileged()"),
        ("store", "np.load(path, allow_pickle=False)"),
        ("cli", "from handrail import Supervised"),
    ],
)
def test_the_lints_let_good_code_pass(folder: str, code: str) -> None:
    assert not rejected(folder, code)
