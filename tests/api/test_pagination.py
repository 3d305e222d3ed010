"""Cursors come back as they went, and nothing else passes for one."""

import base64
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from integrations_api.api.pagination import decode_cursor, encode_cursor
from integrations_api.errors import InvalidInput

MOMENT = datetime(2026, 3, 1, 10, 30, 0, 123456, UTC)
ID = UUID("550e8400-e29b-41d4-a716-446655440000")


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ((MOMENT, ID), (datetime, UUID)),
        ((7,), (int,)),
        (("INC/0#1 é", ID), (str, UUID)),
        (("",), (str,)),
        ((2**63 - 1,), (int,)),
    ],
)
def test_a_cursor_gives_back_the_values_it_was_made_of(values: tuple[Any, ...], kinds: tuple[type, ...]) -> None:
    cursor = encode_cursor(*values)

    assert decode_cursor(cursor, *kinds) == values
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?# ")


def _raw(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("cursor", "kinds"),
    [
        ("", (int,)),
        ("%%%", (int,)),
        ("é", (int,)),
        ("A", (int,)),
        (_raw("nonsense"), (int,)),
        (_raw("7"), (int,)),
        (_raw("[]"), (int,)),
        (_raw("[1,2]"), (int,)),
        (_raw("[true]"), (int,)),
        (_raw("[1.5]"), (int,)),
        (_raw('["7"]'), (int,)),
        (_raw("[9223372036854775808]"), (int,)),
        (_raw("[7]"), (str,)),
        (_raw('["a\\u0000"]'), (str,)),
        (_raw('["\\ud800"]'), (str,)),
        (_raw('["not a uuid"]'), (UUID,)),
        (_raw('["2026-03-01T10:30:00"]'), (datetime,)),
        (_raw('["yesterday"]'), (datetime,)),
        (_raw('["0001-01-01T00:00:00+14:00"]'), (datetime,)),
        (_raw('["9999-12-31T23:59:59-14:00"]'), (datetime,)),
        (_raw('[{"a":1}]'), (str,)),
        (_raw("[" * 100), (str,)),
    ],
)
def test_a_malformed_cursor_is_malformed_input(cursor: str, kinds: tuple[type, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_cursor(cursor, *kinds)

    assert caught.value.message == "cursor: is not one that this service gave out"
    assert [problem.field for problem in caught.value.problems] == ["cursor"]
