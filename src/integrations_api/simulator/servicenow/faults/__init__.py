"""Faults by name: everything a source can do to those who read it."""

from integrations_api.simulator.common.faults import AfterPage

from . import bodies, data, queries, refusals, timing
from .base import Fault
from .registry import BOOK, FAULTS, make_fault, parse_fault

__all__ = [
    "BOOK",
    "FAULTS",
    "AfterPage",
    "Fault",
    "bodies",
    "data",
    "make_fault",
    "parse_fault",
    "queries",
    "refusals",
    "timing",
]
