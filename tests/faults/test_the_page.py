"""docs/reliability.md names every fault of the simulator, every kill, and tests that exist."""

import re
from pathlib import Path

import pytest

from integrations_api.simulator.servicenow.faults import FAULTS
from tests.journeys.test_kills import STEPS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def _functions(*paths: Path) -> set[str]:
    return {name for path in paths for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}


def _rows(title: str) -> list[str]:
    text = PAGE.partition(f"## {title}")[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| what ")]


def test_it_names_every_fault() -> None:
    assert [name for name in FAULTS if f"`{name}`" not in PAGE] == []


def test_it_names_every_kill() -> None:
    assert [step for step in STEPS if step not in PAGE] == []


def test_every_test_it_names_is_there() -> None:
    files = re.findall(r"`(tests/[\w/]+\.py)`", PAGE)
    functions = set(re.findall(r"`(test_\w+)`", PAGE))
    there = _functions(*(ROOT / "tests").rglob("test_*.py"))

    assert [name for name in files if not (ROOT / name).exists()] == []
    assert functions - there == set()


def test_every_test_about_faults_and_kills_is_named() -> None:
    paths = {*(ROOT / "tests" / "faults").glob("test_*.py"), ROOT / "tests" / "journeys" / "test_kills.py"}

    assert [name for name in sorted(_functions(*paths - {Path(__file__)})) if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("title", ["Nothing is lost", "Runs survive", "Watched by many"])
def test_every_row_names_a_test(title: str) -> None:
    assert len(_rows(title)) > 4
    assert [row for row in _rows(title) if "`test_" not in row] == []
