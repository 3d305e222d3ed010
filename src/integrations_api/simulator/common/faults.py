"""What a fault can do to a simulated source and to its answers; faults by name, and the set that is in force."""

import inspect
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, dataclass_transform

from .clock import Clock
from .messages import Answer, Call

PageHook = Callable[[int], None]


class World(Protocol):
    """A simulated source as its furniture sees it. Whoever reads or changes it while a server runs holds `lock`."""

    clock: Clock

    @property
    def lock(self) -> threading.RLock: ...

    def counts(self) -> dict[str, int]:
        """How many rows there are, by the name of what they are."""
        ...


W = TypeVar("W", bound=World)
C = TypeVar("C", bound=Call)
F = TypeVar("F", bound="type[Fault[Any, Any]]")
K = TypeVar("K", bound="Fault[Any, Any]")


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
@dataclass(kw_only=True, eq=False, repr=False)
class Fault(Generic[W, C]):
    """A way to misbehave. Subclasses override the hooks they need; the others let everything pass.

    A subclass is a dataclass by itself: its fields are its parameters.
    Common parameters choose the requests: `on` (a kind of the source's calls, or any), `skip` (so many matching
    requests pass first) and `times` (so many are hit then; None: all that follow).
    """

    name: ClassVar[str] = ""
    default_on: ClassVar[str] = "page"
    default_times: ClassVar[int | None] = None

    on: str = ""
    skip: int = 0
    times: int | None = -1
    seen: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)
    _decided: tuple[int, bool] = field(default=(0, False), init=False)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(kw_only=True, eq=False, repr=False)(cls)

    def __post_init__(self) -> None:
        self.on = self.on or self.default_on
        self.times = self.default_times if self.times == -1 else self.times

    def strikes(self, call: C) -> bool:
        """Whether this very request is hit.

        Counts, and gives the same answer when asked again about the same request.
        """
        if self._decided[0] == call.number:
            return self._decided[1]
        is_hit = False
        if call.is_a(self.on):
            self.seen += 1
            is_hit = self.seen > self.skip and (self.times is None or self.hits < self.times)
            self.hits += is_hit
        self._decided = (call.number, is_hit)
        return is_hit

    def attach(self, instance: W) -> None:
        """The fault was added: change the data or the toggles."""

    def detach(self, instance: W) -> None:
        """The fault was cleared: put toggles back. Data that were changed stay changed."""

    async def before(self, call: C, instance: W) -> Answer | None:
        """Before anything is looked at; an answer ends the request."""
        return None

    def after(self, call: C, answer: Answer, instance: W) -> Answer:
        """The answer is ready to be sent."""
        return answer

    async def sent(self, call: C, instance: W) -> None:
        """The answer has been sent."""


class AfterPage(Fault[Any, Call]):
    """Calls a function of the test's own with 1, 2, 3, … after each page was read and before the reader gets it.

    Not known by name: `server.add_fault(AfterPage(hook))`. The hook runs in the server's thread; it may change the
    source.
    """

    name = "after_page"
    hook: PageHook = field(kw_only=False)

    def after(self, call: Call, answer: Answer, instance: Any) -> Answer:
        if self.strikes(call):
            self.hook(self.hits)
        return answer


class FaultBook:
    """The faults that a kind of source knows by name."""

    def __init__(self, faults: Iterable[type[Fault[Any, Any]]] = ()) -> None:
        self.known: dict[str, type[Fault[Any, Any]]] = {fault.name: fault for fault in faults}

    def register(self, fault: F) -> F:
        """Class decorator: makes a fault known by its name."""
        self.known[fault.name] = fault
        return fault

    def make(self, name: str, **params: Any) -> Fault[Any, Any]:
        """Raises ValueError for an unknown name or parameter; the message lists what there is."""
        if name not in self.known:
            raise ValueError(f"There is no fault {name!r}. Known faults: {', '.join(sorted(self.known))}")
        try:
            return self.known[name](**params)
        except TypeError as error:
            raise ValueError(f"Fault {name!r}: {error}. Parameters: {', '.join(self.parameters_of(name))}") from error

    def parse(self, text: str) -> Fault[Any, Any]:
        """`name` or `name:key=value,key=value`, as on the command line. Raises ValueError."""
        name, _, rest = text.partition(":")
        pairs = (pair.partition("=") for pair in rest.split(",") if pair)
        return self.make(name, **{key: _value(value) for key, _, value in pairs})

    def parameters_of(self, name: str) -> list[str]:
        """The names of a fault's own parameters, then of the common ones."""
        common = ["on", "skip", "times"]
        return [own for own in inspect.signature(self.known[name]).parameters if own not in common] + common


def _value(text: str) -> Any:
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


class FaultSet:
    """The faults in force, in the order in which they were added. May be changed from any thread."""

    def __init__(self, instance: World, book: FaultBook) -> None:
        self.instance = instance
        self.book = book
        self.active: tuple[Fault[Any, Any], ...] = ()

    def of(self, kind: type[K]) -> tuple[K, ...]:
        """Those of one class: a source's own faults have hooks that the general ones lack."""
        return tuple(fault for fault in self.active if isinstance(fault, kind))

    def add(self, fault: Fault[Any, Any] | str, **params: Any) -> Fault[Any, Any]:
        """Puts a fault in force; it changes data at once. Raises ValueError for an unknown name."""
        made = self.book.make(fault, **params) if isinstance(fault, str) else fault
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
