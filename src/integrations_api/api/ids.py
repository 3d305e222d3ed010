"""Ids in paths."""

from uuid import UUID

from integrations_api.errors import NotFound


def as_id(value: str, otherwise: str) -> UUID:
    """The id, or `NotFound` with the given words: nothing can be found under what is not one."""
    try:
        return UUID(value)
    except ValueError:
        raise NotFound(otherwise) from None
