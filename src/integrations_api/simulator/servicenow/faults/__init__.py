"""Faults by name: everything a source can do to those who read it."""

from . import bodies, data, queries, refusals, timing
from .base import AfterPage, Fault
from .registry import FAULTS, FaultSet, make_fault, parameters_of, parse_fault

__all__ = [
    "FAULTS",
    "AfterPage",
    "Fault",
    "FaultSet",
    "bodies",
    "data",
    "make_fault",
    "parameters_of",
    "parse_fault",
    "queries",
    "refusals",
    "timing",
]
