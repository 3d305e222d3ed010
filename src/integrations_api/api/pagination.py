"""Keyset pages: an opaque cursor that holds the last row's sort values."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson

from integrations_api.errors import FieldProblem, InvalidInput

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
LONGEST_CURSOR = 4000
_BIGGEST = 2**63
T = TypeVar("T")


def cut(found: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """A page of what was found, where one more than `limit` was asked for; and its last item if there is more."""
    page = found[:limit]
    return page, page[-1] if len(found) > limit else None


def encode_cursor(*values: str | int | datetime | UUID) -> str:
    """The cursor after a row with these sort values."""
    return base64.urlsafe_b64encode(orjson.dumps([_plain(value) for value in values])).rstrip(b"=").decode()


def _plain(value: str | int | datetime | UUID) -> str | int:
    if isinstance(value, datetime):
        return value.isoformat()
    # Not left to orjson: the driver's own UUIDs are a subclass, which it refuses.
    return str(value) if isinstance(value, UUID) else value


def decode_cursor(cursor: str, *kinds: type[str] | type[int] | type[datetime] | type[UUID]) -> tuple[Any, ...]:
    """The sort values of a cursor, each of the kind asked for. Raises `InvalidInput` for anything else."""
    try:
        values = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        return _typed(values, kinds)
    except (ValueError, TypeError, OverflowError, binascii.Error, UnicodeError):
        message = "is not one that this service gave out"
        raise InvalidInput.of([FieldProblem("cursor", message)]) from None


def _typed(values: Any, kinds: Sequence[type[Any]]) -> tuple[Any, ...]:
    if not isinstance(values, list) or len(values) != len(kinds):
        raise ValueError("wrong number of values")
    return tuple(_value(value, kind) for value, kind in zip(values, kinds, strict=True))


def _value(value: Any, kind: type[Any]) -> Any:
    if kind is int:
        if type(value) is not int or not -_BIGGEST <= value < _BIGGEST:
            raise ValueError("not a number of the database")
        return value
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text of the database")
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("not a moment")
        return moment.astimezone(UTC)  # As the driver would: the edges of the calendar have no date there.
    return UUID(value) if kind is UUID else value
