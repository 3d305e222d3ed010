"""docs/security.md names tests that exist, and every risk and chapter has one."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ASVS = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
LEVELS_1_AND_2 = (
    "1.1.1-2 1.2.1-9 1.3.1-11 1.4.1-3 1.5.1-2 2.1.1-3 2.2.1-3 2.3.1-4 2.4.1 3.2.1-2 3.3.1-4 3.4.1-6 3.5.1-5 3.7.1-2 "
    "4.1.1-3 4.2.1 4.3.1-2 4.4.1-4 5.1.1 5.2.1-3 5.3.1-2 5.4.1-3 6.1.1-3 6.2.1-12 6.3.1-4 6.4.1-4 6.5.1-5 6.6.1-3 "
    "6.8.1-4 7.1.1-3 7.2.1-4 7.3.1-2 7.4.1-5 7.5.1-2 7.6.1-2 8.1.1-2 8.2.1-3 8.3.1 8.4.1 9.1.1-3 9.2.1-4 10.1.1-2 "
    "10.2.1-2 10.3.1-4 10.4.1-11 10.5.1-5 10.6.1-2 10.7.1-3 11.1.1-2 11.2.1-3 11.3.1-3 11.4.1-4 11.5.1 11.6.1 "
    "12.1.1-3 12.2.1-2 12.3.1-4 13.1.1 13.2.1-5 13.3.1-2 13.4.1-5 14.1.1-2 14.2.1-4 14.3.1-3 15.1.1-3 15.2.1-3 "
    "15.3.1-7 16.1.1 16.2.1-5 16.3.1-4 16.4.1-3 16.5.1-3"
)
"""Of ASVS 5.0.0, without V17 (WebRTC)."""


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


def spelt_out(text: str) -> list[str]:
    """`1.2.3-5` and `1.2.1` as 1.2.3, 1.2.4, 1.2.5, 1.2.1."""
    found = []
    for section, first, last in re.findall(r"(\d+\.\d+)\.(\d+)(?:-(\d+))?", text):
        found += [f"{section}.{number}" for number in range(int(first), int(last or first) + 1)]
    return found


def rows_of_asvs() -> list[list[str]]:
    """The rows of the table of all requirements: which, in which state, by what."""
    table = ASVS.partition("## The table")[2]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines() if "|" in line]
    return rows[2:]


def test_every_requirement_of_levels_1_and_2_stands_in_the_table_once() -> None:
    told = [one for row in rows_of_asvs() for one in spelt_out(row[0])]

    assert len(told) == len(set(told)) == 246
    assert set(told) == set(spelt_out(LEVELS_1_AND_2))


def test_what_counts_as_met_names_a_test_and_what_does_not_is_told_at_the_top() -> None:
    top = set(spelt_out(ASVS.partition("## Not met")[2].partition("## Keys")[0]))
    states = {row[1] for row in rows_of_asvs()}

    assert states == {"met", "read", "operator", "part", "not met", "none here"}
    assert [row[0] for row in rows_of_asvs() if row[1] == "met" and "tests/" not in row[2]] == []
    short = [row for row in rows_of_asvs() if row[1] in {"part", "not met"} or "see above" in row[2]]
    assert {one for row in short for one in spelt_out(row[0])} == top


def test_every_test_that_the_table_names_is_there() -> None:
    named = re.findall(r"tests/[\w/]+\.py", ASVS)

    assert len(named) > 80
    assert [name for name in named if not (ROOT / name).exists()] == []
