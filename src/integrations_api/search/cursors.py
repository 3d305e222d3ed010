"""The cursor of a search: how far it was read, and in which versions, so that a sync between pages moves nothing.

It also tells which search it is of: the next page of another one would leave out what that has first.
"""

from hashlib import blake2s
from uuid import UUID

from integrations_api.api.pagination import decode_cursor, encode_cursor
from integrations_api.errors import FieldProblem, InvalidInput
from integrations_api.knowledge.models import FOREVER
from integrations_api.search.candidates import MOST_HITS
from integrations_api.search.scope import Filters, Scope

_MOST_PINNED = 50
"""A cursor stays short enough for a URL; a search over more datasets reads their heads anew."""

Pinned = tuple[tuple[UUID, int], ...]


def name_of(query: str, filters: Filters) -> str:
    """A short name of a search, by which its cursors are told from those of others."""
    return blake2s(repr((query, filters)).encode(), digest_size=8).hexdigest()


def cursor_of(offset: int | None, scope: Scope, *, name: str) -> str | None:
    """The cursor of the page of that search that begins there, if there is one."""
    if offset is None:
        return None
    pairs = list(zip(scope.datasets, scope.versions, strict=True)) if len(scope.datasets) <= _MOST_PINNED else []
    return encode_cursor(offset, " ".join(f"{dataset}={version}" for dataset, version in pairs), name)


def read_cursor(cursor: str | None, *, name: str) -> tuple[int, Pinned]:
    """Where a page begins, and what it is read in. Raises `InvalidInput`, also for a cursor of another search."""
    if cursor is None:
        return 0, ()
    offset, pairs, of = decode_cursor(cursor, int, str, str)
    try:
        pinned = tuple(_pair(pair) for pair in pairs.split())
    except ValueError:
        problem = FieldProblem("cursor", "is not one that this service gave out")
        raise InvalidInput.of([problem]) from None
    if of != name:
        raise InvalidInput.of([FieldProblem("cursor", "is of another search: leave it out to begin anew")])
    return max(0, min(offset, MOST_HITS)), pinned[:_MOST_PINNED]


def _pair(written: str) -> tuple[UUID, int]:
    dataset, _, version = written.partition("=")
    number = int(version)
    if not 0 < number < FOREVER:
        raise ValueError("not a version")
    return UUID(dataset), number
