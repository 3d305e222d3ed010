"""Ids in paths."""

from uuid import UUID

from integrations_api.errors import NotFound


def as_id(value: str, otherwise: str) -> UUID:
    """The id, or `NotFound` with the given words: nothing can be found under what is not one."""
    found = find_id(value)
    if found is None:
        raise NotFound(otherwise)
    return found


def find_id(value: str) -> UUID | None:
    """The id; None where it is not one."""
    try:
        return UUID(value)
    except ValueError:
        return None
