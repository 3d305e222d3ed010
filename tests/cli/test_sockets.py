"""What `serve` asks of the system before it listens."""

import resource
from collections.abc import Iterator

import pytest

from integrations_api.cli.sockets import MOST_FILES, allow_open_files


@pytest.fixture
def hard() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_of_open_files_is_raised_and_never_lowered(hard: int) -> None:
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most // 2, hard))

    found = []
    for _ in range(2):
        allow_open_files()
        found.append(resource.getrlimit(resource.RLIMIT_NOFILE))

    assert found == [(most, hard)] * 2
