"""The long matrix: what `make test-faults` has, and `make test` one case of each kind of."""

import os
from typing import Any

import pytest

FULL = os.environ.get("FAULT_MATRIX") == "full"
"""Whether everything is wanted, or one case of each kind."""


def long(*values: Any, name: str | None = None) -> Any:
    """The parameters of one more case of a kind."""
    return pytest.param(*values, id=name, marks=pytest.mark.long)
