"""`secrets`: keys are printed, secrets are moved and checked."""

import os

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("on_database")


def test_rotating_and_checking_nothing_is_done_at_once(run: Run) -> None:
    rotated, checked = run("secrets", "rotate"), run("secrets", "check")

    assert (rotated.code, rotated.out) == (0, "0 re-wrapped, 0 remain\n")
    assert (checked.code, checked.out) == (0, "0 of 0 secrets open\n")
    assert os.environ["ENCRYPTION_KEYS"] not in rotated.out + rotated.err + checked.out + checked.err
