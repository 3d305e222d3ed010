"""`sys_journal_field`: a view of the incidents' comments and work notes, one row per entry."""

from collections.abc import Iterator

from integrations_api.simulator.common.clock import stamp
from integrations_api.simulator.common.dice import hex_id_for as sys_id_for

from .columns import Column
from .table import Bounds, Row, Table


class JournalTable(Table):
    """Entries are not stored twice: rows are made from the incidents when they are asked for."""

    is_sorted_by_id = False

    def __init__(self, columns: dict[str, Column], incidents: Table) -> None:
        super().__init__("sys_journal_field", columns)
        self._incidents = incidents

    def find(self, sys_id: str) -> Row | None:
        return next((row for row in self._all() if row.key == sys_id.casefold()), None)

    def candidates(
        self, bounds: Bounds, equal: dict[str, frozenset[str]], *, descending: bool = False
    ) -> Iterator[Row]:
        wanted = equal.get("element_id")
        if wanted is None:
            yield from self._all()
            return
        for sys_id in sorted(wanted):
            if incident := self._incidents.find(sys_id.strip()):
                yield from _entries(incident)

    def _all(self) -> Iterator[Row]:
        for key in self._incidents.order:
            yield from _entries(self._incidents.rows[key])


def _entries(incident: Row) -> Iterator[Row]:
    for position, entry in enumerate(incident.journal):
        at = stamp(entry.at)
        yield Row(
            {
                "sys_id": sys_id_for("journal", incident.sys_id, position),
                "name": "incident",
                "element": entry.element,
                "element_id": incident.sys_id,
                "value": entry.text,
                "sys_created_on": at,
                "sys_created_by": entry.user_name,
                "sys_updated_on": at,
                "sys_mod_count": "0",
            }
        )
