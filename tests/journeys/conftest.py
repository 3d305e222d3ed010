"""Where the journeys take place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
