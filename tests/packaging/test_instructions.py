"""What the pages and the program itself tell an operator to type."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]


def test_nobody_is_sent_to_a_package_index_for_this_service() -> None:
    name = PROJECT["project"]["name"]
    by_name = re.compile(rf"pip install [^\n]*\b{name}\b|\b{name}\[")

    assert [page.name for page in PAGES if by_name.search(page.read_text(encoding="utf-8"))] == []


def test_the_readme_says_where_the_command_is() -> None:
    (command,) = PROJECT["project"]["scripts"]

    assert f"`.venv/bin/{command}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_database_to_restore_into_belongs_to_the_role_that_fills_it() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    commands = re.findall(r"createdb [^`]*?integrations\b", page)

    assert len(commands) == 2
    assert all("--owner=ROLE" in command for command in commands)
