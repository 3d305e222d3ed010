"""PostgreSQL computes BM25 as the formula says, and finds the candidates by its indexes."""

from collections.abc import AsyncIterator
from math import ceil
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.db.reading import numbered_sql, reading, rows
from integrations_api.search import bm25, repository, service
from integrations_api.search.bm25 import FREQUENCIES, RANK_WEIGHTS, THRESHOLDS, TITLE, Term
from integrations_api.search.candidates import Candidates, Way, candidates_sql, rank, way_to
from integrations_api.search.cursors import ReadSoFar
from integrations_api.search.scope import Filters, Scope
from integrations_api.search.service import Question, SearchService
from integrations_api.search.sought import Sought, candidates_of, is_common
from integrations_api.search.words import expected_share, lexemes, read_query, spelled, title_and_rest, widened
from tests.search.conftest import scope_in
from tests.support.databases import Databases
from tests.support.knowledge import build_versions, doc, gone

pytestmark = pytest.mark.anyio


async def test_the_rank_of_one_term_tells_how_often_it_stands_in_title_and_text(sessions: Sessions) -> None:
    statement = text("""
        SELECT width_bucket(CAST(ts_rank(CAST(:weights AS float4[]),
                   setweight(to_tsvector('english', repeat('vpn x ', :in_title)), 'A')
                   || setweight(to_tsvector('english', repeat('vpn y ', :in_text)), 'B')
                   || setweight(to_tsvector('english', repeat('vpn z ', :in_notes)), 'C'),
                   CAST('vpn' AS tsquery)) AS float8), CAST(:thresholds AS float8[]))
    """)
    async with sessions() as session:
        for in_title in range(7):
            for in_text, in_notes in ((0, 0), (1, 0), (0, 1), (2, 3), (7, 0), (20, 20)):
                facts = {"in_title": in_title, "in_text": in_text, "in_notes": in_notes}
                shared = {"weights": list(RANK_WEIGHTS), "thresholds": THRESHOLDS}
                bucket = await session.scalar(statement, {**facts, **shared})
                assert bucket is not None
                assert FREQUENCIES[bucket] == TITLE * in_title + in_text + in_notes, facts


async def test_scores_are_those_of_the_formula(sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {
            "INC1": doc(title="printer jam", text="jam jam tray"),
            "INC2": doc(title="mail", text="jam"),
            "INC3": doc(title="mail quota", text="mailbox"),
        },
    )
    async with reading(sessions) as session:
        scope = await scope_in(session, dataset_id=story.dataset_id, version=None)
        counts = await repository.document_counts(session, scope, ["jam", "printer"])
        weights = bm25.telling([Term(term, 1.0, n) for term, n in counts.items()], scope.documents)
        found = await rank(session, Candidates(scope, "'jam' | 'printer'", weights, 100))

    lengths, average = {"INC1": 5, "INC2": 2}, 10 / 3
    frequencies = {"INC1": {"jam": TITLE + 2.0, "printer": TITLE * 1.0}, "INC2": {"jam": 1.0}}
    expected = [
        sum(
            weights[term] * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * lengths[number] / average))
            for term, tf in frequencies[number].items()
        )
        for number in ("INC1", "INC2")
    ]
    assert scope.documents == 3
    assert [one.id for one in found] == [story.id("INC1"), story.id("INC2")]
    assert [one.score for one in found] == pytest.approx(expected, abs=0.0001)


def test_candidates_come_by_the_rarest_terms_as_long_as_they_are_few() -> None:
    terms = [Term("the", 9, 900), Term("printer", 1, 60), Term("tray", 1, 30), Term("unheard", 1, 0)]
    weights = bm25.telling(terms, 1000)

    assert list(weights) == ["tray", "printer", "the"]
    assert bm25.rarest(terms, weights, most=100) == ["tray", "printer"]
    assert bm25.rarest(terms, weights, most=10) == ["tray"]
    assert bm25.rarest(terms[3:], weights, most=10) == []


def test_a_very_long_query_is_scored_by_its_most_telling_terms() -> None:
    terms = [Term(f"t{i}", 1, 1 + i) for i in range(200)]

    assert list(bm25.telling(terms, 1000)) == [f"t{i}" for i in range(bm25.MOST_TERMS)]


@pytest.mark.parametrize(
    ("typed", "prefix", "has_operators"),
    [
        ("vpn dro", "dro", False),
        ("vpn dr", None, False),
        ('"vpn drops"', None, True),
        ('"vpn drops', None, True),
        ("vpn -drops", None, True),
        ("vpn or drops", "drops", True),
        ("wi-fi", None, False),
        ("vpn drops ", "drops", False),
        ("org.acme.Mail", "mail", False),
        ("git --for", "for", False),
        ("vpn - drops", "drops", False),
        ("------ vpn", "vpn", False),
    ],
)
def test_the_last_word_may_be_a_beginning(typed: str, prefix: str | None, has_operators: bool) -> None:
    query = read_query(typed)

    assert (query.prefix, query.has_operators) == (prefix, has_operators)


@pytest.mark.parametrize(
    ("query", "wider"),
    [
        ("'vpn' & 'drop'", "'vpn' & ( 'drop' | 'droplet' | 'it''s' )"),
        ("'drop'", "( 'drop' | 'droplet' | 'it''s' )"),
        ("'vpn' & !'drop' & 'dropped'", "'vpn' & !( 'drop' | 'droplet' | 'it''s' ) & 'dropped'"),
    ],
)
def test_a_word_may_also_be_one_of_its_completions(query: str, wider: str) -> None:
    assert widened(query, "drop", ["droplet", "it's"]) == wider


async def test_the_words_of_a_query_are_counted_whatever_signs_stand_with_them(sessions: Sessions) -> None:
    story = await build_versions(
        sessions, {"INC1": doc(title="printer jam"), "INC2": doc(title="printing"), "INC3": doc(title="step 5 of -5")}
    )
    chosen = [(story.dataset_id, 1)]
    async with reading(sessions) as session:
        found = await repository.parse(session, chosen, '"printer jam" -5 or unheard & printing', None)
        begun = await repository.parse(session, chosen, "jam prin", "prin")
        whole = await repository.document_counts(session, found.scope, lexemes(found.query))

    assert {lexeme: found.counts[lexeme] for lexeme in whole} == whole
    assert whole == {"printer": 1, "jam": 1, "5": 1, "unheard": 0, "print": 1}
    assert (begun.stem, begun.longer) == ("prin", {"printer": 1, "print": 1})


@pytest.mark.parametrize(("read", "walked"), [(1, 100), (2, 100), (3, 100), (9, 100), (1, 2)])
async def test_completions_are_right_however_many_versions_a_word_has_changed_in(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, read: int, walked: int
) -> None:
    first = {"INC1": doc(title="serum"), "INC2": doc(title="serum"), "INC3": doc(title="serum"), "INC4": doc(title="x")}
    later = [{"INC4": doc(title="serif")}, {"INC2": doc(title="service")}, {"INC1": doc(title="server service")}]
    one, other = await build_versions(sessions, first, *later), await build_versions(sessions, first, *later[:1])
    monkeypatch.setattr(repository, "COMPLETIONS_READ", read)
    monkeypatch.setattr(repository, "COMPLETIONS_WALKED", walked)
    async with reading(sessions) as session:
        found = await repository.parse(session, [(one.dataset_id, 4), (other.dataset_id, 2)], "ser", "ser")
        before = await repository.parse(session, [(one.dataset_id, 2)], "ser", "ser")

    whole = {"serum": 4, "servic": 2, "serif": 2, "server": 1}
    assert (found.longer == whole) == (walked == 100), found.longer
    assert before.longer == {"serum": 3, "serif": 1}


def test_words_are_shown_as_they_were_written() -> None:
    assert spelled(["happi", "issu", "vpn"], "Unhappy? Happy! Issues with the VPN") == {
        "happi": "happy",
        "issu": "issues",
        "vpn": "vpn",
    }


def test_a_short_first_line_is_a_title() -> None:
    assert title_and_rest("VPN drops\nEvery minute.") == ("VPN drops", "\nEvery minute.")
    assert title_and_rest("One line only\n ") == ("", "One line only\n ")
    assert title_and_rest("x" * 301 + "\nrest")[0] == ""


@pytest.fixture(scope="module")
async def many(test_databases: Databases, template_database: str) -> AsyncIterator[Sessions]:
    """300 incidents, counted by the planner, for the tests that only look at plans."""
    url = test_databases.create(template=template_database)
    engine = create_engine(url, pool_size=3)
    sessions = create_sessions(engine)
    await build_versions(
        sessions, {f"INC{i}": doc(title=f"Incident {i} of {i % 7} in room{i % 50}") for i in range(300)}
    )
    async with sessions.begin() as session:
        for table in ("contents", "revisions", "term_counts"):
            await session.execute(text(f"ANALYZE {table}"))
    yield sessions
    await engine.dispose()
    test_databases.drop(url)


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


@pytest.mark.parametrize(
    ("query", "share"),
    [
        ("'mail'", 0.6),
        ("'mail' & 'quota'", 0.3),
        ("'quota' | 'mail' & 'never'", 0.5),
        ("'never'", 0.0),
        ("'mail' & !'quota'", 0.3),
        ("!'mail'", 0.0),
        ("'mail' <-> 'quota'", 0.0),
        ("'mail' & ( 'quota' | 'quotas' )", 0.0),
        ("", 0.0),
    ],
)
def test_how_much_a_query_matches_is_estimated_from_its_words(query: str, share: float) -> None:
    assert expected_share(query, {"mail": 600, "quota": 500}, 1000) == pytest.approx(share)


@pytest.mark.parametrize(
    ("in_documents", "documents", "walks"),
    [
        (900_000, 1_000_000, True),
        (50_000, 1_000_000, False),
        (60_000, 100_000, True),
        (20_000, 100_000, False),
        (900, 1000, False),
    ],
)
def test_a_walk_is_for_words_so_common_that_listing_them_would_take_longer(
    in_documents: int, documents: int, walks: bool
) -> None:
    assert is_common(in_documents / documents, documents, bm25.MOST_MATCHES) is walks


@pytest.mark.parametrize(
    ("share", "average", "scans"), [(0.08, 50, True), (0.06, 50, False), (0.08, 200, False), (0.15, 200, True)]
)
def test_a_scan_is_for_words_that_many_have_and_longer_texts_take_longer_to_look_at(
    share: float, average: float, scans: bool
) -> None:
    scope = Scope((uuid4(),), (1,), 100_000, average, living=1.0)
    sought = Sought("'mail'", {"mail": 1.0}, share=share)

    candidates = candidates_of(scope, sought, Filters(), None)

    assert candidates.way is (Way.SCAN if scans else Way.INDEX)
    assert candidates.looked_at == (ceil(2 * bm25.SAMPLE / share) if scans else 0)


def test_of_very_many_matches_fewer_are_scored() -> None:
    assert [bm25.most_scored(expected) for expected in (0, 500, 1000, 1001, 10**6)] == [500, 500, 500, 200, 200]


async def test_every_way_finds_the_same(sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {f"INC{i}": doc(title="Mail" if i % 3 else "Post", text="quota " * (i % 7)) for i in range(60)},
        {"INC1": doc(title="Post", text=""), "INC2": gone()},
    )
    found = []
    async with reading(sessions) as session:
        for version in (1, 2):
            scope = await scope_in(session, dataset_id=story.dataset_id, version=version)
            scope = replace(scope, living=0.9)
            found += [
                await rank(session, Candidates(scope, "'mail'", {"mail": 1.0, "quota": 1.0}, 100, way=way))
                for way in (Way.INDEX, Way.SCORED_FIRST, Way.WALK)
            ]

    assert found[0] == found[1] == found[2]
    assert found[3] == found[4] == found[5]
    assert (len(found[0]), len(found[3])) == (40, 38)


@pytest.mark.parametrize(
    ("most", "looked_at", "is_enough"), [(5, 30, True), (20, 60, True), (20, 30, False), (5, 1, False)]
)
async def test_a_scan_finds_what_the_index_finds(
    sessions: Sessions, most: int, looked_at: int, is_enough: bool
) -> None:
    """Of 40 texts with the word, the first 20 of which have died: those stored first, or the index finds them."""
    old = {f"INC{i}": doc(title="mail", text="quota " * (i % 7)) for i in range(20)}
    story = await build_versions(sessions, old, {number: doc(title="mail", text="now") for number in old})
    asked = Candidates(Scope((), (), 0, 1.0), "'mail'", {"mail": 1.0, "quota": 1.0}, most, looked_at=looked_at)
    async with reading(sessions) as session:
        scope = await scope_in(session, dataset_id=story.dataset_id, version=None)
        by_index = await rank(session, replace(asked, scope=scope))
        scan = replace(asked, scope=scope, way=Way.SCAN)
        scanned = await rows(session, scan.sql, {**scan.facts, "hits": 100})
        found = await rank(session, scan)

    assert found == by_index
    assert len(found) == most
    assert [not row["is_cut"] for row in scanned[:1]] == ([is_enough] if scanned else [])
    assert bool(scanned) or not is_enough


async def test_what_lives_is_found_however_much_that_matches_has_died_before_it(
    sessions: Sessions, search: SearchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bm25, "MOST_MATCHES", 10)
    monkeypatch.setattr(bm25, "SAMPLE", 10)
    told = {f"INC{i}": doc(title="mail", text="quota" if i < 15 else "") for i in range(30)}
    others = {f"REQ{i}": doc(title="printer", text="") for i in range(60)}
    changed = {f"INC{i}": doc(title="mail", text="quota now" if i < 15 else "now") for i in range(30)}
    story = await build_versions(sessions, told | others, changed, {"INC1": doc(title="mail", text="quota at last")})
    async with sessions.begin() as session:
        await session.execute(text("ANALYZE contents"))  # three quarters of the texts live, and none of the first 30

    found = await search.search(Question(query="mail", dataset_id=story.dataset_id, limit=5))
    so_far = ReadSoFar(found.shown)
    more = await search.search(Question(query="mail", dataset_id=story.dataset_id, limit=5, so_far=so_far))
    together = await search.search(Question(query="mail quota", dataset_id=story.dataset_id, limit=100))

    numbers = [hit["number"] for hit in found.hits + more.hits]
    assert len(set(numbers)) == 10
    assert {hit["number"] for hit in together.hits} <= {f"INC{i}" for i in range(15)}
    assert len(together.hits) == 10


async def test_what_was_scored_first_is_all_or_is_looked_for_again(sessions: Sessions) -> None:
    old = {f"INC{i}": doc(title="mail", text="quota") for i in range(20)}
    story = await build_versions(sessions, old, {number: doc(title="mail", text="quota now") for number in old})
    async with reading(sessions) as session:
        scope = await scope_in(session, dataset_id=story.dataset_id, version=None)
        found = [
            len(await rank(session, Candidates(scope, "'mail'", {"mail": 1.0}, most, way=Way.SCORED_FIRST)))
            for most in (5, 15, 25, 50)  # of 40 texts, the first 20 of which have died
        ]

    assert found == [5, 15, 20, 20]


async def test_a_version_answers_the_same_however_many_texts_come_after_it(
    sessions: Sessions, search: SearchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of words that come together more incidents have both than are expected to, and than are scored."""
    monkeypatch.setattr(bm25, "MOST_MATCHES", 10)
    told = {f"INC{i:02}": doc(title="mail", text="quota") for i in range(11)}
    others = {f"REQ{i}": doc(title="printer", text="") for i in range(48)}
    story = await build_versions(sessions, told | {"INC11": doc(title="mail quota", text="")} | others)
    question = Question(query="mail quota", dataset_id=story.dataset_id, version=1, limit=100)

    async def found() -> list[tuple[str, float]]:
        async with sessions.begin() as session:
            await session.execute(text("ANALYZE contents"))
        return [(hit["number"], hit["score"]) for hit in (await search.search(question)).hits]

    before = await found()  # all texts live
    await story.version({f"REQ{i}": doc(title="printer", text="again") for i in range(40)})

    assert await found() == before  # three fifths of them do
    assert len(before) == 10


async def test_a_word_that_many_have_is_answered_the_same_however_many_texts_come_after_a_version(
    sessions: Sessions, search: SearchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While most texts live they are scanned, and afterwards listed by the index."""
    monkeypatch.setattr(bm25, "MOST_MATCHES", 10)
    monkeypatch.setattr(bm25, "SAMPLE", 3)
    scanned, ways = candidates_of, []

    def watched(*args: Any) -> Candidates:
        ways.append((candidates := scanned(*args)).way)
        return candidates

    monkeypatch.setattr(service, "candidates_of", watched)
    told = {f"INC{i:02}": doc(title="mail", text="quota " * (i % 5)) for i in range(30)}
    others = {f"REQ{i}": doc(title="printer", text="") for i in range(30)}
    story = await build_versions(sessions, told | others)
    question = Question(query="mail", dataset_id=story.dataset_id, version=1, limit=100)

    async def found() -> list[tuple[str, float]]:
        async with sessions.begin() as session:
            await session.execute(text("ANALYZE contents"))
        return [(hit["number"], hit["score"]) for hit in (await search.search(question)).hits]

    before = await found()
    for i in range(3):
        await story.version({number: doc(title="printer", text=f"again {i}") for number in others})

    assert await found() == before
    assert len(before) == 3
    assert ways == [Way.SCAN, Way.INDEX]


@pytest.mark.parametrize(
    ("living", "filters", "common", "all_are_scored", "way"),
    [
        (0.5, Filters(), "", True, Way.SCORED_FIRST),
        (0.5, Filters(tombstones=True), "", True, Way.SCORED_FIRST),
        (0.4, Filters(), "", True, Way.INDEX),
        (0.9, Filters(state="New"), "", True, Way.INDEX),
        (0.9, Filters(), "", False, Way.INDEX),
        (0.9, Filters(), "walks scans", True, Way.WALK),
        (0.5, Filters(), "scans", False, Way.SCAN),
        (0.5, Filters(tombstones=True), "scans", False, Way.SCAN),
        (0.5, Filters(), "scans", True, Way.SCORED_FIRST),
        (0.4, Filters(), "scans", False, Way.INDEX),
        (0.9, Filters(state="New"), "scans", False, Way.INDEX),
    ],
)
def test_candidates_are_come_by_in_the_way_that_suits_how_many_match(
    living: float, filters: Filters, common: str, all_are_scored: bool, way: Way
) -> None:
    scope = Scope((), (), 100, 1.0, living)
    walks, scans = "walks" in common, "scans" in common

    assert way_to(scope, filters, walks=walks, scans=scans, all_are_scored=all_are_scored) is way


async def test_how_many_of_the_stored_texts_live_is_known_once_they_were_counted(sessions: Sessions) -> None:
    old = {f"INC{i}": doc(title="mail", text="quota") for i in range(20)}
    story = await build_versions(sessions, old, {"INC1": doc(title="mail", text="quota now")})
    async with sessions.begin() as session:
        await session.execute(text("ANALYZE contents"))
    async with reading(sessions) as session:
        scope = await scope_in(session, dataset_id=story.dataset_id, version=None)

    assert scope.living == pytest.approx(20 / 21)


async def plan_of(session: AsyncSession, sql: str) -> list[dict[str, Any]]:
    """The nodes of the plan that a statement has whatever its parameters are."""
    numbered = numbered_sql(sql)
    await rows(session, f"PREPARE asked AS {numbered.sql}", {})
    nothing = ", ".join("NULL" for _ in numbered.names)
    ((plan,),) = await rows(session, f"EXPLAIN (FORMAT JSON) EXECUTE asked({nothing})", {})
    await rows(session, "DEALLOCATE asked", {})
    return nodes(plan[0]["Plan"])


@pytest.mark.parametrize("conditions", ["", " AND r.change <> 'deleted' AND c.attributes ->> 'state' = 'New'"])
@pytest.mark.parametrize("terms", [1, 32])
@pytest.mark.parametrize(
    ("way", "indexes", "sorts"),
    [
        (Way.INDEX, {"ix_contents_tsv", "ix_revisions_content"}, ["Sort"]),
        (Way.SCORED_FIRST, {"ix_contents_tsv", "ix_revisions_content"}, ["Incremental Sort", "Sort"]),
        (Way.SCAN, {"ix_revisions_content"}, ["Sort"]),
        (Way.WALK, {"ix_revisions_number", "pk_contents"}, ["Sort"]),
    ],
)
async def test_candidates_are_found_by_the_indexes(
    many: Sessions, conditions: str, way: Way, indexes: set[str], sorts: list[str], terms: int
) -> None:
    async with reading(many) as session:
        sql = candidates_sql(conditions, terms=terms, way=way)
        used, shown = await plan_of(session, sql), await plan_of(session, repository.best_sql(sql))
        ((release,),) = await rows(session, "SELECT current_setting('server_version_num')::integer", {})

    assert indexes <= {node.get("Index Name") for node in used}
    assert indexes | {"pk_contents"} <= {node.get("Index Name") for node in shown}
    if way is not Way.SCORED_FIRST or release >= 160_000:  # 15 sorts so few in one go, and many as the others do
        assert [node["Node Type"] for node in used if "Sort" in node["Node Type"]] == sorts  # of the hits alone
    assert {node["Relation Name"] for node in used + shown if node["Node Type"] == "Seq Scan"} == set()
    scanned = {node["Relation Name"] for node in used if node["Node Type"] == "Tid Range Scan"}
    assert scanned == ({"contents"} if way is Way.SCAN else set())


@pytest.mark.parametrize("terms", [1, 32])
async def test_a_statement_of_any_length_is_prepared_once_a_connection(sessions: Sessions, terms: int) -> None:
    story = await build_versions(sessions, {"INC1": doc(title="printer jam")})
    weights = {f"jam{i}": 1.0 for i in range(terms)}
    async with reading(sessions) as session:
        scope = await scope_in(session, dataset_id=story.dataset_id, version=None)
        for _ in range(2):
            await rank(session, Candidates(scope, "'jam'", weights, 10))
        prepared = await rows(
            session, "SELECT FROM pg_prepared_statements WHERE statement LIKE :one", {"one": "%AS points%"}
        )

    assert len(prepared) == 1


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (repository.DOCUMENTS, "pk_term_counts"),
        (repository.parse_sql(None), "pk_term_counts"),
        (repository.parse_sql([]), "pk_term_counts"),
        (repository.SHOWN, "pk_contents"),
        (repository.said_by_incident_sql(None), "pk_revisions"),
        (repository.said_by_incident_sql([]), "pk_term_counts"),
    ],
)
async def test_what_is_asked_beside_them_uses_the_indexes(many: Sessions, sql: str, index: str) -> None:
    async with reading(many) as session:
        used = await plan_of(session, sql)

    assert index in {node.get("Index Name") for node in used}
    # Of datasets there are few, and all of them are asked for.
    assert {node["Relation Name"] for node in used if node["Node Type"] == "Seq Scan"} <= {"datasets"}
