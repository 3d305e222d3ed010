"""A ServiceNow instance that behaves and misbehaves."""

from .access import Client, User
from .app import Simulator
from .clock import ManualClock, WallClock
from .evolve import evolve
from .faults import FAULTS, AfterPage, Fault, FaultSet, make_fault, parse_fault
from .instance import ServiceNowInstance
from .server import Certificate, SimulatorServer, make_simulator, run_simulator, serve

__all__ = [
    "FAULTS",
    "AfterPage",
    "Certificate",
    "Client",
    "Fault",
    "FaultSet",
    "ManualClock",
    "ServiceNowInstance",
    "Simulator",
    "SimulatorServer",
    "User",
    "WallClock",
    "evolve",
    "make_fault",
    "make_simulator",
    "parse_fault",
    "run_simulator",
    "serve",
]
