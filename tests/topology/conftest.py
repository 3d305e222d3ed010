"""The service scaled out, as processes: run by `make topology`, which finds an nginx, and by no other target."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

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


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What happened when, as the tests told it, whether they passed or not."""
    told = [
        line
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if report.when == "call"
        for line in report.user_properties
    ]
    if told:
        terminalreporter.section("scaled out")
    for what, how in told:
        terminalreporter.write_line(f"{what}: {how}")
