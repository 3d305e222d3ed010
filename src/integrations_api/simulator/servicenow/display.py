"""Rows as they go over the wire: raw values, display values, both, with links or without."""

import json
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

import orjson
from msgspec import Struct

from integrations_api.simulator.common.clock import stamp

from .columns import CHOICES, Column, Kind
from .incidents import JournalEntry
from .table import Row
from .zones import shown

Mode = Literal["false", "true", "all"]
Wire = Any
JOURNAL_LABELS = {"comments": "Additional comments", "work_notes": "Work notes"}


class Names(Protocol):
    """What rendering asks of the instance."""

    def find_column(self, table: str, path: str) -> Column | None:
        """The column at the end of a dot-walked path."""

    def read(self, table: str, row: Row, path: str) -> str:
        """The raw value at the end of a dot-walked path."""

    def display_of(self, table: str, sys_id: str) -> str:
        """What a reference to this row is displayed as."""


class Look(Struct, frozen=True):
    """Everything that decides how a row of one table is written. Equal looks write equal bytes."""

    table: str
    fields: tuple[str, ...]
    mode: Mode
    with_links: bool
    base_url: str
    time_zone: str
    date_format: str
    blanked: frozenset[str] = frozenset()
    """Columns that a field ACL hides: they are there and empty."""


class Renderer:
    """Writes rows in one look."""

    def __init__(self, look: Look, names: Names) -> None:
        self.look = look
        self.names = names
        self.zone = ZoneInfo(look.time_zone)
        found = ((name, names.find_column(look.table, name)) for name in look.fields)
        self.columns = [(name, column, self._memory(name, column)) for name, column in found if column]

    def write(self, row: Row) -> bytes:
        """The row as JSON.

        Text that is no Unicode (lone surrogates) goes out as `\\ud800` escapes, as Java writes it.
        """
        document = self.document(row)
        try:
            return orjson.dumps(document)
        except TypeError:
            return json.dumps(document, separators=(",", ":")).encode()

    def _memory(self, name: str, column: Column) -> dict[str, Wire] | None:
        """Where wire forms of a column's values are kept: most columns repeat a few codes and names."""
        is_plain = column.kind is not Kind.JOURNAL and "." not in name and name not in self.look.blanked
        return {} if is_plain else None

    def document(self, row: Row) -> dict[str, Wire]:
        values = row.values
        document = {}
        for name, column, known in self.columns:
            if known is None:
                document[name] = self._special(name, column, row)
                continue
            raw = values.get(name, "")
            wire = known.get(raw)
            if wire is None:
                wire = known[raw] = self._wrap(column, raw, self._display(column, raw))
            document[name] = wire
        return document

    def _special(self, name: str, column: Column, row: Row) -> Wire:
        """Hidden columns, dot-walked ones, and journals, whose raw value is always empty."""
        if name in self.look.blanked:
            return self._wrap(column, "", "")
        if column.kind is Kind.JOURNAL:
            return self._wrap(column, "", "" if self.look.mode == "false" else self._told(row.journal, column.name))
        raw = self.names.read(self.look.table, row, name)
        return self._wrap(column, raw, self._display(column, raw))

    def _display(self, column: Column, raw: str) -> str:
        if self.look.mode == "false" or not raw:
            return raw
        match column.kind:
            case Kind.STRING | Kind.BOOLEAN:
                return raw
            case Kind.CHOICE:
                return CHOICES.get(column.name, {}).get(raw, raw)
            case Kind.REFERENCE:
                return self.names.display_of(column.reference, raw)
            case Kind.DATE_TIME:
                return shown(raw, self.zone, self.look.date_format)
            case Kind.DURATION:
                return _duration(raw)
            case _:
                return f"{int(raw):,}" if raw.removeprefix("-").isdigit() else raw

    def _told(self, journal: list[JournalEntry], name: str) -> str:
        """All entries as one text, newest first."""
        wanted = ("comments", "work_notes") if name == "comments_and_work_notes" else (name,)
        entries = [entry for entry in journal if entry.element in wanted]
        entries.sort(key=lambda entry: entry.at)
        return "".join(map(self._told_entry, reversed(entries)))

    def _told_entry(self, entry: JournalEntry) -> str:
        at = shown(stamp(entry.at), self.zone, self.look.date_format)
        return f"{at} - {entry.author} ({JOURNAL_LABELS[entry.element]})\n{entry.text}\n\n"

    def _link(self, column: Column, raw: str) -> str:
        table = "sys_user_group" if column.reference == "domain" else column.reference
        return f"{self.look.base_url}/api/now/table/{table}/{raw}"

    def _is_linked(self, column: Column, raw: str) -> bool:
        return bool(raw) and column.kind is Kind.REFERENCE and self.look.with_links

    def _wrap(self, column: Column, raw: str, display: str) -> Wire:
        """The value in the shape of the display mode."""
        link = self._link(column, raw) if self._is_linked(column, raw) else ""
        match self.look.mode:
            case "false":
                return {"link": link, "value": raw} if link else raw
            case "true":
                return {"display_value": display, "link": link} if link else display
            case "all":
                pair = {"display_value": display, "value": raw}
                return pair | {"link": link} if link else pair


def _duration(raw: str) -> str:
    """A duration is stored as a time since 1970 and displayed in words, days first."""
    if not raw.startswith("19") or len(raw) != 19:
        return raw
    days, hours, minutes = int(raw[8:10]) - 1 + 31 * (int(raw[5:7]) - 1), int(raw[11:13]), int(raw[14:16])
    parts = ((days, "Day"), (hours, "Hour"), (minutes, "Minute"))
    return " ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in parts if n) or "0 Seconds"
