"""The service scaled out, as processes: run by `make topology`, which finds an nginx, and by no other target."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import workplace
from tests.support.proxies import find_nginx

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Only who names this folder means it."""
    named = any(HERE.name in Path(argument.partition("::")[0]).parts for argument in config.args)
    return None if named else True


@pytest.fixture(scope="session")
def nginx() -> str:
    """The program."""
    found = find_nginx()
    assert found is not None, "nginx is not on this machine: `make topology` fetches it"
    return found


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that workers of nginx and of PostgreSQL may pass."""
    with workplace() as folder:
        yield folder
