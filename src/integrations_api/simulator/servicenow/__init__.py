"""A ServiceNow instance that behaves and misbehaves."""

from integrations_api.simulator.common.clock import ManualClock, WallClock
from integrations_api.simulator.common.server import Certificate, serve

from .access import Client, User
from .app import Simulator
from .evolve import evolve
from .faults import FAULTS, AfterPage, Fault, make_fault, parse_fault
from .instance import ServiceNowInstance
from .server import SimulatorServer, make_simulator, run_simulator

__all__ = [
    "FAULTS",
    "AfterPage",
    "Certificate",
    "Client",
    "Fault",
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
