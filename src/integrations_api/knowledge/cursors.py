"""Cursors of the room's listings."""

from uuid import UUID

from integrations_api.api.pagination import decode_cursor, encode_cursor
from integrations_api.knowledge.models import FOREVER
from integrations_api.knowledge.repository import IncidentKey

NEWEST_VERSION = FOREVER - 1
"""The greatest number a version may have."""


def key_of(cursor: str | None) -> IncidentKey | None:
    """Where a page of a listing by number begins; None for the first. Raises `InvalidInput`."""
    return None if cursor is None else IncidentKey(*decode_cursor(cursor, str, UUID))


def cursor_after(key: IncidentKey | None) -> str | None:
    """The cursor of the next page of a listing by number, if there is one."""
    return None if key is None else encode_cursor(key.number, key.id)


def version_of(cursor: str | None) -> int | None:
    """The version before which a page begins; None for the first. Raises `InvalidInput`."""
    if cursor is None:
        return None
    # Cursors can be forged: the number stays within what the database holds.
    number: int = decode_cursor(cursor, int)[0]
    return max(0, min(number, FOREVER))


def cursor_before(version: int | None) -> str | None:
    """The cursor of the next page of a listing by version, if there is one."""
    return None if version is None else encode_cursor(version)
