"""Dumps and restores as an operator makes them: by the server's own pg_dump and pg_restore."""

import shutil
import subprocess
from pathlib import Path

import pytest

from integrations_api.db.embedded_cluster import MAJOR_VERSION, find_binaries
from tests.support.databases import plain_url


def dump(url: str, file: Path, *, major: int) -> None:
    """The whole database in PostgreSQL's custom format."""
    _run(_program("pg_dump", major), "--format=custom", "--no-owner", f"--file={file}", plain_url(url))


def restore(file: Path, url: str, *, major: int) -> None:
    """Fills an empty database; the first error ends it."""
    _run(_program("pg_restore", major), "--no-owner", "--exit-on-error", f"--dbname={plain_url(url)}", str(file))


def _program(name: str, major: int) -> str:
    """The program of the server's major release: a newer one writes what an older server does not understand."""
    packaged = Path(f"/usr/lib/postgresql/{major}/bin") / name
    if packaged.exists():
        return str(packaged)
    if major == MAJOR_VERSION:
        return str(find_binaries() / name)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} of PostgreSQL {major} is not installed: unset TEST_DATABASE_URL to use the bundled one")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
