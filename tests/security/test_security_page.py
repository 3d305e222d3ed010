"""docs/security.md names tests that exist, and every risk and chapter has one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def section(title: str) -> list[str]:
    """The rows of a section's table."""
    text = PAGE.partition(f"## {title}")[2].partition("\n## ")[0]
    return [
        line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| risk", "| chapter"))
    ]


def test_every_test_it_names_is_there() -> None:
    named = re.findall(r"tests/[\w/]+\.py", PAGE)

    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(("title", "rows"), [("API Security Top 10 (2023)", 10), ("ASVS 5.0, level 2, by chapter", 16)])
def test_every_row_names_a_test(title: str, rows: int) -> None:
    found = section(title)

    assert len(found) == rows
    assert [row for row in found if "tests/" not in row] == []


def test_every_decision_it_names_is_there() -> None:
    links = re.findall(r"\]\((decisions/[\w-]+\.md)\)", PAGE)

    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
