"""Faults by name: what a site can do to those who read it."""

from . import refusals, searches
from .base import Fault
from .registry import BOOK

__all__ = ["BOOK", "Fault", "refusals", "searches"]
