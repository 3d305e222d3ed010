"""The cursor of a search: what its pages have shown, and how and in which versions they were ranked.

So a sync between pages moves nothing, and where the next page cannot be ranked as the first one was, for the embedding
service is away by then or another process answers, it still repeats nothing and leaves nothing out. It also tells which
search it is of: the next page of another one would leave out what that has first.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import blake2s
from uuid import UUID

from msgspec import Struct

from integrations_api.api.pagination import decode_cursor, encode_cursor
from integrations_api.errors import FieldProblem, InvalidInput
from integrations_api.knowledge.models import FOREVER
from integrations_api.search.candidates import MOST_HITS
from integrations_api.search.scope import Filters, Scope

_MOST_PINNED = 50
"""A cursor stays short enough for a URL; a search over more datasets reads their heads anew."""
_MARK = 8
"""Characters of a hit's mark."""

Pinned = tuple[tuple[UUID, int], ...]


class ReadSoFar(Struct, frozen=True):
    """What the pages before have shown, as marks; the `ranking` they had, None before the first; what they read."""

    shown: frozenset[str] = frozenset()
    ranking: str | None = None
    pinned: Pinned = ()

    def with_page(self, hits: Iterable[UUID]) -> frozenset[str]:
        """The marks of what has been shown once these hits are, too."""
        return self.shown | {mark_of(one) for one in hits}


def mark_of(document_id: UUID) -> str:
    """A short mark of a hit: 48 bits of its id, which tell a hundred hits apart."""
    return urlsafe_b64encode(document_id.bytes[-6:]).decode()


def name_of(query: str, filters: Filters) -> str:
    """A short name of a search, by which its cursors are told from those of others."""
    return blake2s(repr((query, filters)).encode(), digest_size=8).hexdigest()


def cursor_of(shown: Iterable[str], ranking: str, scope: Scope, *, name: str) -> str:
    """The cursor of the page of that search that comes after what was shown."""
    pairs = list(zip(scope.datasets, scope.versions, strict=True)) if len(scope.datasets) <= _MOST_PINNED else []
    pinned = " ".join(f"{dataset}={version}" for dataset, version in pairs)
    return encode_cursor("".join(sorted(shown)), ranking, pinned, name)


def read_cursor(cursor: str | None, *, name: str) -> ReadSoFar:
    """What the pages before were. Raises `InvalidInput`, also for a cursor of another search."""
    if cursor is None:
        return ReadSoFar()
    marks, ranking, pairs, of = decode_cursor(cursor, str, str, str, str)
    try:
        pinned = tuple(_pair(pair) for pair in pairs.split())
    except ValueError:
        problem = FieldProblem("cursor", "is not one that this service gave out")
        raise InvalidInput.of([problem]) from None
    if of != name:
        raise InvalidInput.of([FieldProblem("cursor", "is of another search: leave it out to begin anew")])
    shown = [marks[at : at + _MARK] for at in range(0, len(marks), _MARK)]
    return ReadSoFar(frozenset(shown[:MOST_HITS]), ranking, pinned[:_MOST_PINNED])


def _pair(written: str) -> tuple[UUID, int]:
    dataset, _, version = written.partition("=")
    number = int(version)
    if not 0 < number < FOREVER:
        raise ValueError("not a version")
    return UUID(dataset), number
