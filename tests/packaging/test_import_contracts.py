"""The import contracts of pyproject.toml hold for the package, and each of them notices a planted violation."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

# contract id, module that gets the line, the line
VIOLATIONS = [
    ("layers", "db/planted.py", "import integrations_api.sync"),
    ("layers", "egress/planted.py", "def late() -> None:\n    import integrations_api.audit.models"),
    ("layers", "room_without_a_floor/__init__.py", "import json"),
    ("rooms", "audit/models.py", "import integrations_api.audit.service"),
    ("rooms", "access/service.py", "import integrations_api.access.router"),
    ("fastapi", "knowledge/planted.py", "import fastapi"),
    ("fastapi", "audit/planted.py", "from fastapi.responses import JSONResponse"),
    ("httpx", "sync/planted.py", "from httpx import AsyncClient"),
    ("prometheus", "vault/planted.py", "from prometheus_client import Counter"),
    ("connectors-outside", "connectors/planted.py", "from sqlalchemy import text"),
    ("connectors-outside", "connectors/servicenow/planted.py", "import integrations_api.db.engine"),
    ("connectors-outside", "connectors/planted.py", "from starlette.requests import Request"),
    ("connectors-apart", "connectors/jira/__init__.py", "import integrations_api.connectors.servicenow"),
    ("simulator", "simulator/planted.py", "import integrations_api.clock"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that may be spoiled."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "integrations_api", tmp_path / "integrations_api", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(folder: Path) -> set[str]:
    """The ids of the contracts that import-linter calls broken for the package in `folder`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    # Run from the folder: import-linter looks there first, so that the copy is read and not the installed package.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE))
    assert set(verdicts) == {contract["name"] for contract in CONTRACTS}, done.stdout + done.stderr
    broken = {contract["id"] for contract in CONTRACTS if verdicts[contract["name"]] == "BROKEN"}
    assert (done.returncode == 0) == (not broken)
    return broken


def test_the_package_keeps_every_contract(copy: Path) -> None:
    assert broken_contracts(copy) == set()


@pytest.mark.parametrize(("contract", "module", "line"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(copy: Path, contract: str, module: str, line: str) -> None:
    planted = copy / "integrations_api" / module
    planted.parent.mkdir(exist_ok=True)
    with planted.open("a") as source:
        source.write(f"\n{line}\n")

    assert broken_contracts(copy) == {contract}


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == {contract["id"] for contract in CONTRACTS}
