"""Faults by name: everything a GitHub can do to those who read it."""

from . import data, refusals
from .registry import BOOK, FAULTS, parse_fault

__all__ = ["BOOK", "FAULTS", "data", "parse_fault", "refusals"]
