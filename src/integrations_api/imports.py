"""Imports that leave out what is not used."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Meanwhile these are taken for not installed, by libraries that import them only where they are.

    One that was imported before stays.
    """
    left_out = [package for package in packages if package not in sys.modules]
    for package in left_out:
        sys.modules[package] = None  # type: ignore[assignment]  # Python's own sign for it.
    try:
        yield
    finally:
        for package in left_out:
            sys.modules.pop(package, None)
