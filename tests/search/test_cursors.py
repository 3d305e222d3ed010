"""Cursors can be forged, and name no more than a URL holds: whatever they say, a page can be read."""

from uuid import uuid4

import pytest

from integrations_api.api.pagination import encode_cursor
from integrations_api.errors import InvalidInput
from integrations_api.knowledge.cursors import version_of
from integrations_api.knowledge.models import FOREVER
from integrations_api.search.candidates import MOST_HITS
from integrations_api.search.cursors import cursor_of, mark_of, read_cursor
from integrations_api.search.scope import Scope


def forged(*, hits: int = 0, pinned: str = "") -> str:
    marks = "".join(mark_of(uuid4()) for _ in range(hits))
    return encode_cursor(marks, "lexical", pinned, "printer")


def test_no_more_can_have_been_shown_than_a_search_finds() -> None:
    assert len(read_cursor(forged(hits=MOST_HITS + 1), name="printer").shown) == MOST_HITS


@pytest.mark.parametrize("version", [-1, 0, FOREVER])
def test_a_search_goes_on_in_no_version_that_cannot_be(version: int) -> None:
    with pytest.raises(InvalidInput):
        read_cursor(forged(pinned=f"{uuid4()}={version}"), name="printer")


@pytest.mark.parametrize(("count", "pinned"), [(50, 50), (51, 0)])
def test_a_search_over_very_many_datasets_reads_their_heads_anew(count: int, pinned: int) -> None:
    scope = Scope(tuple(uuid4() for _ in range(count)), (1,) * count, 1, 1.0)

    cursor = cursor_of([mark_of(uuid4())], "lexical", scope, name="printer")

    assert len(read_cursor(cursor, name="printer").pinned) == pinned
    assert len(read_cursor(forged(pinned=f"{uuid4()}=1 " * 60), name="printer").pinned) == 50


@pytest.mark.parametrize(("said", "version"), [(-1, 0), (7, 7), (10**15, FOREVER)])
def test_a_history_goes_on_within_the_numbers_that_versions_have(said: int, version: int) -> None:
    assert version_of(encode_cursor(said)) == version
