"""What a fault can do to an instance and to its answers."""

from collections.abc import Callable
from typing import ClassVar

from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.messages import Answer, Call, CallKind
from integrations_api.simulator.servicenow.query import Query
from integrations_api.simulator.servicenow.rows_cache import Written
from integrations_api.simulator.servicenow.table import Row

PageHook = Callable[[int], None]


class Fault:
    """A way to misbehave. Subclasses override the hooks they need; the others let everything pass.

    Common parameters choose the requests: `on` (page, probe, row, stats, token, table, any), `skip` (so many
    matching requests
    pass first) and `times` (so many are hit then; None: all that follow).
    """

    name: ClassVar[str] = ""
    default_on: ClassVar[str] = "page"
    default_times: ClassVar[int | None] = None

    def __init__(self, *, on: str = "", skip: int = 0, times: int | None = -1) -> None:
        self.on = on or self.default_on
        self.skip = skip
        self.times = self.default_times if times == -1 else times
        self.seen = 0
        self.hits = 0
        self._decided: tuple[int, bool] = (0, False)

    def matches(self, call: Call) -> bool:
        """Whether the fault may concern this kind of request at all."""
        if self.on == "any":
            return True
        if self.on == "table":
            return call.kind in (CallKind.PAGE, CallKind.PROBE, CallKind.ROW)
        return call.kind == self.on

    def strikes(self, call: Call) -> bool:
        """Whether this very request is hit.

        Counts, and gives the same answer when asked again about the same request.
        """
        if self._decided[0] == call.number:
            return self._decided[1]
        is_hit = False
        if self.matches(call):
            self.seen += 1
            is_hit = self.seen > self.skip and (self.times is None or self.hits < self.times)
            self.hits += is_hit
        self._decided = (call.number, is_hit)
        return is_hit

    # ---- hooks

    def attach(self, instance: ServiceNowInstance) -> None:
        """The fault was added: change the data or the toggles."""

    def detach(self, instance: ServiceNowInstance) -> None:
        """The fault was cleared: put toggles back. Data that were changed stay changed."""

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        """Before anything is looked at; an answer ends the request."""
        return None

    def prepare(self, call: Call) -> None:
        """The user is known, the query not yet read."""

    def edit_query(self, call: Call, query: Query) -> None:
        """The query was understood, not yet run."""

    def select_rows(self, call: Call, rows: list[Row]) -> list[Row]:
        """The rows of the answer, after the ACLs."""
        return rows

    def edit_rows(self, call: Call, rows: list[Row], written: list[Written]) -> list[Written]:
        """The rows as JSON. Must not change the list that it was given."""
        return written

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        """The answer is ready to be sent."""
        return answer

    async def sent(self, call: Call, instance: ServiceNowInstance) -> None:
        """The answer has been sent."""


class AfterPage(Fault):
    """Calls a function of the test's own with 1, 2, 3, … after each page was read and before the reader gets it.

    Not known by name: `server.add_fault(AfterPage(hook))`. The hook runs in the server's thread; it may change the
    instance.
    """

    name = "after_page"

    def __init__(self, hook: PageHook, *, on: str = "", skip: int = 0, times: int | None = -1) -> None:
        super().__init__(on=on, skip=skip, times=times)
        self.hook = hook

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        if self.strikes(call):
            self.hook(self.hits)
        return answer
