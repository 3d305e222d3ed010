"""Faults by name, and the set that is in force on an instance."""

import inspect
from typing import Any

from integrations_api.simulator.servicenow.instance import ServiceNowInstance

from .base import Fault

FAULTS: dict[str, type[Fault]] = {}


def register(fault: type[Fault]) -> type[Fault]:
    """Class decorator: makes a fault known by its name."""
    FAULTS[fault.name] = fault
    return fault


def make_fault(name: str, **params: Any) -> Fault:
    """Raises ValueError for an unknown name or parameter; the message lists what there is."""
    if name not in FAULTS:
        raise ValueError(f"There is no fault {name!r}. Known faults: {', '.join(sorted(FAULTS))}")
    try:
        return FAULTS[name](**params)
    except TypeError as error:
        raise ValueError(f"Fault {name!r}: {error}. Parameters: {', '.join(parameters_of(name))}") from error


def parse_fault(text: str) -> Fault:
    """`name` or `name:key=value,key=value`, as on the command line. Raises ValueError."""
    name, _, rest = text.partition(":")
    pairs = (pair.partition("=") for pair in rest.split(",") if pair)
    return make_fault(name, **{key: _value(value) for key, _, value in pairs})


def _value(text: str) -> Any:
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def parameters_of(name: str) -> list[str]:
    """The names of a fault's own parameters, then of the common ones."""
    own = [p.name for p in inspect.signature(FAULTS[name].__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return own + [common for common in ("on", "skip", "times") if common not in own]


class FaultSet:
    """The faults in force, in the order in which they were added. May be changed from any thread."""

    def __init__(self, instance: ServiceNowInstance) -> None:
        self.instance = instance
        self.active: tuple[Fault, ...] = ()

    def add(self, fault: Fault | str, **params: Any) -> Fault:
        """Puts a fault in force; it changes data at once. Raises ValueError for an unknown name."""
        made = make_fault(fault, **params) if isinstance(fault, str) else fault
        with self.instance.lock:
            made.attach(self.instance)
            self.active = (*self.active, made)
        return made

    def clear(self, name: str = "") -> None:
        """Ends the faults of that name, or all. Changed data stay changed, toggles go back."""
        with self.instance.lock:
            ended = [fault for fault in self.active if name in ("", fault.name)]
            self.active = tuple(fault for fault in self.active if fault not in ended)
            for fault in ended:
                fault.detach(self.instance)
