"""Cursors of the room's listings."""

from uuid import UUID

from integrations_api.api.pagination import decode_cursor, encode_cursor
from integrations_api.knowledge.models import FOREVER
from integrations_api.knowledge.repository import ChangeKey, IncidentKey

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
    return _bounded(decode_cursor(cursor, int)[0])


def _bounded(number: int) -> int:
    """Cursors can be forged: the number stays within what the database holds."""
    return max(0, min(number, FOREVER))


def cursor_before(version: int | None) -> str | None:
    """The cursor of the next page of a listing by version, if there is one."""
    return None if version is None else encode_cursor(version)


def change_of(cursor: str | None) -> ChangeKey | None:
    """The change before which a page of a history begins; None for the first. Raises `InvalidInput`."""
    if cursor is None:
        return None
    version, document_id = decode_cursor(cursor, int, UUID)
    return ChangeKey(_bounded(version), document_id)


def cursor_before_change(key: ChangeKey | None) -> str | None:
    """The cursor of the next page of a history, if there is one."""
    return None if key is None else encode_cursor(key.version, key.id)
