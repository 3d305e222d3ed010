"""Where the journeys take place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.support.processes import workplace


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder, with the bundled PostgreSQL in it, that the tests of a module share one after another."""
    with workplace() as folder:
        yield folder


@pytest.fixture
def empty_home() -> Iterator[Path]:
    """A folder of a test's own."""
    with workplace() as folder:
        yield folder


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """The matrix of services and ways of signing in, cell by cell, after a run that looked at it."""
    cells = [
        (report.nodeid.partition("[")[2].rstrip("]"), outcome)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if "test_matrix.py::test_a_journey" in report.nodeid and report.when == "call"
    ]
    if cells:
        terminalreporter.section("services and ways of signing in")
    for cell, outcome in sorted(cells):
        terminalreporter.write_line(f"{cell:<40} {outcome}")
