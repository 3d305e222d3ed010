"""Journals: one block of text, newest entry first, taken apart into dated and authored notes."""

import re
from collections.abc import Iterator, Mapping

from integrations_api.connectors.records import Note
from integrations_api.connectors.servicenow.times import SHAPE, Zone

_HEADER = re.compile(rf"(?P<at>{SHAPE}) - (?P<author>[^\n]*?) \((?P<kind>[^()\n]+)\)[ \t]*(?:\n|\Z)")


def notes_of(journals: Mapping[str, str], zone: Zone | None) -> list[Note]:
    """The notes of several journals (column name to display text), newest first.

    A block without a header becomes one note without author; a time that cannot be placed keeps the source's words.
    """
    found: list[Note] = []
    for column, block in journals.items():
        found.extend(_entries(column, block, zone))
    if sum(1 for block in journals.values() if block) > 1 and all(note.at.endswith("Z") for note in found):
        found.sort(key=lambda note: note.at, reverse=True)  # stable: equal times keep the journal's order
    return found


def _entries(column: str, block: str, zone: Zone | None) -> list[Note]:
    if "\r" in block:
        block = block.replace("\r\n", "\n").replace("\r", "\n")
    headers = list(_headers(block))
    if not headers:
        text = block.strip()
        return [Note(at="", author="", kind=column, text=text)] if text else []
    notes = []
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        end = len(block) if following is None else following.start()
        text = block[header.end() : end].strip()
        notes.append(Note(_moment(header["at"], zone), header["author"].strip(), column, text))
    before = block[: headers[0].start()].strip()
    return [Note(at="", author="", kind=column, text=before), *notes] if before else notes


def _headers(block: str) -> Iterator[re.Match[str]]:
    """Entries are parted by an empty line: a line that only looks like a header has text right above it."""
    at = 0
    while True:
        if header := _HEADER.match(block, at):
            yield header
        parted = block.find("\n\n", max(0, at - 1))
        if parted < 0:
            return
        at = parted + 2


def _moment(shown: str, zone: Zone | None) -> str:
    return (zone.to_utc(shown) if zone is not None else None) or shown
