"""A ServiceNow instance in memory: what people, scripts and administrators do to its tables."""

from collections.abc import Iterable, Mapping
from typing import Literal

from integrations_api.simulator.common.clock import parse_stamp, stamp
from integrations_api.simulator.common.dice import hex_id_for as sys_id_for
from integrations_api.simulator.company.people import AGENTS, CALLERS, PEOPLE, Values

from .columns import TABLES
from .incidents import JournalEntry
from .store import INCIDENT, Store
from .table import Row, Table

Element = Literal["comments", "work_notes"]
SHOWN_IN_INCIDENTS = frozenset({column.reference for column in TABLES[INCIDENT].values()} - {"", INCIDENT})
NAMES = {person["user_name"]: person["name"] for person in PEOPLE}
OPERATIONS = frozenset(
    {
        "create",
        "update",
        "update_many",
        "add_journal",
        "comment",
        "work_note",
        "rename",
        "delete",
        "undelete",
        "log_delete_of_living",
        "archive",
        "hide",
        "show",
        "blank_rows",
        "hide_fields",
        "grant",
        "revoke",
        "listing",
        "sys_ids",
        "journal",
    }
)
"""Methods of the instance that the control plane may call by name."""


class ServiceNowInstance(Store):
    """A stateful instance. Every method here may be called from any thread.

    Times are whole seconds of `clock`. Changing a row raises its sys_mod_count and, unless told otherwise, its
    sys_updated_on.
    Methods that take a sys_id raise KeyError when the table does not hold it.
    """

    # ---- creating and changing

    def create(self, values: Mapping[str, str] | None = None, *, table: str = INCIDENT, at: str = "") -> str:
        """Adds a row and returns its sys_id. `at` (UTC) dates it otherwise than now; what is missing gets a default."""
        with self.lock:
            self._created += 1
            when = at or stamp(self.clock.now())
            row_values = {
                "sys_id": sys_id_for("created", table, self._created, when),
                "sys_created_on": when,
                "sys_updated_on": when,
                "sys_created_by": "system",
                "sys_updated_by": "system",
                "sys_mod_count": "0",
            }
            if table == INCIDENT:
                row_values |= self._new_incident(when)
            row_values |= values or {}
            row = Row(row_values)
            self.tables[table].add(row)
            self._row_changed(table, row)
            return row.sys_id

    def _new_incident(self, when: str) -> Values:
        self._last_number += 1
        return {
            "number": f"INC{self._last_number:07d}",
            "short_description": "New incident",
            "state": "1",
            "incident_state": "1",
            "active": "true",
            "impact": "3",
            "urgency": "3",
            "priority": "5",
            "category": "inquiry",
            "caller_id": CALLERS[self._created % len(CALLERS)]["sys_id"],
            "opened_at": when,
            "sys_class_name": "incident",
            "sys_domain": "global",
        }

    def update(
        self,
        sys_id: str,
        changes: Mapping[str, str] | None = None,
        *,
        table: str = INCIDENT,
        touch: bool = True,
        at: str = "",
        by: str = "system",
    ) -> None:
        """Changes a row.

        Without `touch` (a script with autoSysFields(false)) the stamp and the count of changes stay.
        """
        with self.lock:
            row = self.row(sys_id, table)
            values = dict(changes or {})
            if touch:
                values |= {
                    "sys_updated_on": at or stamp(self.clock.now()),
                    "sys_updated_by": by,
                    "sys_mod_count": str(int(row.get("sys_mod_count") or 0) + 1),
                }
            row.change(values)
            self._row_changed(table, row)

    def update_many(self, sys_ids: Iterable[str], changes: Mapping[str, str]) -> None:
        """A bulk update: all rows get the same second."""
        with self.lock:
            at = stamp(self.clock.now())
            for sys_id in sys_ids:
                self.update(sys_id, changes, at=at)

    def add_journal(self, sys_id: str, element: Element, text: str, *, by: str = "", at: str = "") -> None:
        """Adds a comment or work note; that updates the incident as well. `by` is a user_name."""
        with self.lock:
            row = self.row(sys_id)
            user_name = by or AGENTS[0]["user_name"]
            when = at or stamp(self.clock.now())
            entry = JournalEntry(parse_stamp(when), element, NAMES.get(user_name, user_name), user_name, text)
            row.added_journal += (entry,)
            self.update(sys_id, {}, at=when, by=user_name)

    def comment(self, sys_id: str, text: str, *, by: str = "") -> None:
        self.add_journal(sys_id, "comments", text, by=by)

    def work_note(self, sys_id: str, text: str, *, by: str = "") -> None:
        self.add_journal(sys_id, "work_notes", text, by=by)

    def rename(self, sys_id: str, new_sys_id: str) -> None:
        """Gives a row another sys_id, as an import with ids of its own does."""
        with self.lock:
            row = self.row(sys_id)
            self._take(row)
            row.change({"sys_id": new_sys_id})
            self._put(row)

    # ---- vanishing and coming back

    def delete(self, sys_id: str, *, audit: bool = True, workflow: bool = True) -> None:
        """Deletes an incident.

        An ordinary delete writes `sys_audit_delete` and `sys_audit`; one by a script with setWorkflow(false)
        (`workflow=False`)
        only `sys_audit`; the table cleaner (`audit=False`) writes nothing.
        """
        with self.lock:
            row = self.row(sys_id)
            self._take(row)
            self._deleted[row.key] = row
            if audit:
                self._audit(row, "DELETED")
            if audit and workflow:
                self._log_delete(row)

    def _audit(self, row: Row, what: str) -> None:
        line = {
            "tablename": _class_of(row),
            "documentkey": row.sys_id,
            "fieldname": what,
            "oldvalue": what,
            "newvalue": what,
            "user": "system",
        }
        self.create(line, table="sys_audit")

    def _log_delete(self, row: Row) -> None:
        """Under the record's own class, which may be one that extends the table."""
        line = {"tablename": _class_of(row), "documentkey": row.sys_id, "display_value": row.number}
        self.create(line, table="sys_audit_delete")

    def undelete(self, sys_id: str, *, keep_log: bool = False) -> None:
        """Brings a deleted incident back as it was. The line in the delete log goes, unless it is to be left stale."""
        with self.lock:
            row = self._deleted.pop(sys_id.casefold())
            self._put(row)
            self._audit(row, "RECOVERED")
            if not keep_log:
                self._forget_delete(sys_id)

    def _forget_delete(self, sys_id: str) -> None:
        log = self.tables["sys_audit_delete"]
        for line in [line for line in log.rows.values() if line.get("documentkey") == sys_id]:
            log.remove(line)

    def log_delete_of_living(self, sys_id: str) -> None:
        """Leaves a stale line in the delete log about an incident that lives."""
        with self.lock:
            self._log_delete(self.row(sys_id))

    def archive(self, sys_id: str) -> None:
        """Moves an incident to the archive of its class, mostly `ar_incident`. No delete log, no audit."""
        with self.lock:
            row = self.row(sys_id)
            self._take(row)
            row.change({"sys_archived": stamp(self.clock.now())})
            archive = f"ar_{_class_of(row)}"
            if archive not in self.tables:
                self.tables[archive] = Table(archive, TABLES["ar_incident"])
            self.tables[archive].add(row)

    def _take(self, row: Row) -> None:
        self.incidents.remove(row)
        self._row_changed(INCIDENT, row)

    def _put(self, row: Row) -> None:
        self.incidents.add(row)
        self._row_changed(INCIDENT, row)

    def _row_changed(self, table: str, row: Row) -> None:
        """Forgets what was derived from the row as it was: journals and dot-walked queries reach across tables."""
        for name, each in self.tables.items():
            each.changed([row.key] if name == table else ())
        self._names.pop((table, row.sys_id), None)
        if table == INCIDENT:
            self.cache.forget(table, row.key)
        elif table in SHOWN_IN_INCIDENTS:
            self.cache.clear()

    # ---- access

    def hide(self, sys_ids: Iterable[str]) -> None:
        """A row ACL that the session user does not pass: the rows vanish from pages, counts still count them."""
        with self.lock:
            self.hidden.update(sys_id.casefold() for sys_id in sys_ids)

    def show(self, sys_ids: Iterable[str]) -> None:
        with self.lock:
            self.hidden.difference_update(sys_id.casefold() for sys_id in sys_ids)

    def blank_rows(self, sys_ids: Iterable[str]) -> None:
        """All fields of these rows are hidden: they come as `{}`."""
        with self.lock:
            self.blank.update(sys_id.casefold() for sys_id in sys_ids)

    def hide_fields(self, fields: Iterable[str], *, as_: Literal["empty", "missing", "forbidden"] = "empty") -> None:
        """A field ACL: the fields come empty, do not come, or their mention is answered with 403."""
        with self.lock:
            self.hidden_fields = set(fields)
            self.hidden_fields_are = as_

    def grant(self, role: str, *, user_name: str = "") -> None:
        """Gives a role to one user, or to all."""
        with self.lock:
            for user in self.door.users.values():
                if user_name in ("", user.user_name):
                    user.roles.add(role)

    def revoke(self, role: str, *, user_name: str = "") -> None:
        with self.lock:
            for user in self.door.users.values():
                if user_name in ("", user.user_name):
                    user.roles.discard(role)

    # ---- for tests that compare

    def listing(
        self, fields: Iterable[str] = ("sys_id", "number", "sys_updated_on", "short_description", "description")
    ) -> list[Values]:
        """The whole incident table as the database holds it, by sys_id, whoever may see it."""
        names = tuple(fields)
        with self.lock:
            rows = self.incidents.rows
            return [{name: rows[key].get(name) for name in names} for key in self.incidents.order]

    def journal(self, sys_id: str) -> list[JournalEntry]:
        """Comments and work notes of an incident, oldest first."""
        with self.lock:
            return self.row(sys_id).journal


def _class_of(row: Row) -> str:
    return row.get("sys_class_name") or INCIDENT
