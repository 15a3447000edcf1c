import subprocess
from pathlib import Path

from handrail.core.provenance import command_line, git_hash, machine


def _commit(folder: Path) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)


def test_git_hash_marks_changed_code_but_not_new_results(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for name in ("code.py", "results/table.json"):
        (tmp_path / name).write_text("1")
    _commit(tmp_path)
    clean = git_hash(tmp_path)
    assert len(clean) == 12
    (tmp_path / "results/table.json").write_text("2")
    assert git_hash(tmp_path) == clean
    (tmp_path / "code.py").write_text("2")
    assert git_hash(tmp_path) == f"{clean}-dirty"


def test_git_hash_outside_a_repository_is_unknown(tmp_path: Path) -> None:
    assert git_hash(tmp_path) == "unknown"


def test_command_line_is_what_a_user_types() -> None:
    assert command_line(["/some/where/handrail", "bench", "run", "a b"]) == "handrail bench run 'a b'"
    assert command_line(["/some/handrail/__main__.py", "demo"]) == "handrail demo"
    assert command_line(["/some/benchmarks/idle.py"]) == "idle.py"


def test_machine_names_cpu_cores_memory_and_versions() -> None:
    found = machine()
    assert found["cores"] >= 1 and found["memory_gb"] > 0 and found["cpu"]
    assert {"handrail", "numpy"} <= set(found["versions"])
