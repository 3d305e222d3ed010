"""A GitHub that behaves and misbehaves."""

from integrations_api.simulator.common.clock import ManualClock, WallClock

from .app import Simulator
from .faults import FAULTS, parse_fault
from .generate import evolve, with_issues
from .instance import DEFAULT_TOKEN, OWNER, GitHubInstance
from .model import Token
from .server import GitHubServer, run_simulator

__all__ = [
    "DEFAULT_TOKEN",
    "FAULTS",
    "OWNER",
    "GitHubInstance",
    "GitHubServer",
    "ManualClock",
    "Simulator",
    "Token",
    "WallClock",
    "evolve",
    "parse_fault",
    "run_simulator",
    "with_issues",
]
