"""What a fault can do to an instance and to its answers."""

from integrations_api.simulator.common import faults
from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.messages import Call
from integrations_api.simulator.servicenow.query import Query
from integrations_api.simulator.servicenow.rows_cache import Written
from integrations_api.simulator.servicenow.table import Row


class Fault(faults.Fault[ServiceNowInstance, Call]):
    """A way of an instance to misbehave. `on` is page, probe, row, stats, token, table (all lists and rows) or any."""

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
