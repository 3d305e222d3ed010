"""The wheel carries what an installation needs: the package, its migrations, the command."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_package_migrations_and_command_and_no_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    migrations = {f"integrations_api/_migrations/{path.name}" for path in (ROOT / "migrations").glob("*.py")}
    assert "integrations_api/py.typed" in names
    assert migrations
    assert migrations | {"integrations_api/_migrations/script.py.mako"} <= names
    assert "integrations-api = integrations_api.cli:main" in entry_points
    assert [name for name in names if "/data/" in name or "__pycache__" in name] == []


def test_migrations_run_from_an_installed_wheel(wheel: Path, tmp_path: Path, empty_database_url: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from integrations_api.db import migrations\n"
        "migrations.upgrade(sys.argv[2]); print(migrations.migrations_folder())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "site"), empty_database_url]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120)
    assert Path(done.stdout.splitlines()[-1]) == tmp_path / "site" / "integrations_api" / "_migrations"
