"""The targets people type, and what they say on a machine that cannot run them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.parallel import processes_for

ROOT = Path(__file__).parents[2]
TARGETS = {
    "help",
    "demo",
    "serve",
    "test",
    "test-faults",
    "test-attack",
    "topology",
    "lint",
    "lint-container",
    "format",
    "bench",
    "lock",
    "clean",
}


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The tests may themselves run under make, whose flags must not reach this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder, with a space in its name, that holds what the bootstrap needs and no .venv."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements-dev.lock"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_make_alone_lists_every_target_with_a_sentence(clone: Path) -> None:
    listed = make(clone).stdout
    assert set(re.findall(r"^  (\S+) +\S.+$", listed, re.MULTILINE)) == TARGETS
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("target", sorted(TARGETS - {"help", "lint-container", "lock", "clean"}))
def test_a_target_prepares_the_environment_first_from_the_lock_with_hashes(clone: Path, target: str) -> None:
    planned = make(clone, "--dry-run", target).stdout
    prepared, _, rest = planned.partition("touch .venv/.ready")
    assert "--no-deps --require-hashes -r requirements-dev.lock" in prepared
    assert ".venv/bin/" in rest


def test_a_prepared_environment_is_used_as_it_is_until_the_lock_changes(clone: Path) -> None:
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".ready").touch()
    assert "pip" not in make(clone, "--dry-run", "test").stdout

    later = (clone / ".venv" / ".ready").stat().st_mtime + 10
    os.utime(clone / "requirements-dev.lock", (later, later))
    assert "pip" in make(clone, "--dry-run", "test").stdout


def test_tests_run_on_several_processes_and_arguments_have_the_last_word(clone: Path) -> None:
    planned = make(clone, "--dry-run", "test", "ARGS=-n 0 tests/db -x").stdout
    assert planned.splitlines()[-1].endswith("pytest --numprocesses auto --dist worksteal -n 0 tests/db -x")


def test_whatever_make_test_leaves_out_of_the_long_matrix_is_in_test_faults(clone: Path) -> None:
    planned = make(clone, "--dry-run", "test-faults").stdout.splitlines()[-1]
    named = [ROOT / word for word in planned.split() if word.startswith("tests/")]
    long = [
        path
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"(?:mark|support)\.long\b", path.read_text(encoding="utf-8"))
    ]

    assert len(long) > 10
    assert [path for path in long if not any(path.is_relative_to(one) for one in named)] == []


@pytest.mark.parametrize("arguments", [["tests"], ["tests/db"], ["tests/db", "tests/api"], ["a_test.py", "b_test.py"]])
def test_folders_and_several_files_are_shared_out(arguments: list[str]) -> None:
    assert 2 <= processes_for(arguments) <= 8


@pytest.mark.parametrize("arguments", [["tests/test_wiring.py"], ["tests/test_wiring.py::test_one[a-b]"]])
def test_a_single_file_or_test_starts_no_further_processes(arguments: list[str]) -> None:
    assert processes_for(arguments) == 0


def test_lint_runs_every_linter(clone: Path) -> None:
    planned = make(clone, "--dry-run", "lint").stdout
    assert re.findall(r"^\.venv/bin/(?:python -m )?(ruff \S+|mypy|lint-imports|bandit)", planned, re.MULTILINE) == [
        "ruff check",
        "ruff format",
        "mypy",
        "lint-imports",
        "bandit",
        "bandit",
    ]


def test_an_old_python_is_refused_in_one_line_that_names_the_way_out(clone: Path) -> None:
    old = clone / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(clone, "test", "PYTHON=./old-python")
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert done.returncode != 0
    assert said == ["Python 3.11 or newer is needed, as python3 or by name: make PYTHON=/path/to/python3.12"]
    assert not (clone / ".venv").exists()


def test_continuous_integration_lints_and_then_tests() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in script
    assert re.findall(r"^step (\w+)$", script, re.MULTILINE) == ["lint", "test"]
