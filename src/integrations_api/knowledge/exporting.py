"""How an export writes incidents: lines of JSON, or CSV that a spreadsheet cannot mistake for formulas. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import orjson

from integrations_api.json_lines import on_one_line

Format = Literal["ndjson", "csv"]

MEDIA_TYPES: Mapping[Format, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}

_PLAIN = (
    "number", "id", "external_id", "title", "text", "url", "source_updated_at", "synced_at", "version", "change",
    "changed_in",
)  # fmt: skip
_FORMULA = re.compile("'*(?:[\t\r\n]|[\\s\ufeff\u200b]*[=+@\uff1d\uff0b\uff0d\uff20-])")
"""How a cell begins that a spreadsheet may take for a formula: also in full width, and behind blanks that it drops. One
with apostrophes before that gets one more, so that no two texts become the same cell."""


def defused(value: Any) -> str:
    """A value as a cell: text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return orjson.dumps(value).decode()
    if isinstance(value, int | float):
        return str(value)
    cell = str(value)
    return f"'{cell}" if _FORMULA.match(cell) else cell


def ndjson(incidents: Iterable[Mapping[str, Any]]) -> bytes:
    """One line of JSON for each incident."""
    return b"".join(on_one_line(incident) + b"\n" for incident in incidents)


class CsvTable:
    """The columns of one export, the same for every page and for a resumed export.

    Attributes get a column each if they occur on the version's first page; others are in `other_attributes`. So
    neither the columns nor the memory depend on the rest of the version.
    """

    def __init__(self, first_page: Iterable[Mapping[str, Any]]) -> None:
        names = {name for incident in first_page for name in incident["attributes"]}
        self._attributes: Sequence[str] = sorted(names)

    def header(self) -> bytes:
        """The line of column names."""
        attributes = [f"attributes.{name}" for name in self._attributes]
        return _lines([[*_PLAIN, *attributes, "other_attributes", "notes"]])

    def rows(self, incidents: Iterable[Mapping[str, Any]]) -> bytes:
        """One record for each incident; notes and other attributes are JSON."""
        return _lines([self._cells(incident) for incident in incidents])

    def _cells(self, incident: Mapping[str, Any]) -> list[str]:
        attributes = incident["attributes"]
        others = {name: value for name, value in attributes.items() if name not in self._attributes}
        values = [incident[name] for name in _PLAIN]
        values += [attributes.get(name) for name in self._attributes]
        return [defused(value) for value in (*values, others or None, incident["notes"] or None)]


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
