"""A Jira site, Cloud or Data Center, that behaves and misbehaves."""

from integrations_api.simulator.common.clock import ManualClock, WallClock
from integrations_api.simulator.common.faults import AfterPage

from .access import Flavour, User
from .app import Simulator
from .evolve import evolve
from .faults import BOOK, Fault
from .server import SimulatorServer, run_simulator
from .site import JiraSite

__all__ = [
    "BOOK",
    "AfterPage",
    "Fault",
    "Flavour",
    "JiraSite",
    "ManualClock",
    "Simulator",
    "SimulatorServer",
    "User",
    "WallClock",
    "evolve",
    "run_simulator",
]
