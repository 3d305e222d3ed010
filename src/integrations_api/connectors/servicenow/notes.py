"""Journals: one block of text, newest entry first, taken apart into dated and authored notes."""

import re
from collections.abc import Iterator, Mapping
from operator import attrgetter

from integrations_api.connectors.records import Note
from integrations_api.connectors.servicenow.times import SHAPE, Zone

_KIND = r"\((?:[^()\n]|\([^()\n]*\))+\)"
"""A column's label, which may hold parentheses of its own: "Additional comments (Customer visible)"."""
_HEADER = re.compile(rf"({SHAPE}) - ([^\n]*?) {_KIND}[ \t]*(?:\n|\Z)")
"""Time, author, and the kind of the remark, which the column tells as well."""


def notes_of(journals: Mapping[str, str], zone: Zone | None) -> list[Note]:
    """The notes of several journals (column name to display text), newest first.

    A block without a header becomes one note without author; a time that cannot be placed keeps the source's words.
    """
    found: list[Note] = []
    for column, block in journals.items():
        found.extend(_entries(column, block, zone))
    if len(journals) > 1 and all(note.at[-1:] == "Z" for note in found):
        found.sort(key=attrgetter("at"), reverse=True)  # stable: equal times keep the journal's order
    return found


def _entries(column: str, block: str, zone: Zone | None) -> list[Note]:
    if "\r" in block:
        block = block.replace("\r\n", "\n").replace("\r", "\n")
    headers = list(_headers(block))
    if not headers:
        text = block.strip()
        return [Note("", "", column, text)] if text else []
    notes = []
    for header, end in zip(headers, [*(following.start() for following in headers[1:]), len(block)], strict=True):
        at, author = header.groups()
        notes.append(Note(_moment(at, zone), author.strip(), column, block[header.end() : end].strip()))
    before = block[: headers[0].start()].strip()
    return [Note("", "", column, before), *notes] if before else notes


def _headers(block: str) -> Iterator[re.Match[str]]:
    """Entries are parted by an empty line: a line that only looks like a header has text right above it."""
    at = 0
    while True:
        if header := _HEADER.match(block, at):
            yield header
            at = header.end()
        parted = block.find("\n\n", max(0, at - 1))
        if parted < 0:
            return
        at = parted + 2


def _moment(shown: str, zone: Zone | None) -> str:
    return (zone.to_utc(shown) if zone is not None else None) or shown
