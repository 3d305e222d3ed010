"""The nearest vectors under filters: what the index finds is what comparing all of them finds."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import text

from integrations_api.db.engine import Sessions
from integrations_api.db.reading import reading
from integrations_api.knowledge.embedding import Model, find_active_model
from integrations_api.knowledge.vectors import literal, table_of
from integrations_api.search import nearest
from integrations_api.search.candidates import conditions_of
from integrations_api.search.nearest import Meaning
from integrations_api.search.scope import Filters
from tests.search.conftest import Hybrid, scope_in
from tests.support.embedding import unit
from tests.support.knowledge import build_versions, doc

pytestmark = pytest.mark.anyio

WORDS = (
    "car", "printer", "mail", "network", "disk", "screen", "phone", "badge", "chair", "server", "cable", "tray",
    "login",
)  # fmt: skip
QUERIES = ["car in the network", "printer tray 7", "mail login", "screen of phone 12"]
FILTERS = [Filters(), Filters(priority="low"), Filters(priority="high")]


async def model_of(hybrid: Hybrid, sessions: Sessions) -> Model:
    """400 incidents of many words each, embedded; one in twenty has a high priority."""
    incidents = {
        f"INC{i:03}": doc(
            title=f"{WORDS[i % 13]} {WORDS[i * 7 % 12]} {i}",
            text=" ".join(WORDS[(i * j + j) % 13] for j in range(1, 2 + i % 5)),
            priority="1 - High" if i % 20 == 0 else "3 - Low",
        )
        for i in range(400)
    }
    await build_versions(sessions, incidents)
    await hybrid.fill()
    async with sessions() as session:
        model = await find_active_model(session)
    assert model is not None
    return model


async def found(sessions: Sessions, model: Model, query: str, filters: Filters) -> list[UUID]:
    async with reading(sessions) as session:
        scope = await scope_in(session)
        ranked = await nearest.nearest(session, scope, Meaning(model, unit(query)), filters=filters, most=15)
    assert ranked is not None
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    return [one.id for one in ranked]


def recall(ours: Sequence[Sequence[UUID]], truth: Sequence[Sequence[UUID]]) -> float:
    hits = [len(set(one) & set(other)) / len(other) for one, other in zip(ours, truth, strict=True)]
    return sum(hits) / len(hits)


WAYS = {
    "a glance is enough": {"FEW": 0},
    "few pass, so it goes on": {"FEW": 0, "GLANCE": 40, "DEARER": 0},
    "few pass, so all are compared": {"FEW": 0, "GLANCE": 40, "DEARER": 10**6},
}


async def test_what_the_index_finds_is_what_comparing_all_finds(
    hybrid: Hybrid, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await model_of(hybrid, sessions)
    asked = [(query, filters) for query in QUERIES for filters in FILTERS]
    truth = [await found(sessions, model, *one) for one in asked]
    assert all(len(one) == 15 for one in truth)

    for way, settings in WAYS.items():
        for name, value in settings.items():
            monkeypatch.setattr(nearest, name, value)
        ours = [await found(sessions, model, *one) for one in asked]

        assert recall(ours, truth) >= 0.95, way


async def test_the_plan_follows_the_index_and_looks_each_vector_up(hybrid: Hybrid, sessions: Sessions) -> None:
    model = await model_of(hybrid, sessions)
    table = table_of(model.id)
    async with reading(sessions) as session:
        scope = await scope_in(session)
        facts = {**scope.facts, "vector": literal(unit("car")), "but": None, "picked": 30, "visited": 2000, "most": 15}
        conditions, more = conditions_of(Filters(priority="high"))
        index = await session.scalars(text(f"EXPLAIN {nearest.index_sql(table, conditions)}"), {**facts, **more})
        exact = await session.scalars(text(f"EXPLAIN {nearest.exact_sql(table, conditions)}"), {**facts, **more})
        by_index, by_hand = "\n".join(index), "\n".join(exact)

    assert f"Index Scan using ix_{table}" in by_index
    for name in ("ix_content_texts_hash", "ix_revisions_content", "pk_contents"):
        assert name in by_index
    assert "Seq Scan" not in by_index
    assert f"ix_{table}" not in by_hand


async def test_vectors_that_vanish_under_a_search_fail_nothing(hybrid: Hybrid, sessions: Sessions) -> None:
    model = await model_of(hybrid, sessions)
    async with sessions.begin() as session:
        await session.execute(text(f"DROP TABLE {table_of(model.id)}"))

    answer = await hybrid.get("search", q="printer tray")

    assert answer["ranking"] == "lexical"
    assert answer["hits"]


async def test_a_look_that_takes_too_long_is_broken_off(
    hybrid: Hybrid, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await model_of(hybrid, sessions)
    monkeypatch.setattr(nearest, "PATIENCE_MS", 50)
    monkeypatch.setattr(nearest, "exact_sql", lambda table, conditions: "SELECT pg_sleep(60)")

    answer = await hybrid.get("search", q="printer tray")

    assert answer["ranking"] == "lexical"
