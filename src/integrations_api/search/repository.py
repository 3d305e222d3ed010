"""The questions that searching asks of the database. Every function works in its caller's `reading`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto, unique
from functools import cache
from math import ceil
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import to_wire
from integrations_api.db.reading import rows, run
from integrations_api.knowledge.terms import vector_sql
from integrations_api.search import bm25
from integrations_api.search.ranked import Ranked
from integrations_api.search.scope import SCOPED, Filters, Scope
from integrations_api.search.words import lexemes, quoted

MOST_HITS = 100
"""Hits of one search, over all its pages."""
MOST_COMPLETIONS = 6
MARKS = ("\ue000", "\ue001")
"""Stand around a found word until the snippet has been escaped; taken out of the texts themselves."""
BREAK = "\u200b"
"""Put into compound names and tags, which the highlighter would take for one word or leave out; taken out again."""


def _counts_of(terms: str) -> str:
    """SQL that counts in how many documents of the scope each of the terms (SQL of a set) stands."""
    return f"""
        SELECT q.term, coalesce(sum(t.documents), 0) AS documents
        FROM {terms} AS q(term)
        CROSS JOIN {SCOPED}
        LEFT JOIN LATERAL (
            SELECT c.documents FROM term_counts c
            WHERE c.dataset_id = s.dataset_id AND c.term = q.term AND c.version <= s.version
            ORDER BY c.version DESC LIMIT 1
        ) t ON true
        GROUP BY q.term
    """  # nosec B608 # noqa: S608 - put together from constants


DOCUMENTS = _counts_of("unnest(CAST(:terms AS text[]))")


async def document_counts(session: AsyncSession, scope: Scope, terms: Sequence[str]) -> dict[str, int]:
    """In how many documents of the scope each term stands."""
    found = await rows(session, DOCUMENTS, {**scope.facts, "terms": list(terms)})
    return {row["term"]: int(row["documents"]) for row in found}


@dataclass(frozen=True, slots=True)
class Parsed:
    """A query as PostgreSQL understands it: a tsquery, `querytree` of it, and the stem of the last word.

    `counts` tells in how many documents of the scope its words stand; `longer` are terms that begin as the last word
    does, the most frequent ones, with the same, where that word itself is not frequent.
    """

    query: str
    tree: str
    stem: str | None
    counts: Mapping[str, int]
    longer: Mapping[str, int]


PARSE = f"""
    WITH asked AS MATERIALIZED (
        SELECT q, (SELECT min(lexeme) FROM unnest(to_tsvector('english', CAST(:prefix AS text)))) AS stem
        FROM websearch_to_tsquery('english', CAST(:text AS text)) q
    ), counted AS MATERIALIZED (
        {_counts_of("unnest(tsvector_to_array(to_tsvector('english', CAST(:text AS text))))")}
    ), longer AS MATERIALIZED (
        SELECT term, max(documents) AS documents FROM (
            SELECT t.term, t.documents, asked.stem FROM asked CROSS JOIN {SCOPED}
            JOIN term_counts t ON t.dataset_id = s.dataset_id AND t.term >= :prefix AND t.term < :beyond
                 AND t.version <= s.version
            WHERE asked.stem IS NOT NULL
                  AND NOT EXISTS (SELECT FROM counted c WHERE c.term = asked.stem AND c.documents >= :frequent)
            LIMIT 20000
        ) known
        WHERE term <> stem AND documents > 0 GROUP BY term ORDER BY 2 DESC, term LIMIT :most
    )
    SELECT CAST(q AS text) AS query, querytree(q) AS tree, stem,
           ARRAY(SELECT term FROM counted) AS terms, ARRAY(SELECT documents FROM counted) AS counts,
           ARRAY(SELECT term FROM longer) AS longer, ARRAY(SELECT documents FROM longer) AS longer_counts
    FROM asked
"""  # nosec B608 # noqa: S608 - put together from constants


async def parse(session: AsyncSession, scope: Scope, query: str, prefix: str | None) -> Parsed:
    """Stems a query, reads its operators and counts its words; whatever was typed, this does not fail."""
    facts = {"text": query, "prefix": prefix or "", "beyond": f"{prefix or ''}\U0010ffff"}
    bounds = {"frequent": bm25.MOST_MATCHES, "most": MOST_COMPLETIONS}
    (row,) = await rows(session, PARSE, {**scope.facts, **facts, **bounds})
    counts = {term: int(count) for term, count in zip(row["terms"], row["counts"], strict=True)}
    # A few signs are read as operators where they stand in a query, and as parts of a word in a text.
    missing = [lexeme for lexeme in lexemes(row["query"]) if lexeme not in counts]
    if missing:
        counts |= await document_counts(session, scope, missing)
    longer = dict(zip(row["longer"], row["longer_counts"], strict=True))
    return Parsed(row["query"], row["tree"], row["stem"], counts, longer)


_TERMS_OF_TEXT = f"""
    SELECT lexeme, sum(weight * cardinality(positions)) AS in_query FROM (
        SELECT lexeme, positions, {bm25.TITLE} AS weight FROM unnest({vector_sql("CAST(:title AS text)")})
        UNION ALL
        SELECT lexeme, positions, 1 FROM unnest({vector_sql("CAST(:text AS text)")})
    ) said GROUP BY lexeme
"""  # nosec B608 # noqa: S608 - put together from constants


async def terms_of_text(session: AsyncSession, *, title: str, rest: str) -> dict[str, float]:
    """The terms of a new text, and how often it says them; those of a title count more."""
    found = await rows(session, _TERMS_OF_TEXT, {"title": title, "text": rest})
    return {row["lexeme"]: float(row["in_query"]) for row in found}


TERMS_OF_INCIDENT = f"""
    SELECT u.lexeme, cardinality(u.positions) + {bm25.TITLE - 1} * (
               SELECT count(*) FROM unnest(u.weights) w WHERE w = 'A') AS in_query
    FROM revisions r JOIN contents c ON c.id = r.content_id, unnest(c.tsv) u
    WHERE r.document_id = :id AND r.valid_from <= :version AND r.valid_to > :version
"""  # nosec B608 # noqa: S608 - put together from constants


async def terms_of_incident(session: AsyncSession, document_id: UUID, version: int) -> dict[str, float]:
    """The terms of an incident as a version has it, and how often it says them; those of its title count more."""
    found = await rows(session, TERMS_OF_INCIDENT, {"id": document_id, "version": version})
    return {row["lexeme"]: float(row["in_query"]) for row in found}


_WORDS_OF_INCIDENT = """
    SELECT c.title || E'\\n' || c.text AS words FROM revisions r JOIN contents c ON c.id = r.content_id
    WHERE r.document_id = :id AND r.valid_from <= :version AND r.valid_to > :version
"""


async def words_of_incident(session: AsyncSession, document_id: UUID, version: int) -> str:
    """Title and text of an incident as a version has it."""
    found = await rows(session, _WORDS_OF_INCIDENT, {"id": document_id, "version": version})
    return found[0]["words"] if found else ""


_ONE = 10_000
"""A score of 1, in the ten-thousandths to which scores are rounded."""
MOSTLY = 0.5
"""From this share of the stored texts on that live in the scope, they are scored before that is looked up of each."""
_PACKED_FROM = 1500
"""Bytes from which on a search vector may be stored compressed, or apart from its row."""

RESOLVED = "(c.attributes ?| array['resolution', 'resolved_at'])"

_OPENED = "coalesce(c.attributes ->> 'opened_at', c.attributes ->> 'created_at') COLLATE \"C\""
_CONDITIONS = {
    "state": "lower(:state) IN (lower(c.attributes ->> 'state'), lower(c.attributes ->> 'state_code'))",
    "priority": "lower(:priority) IN (lower(c.attributes ->> 'priority'), lower(c.attributes ->> 'priority_code'),"
    " lower(split_part(c.attributes ->> 'priority', ' - ', 2)))",
    "category": "lower(:category) IN (lower(c.attributes ->> 'category'), lower(c.attributes ->> 'category_code'))",
    "group": "lower(:group) IN (lower(c.attributes ->> 'assignment_group'), c.attributes ->> 'assignment_group_id')",
    "opened_after": f"{_OPENED} >= :opened_after",
    "opened_before": f"{_OPENED} < :opened_before",
}
"""Times are kept as they leave: UTC in one form, so that they compare as texts."""


def conditions_of(filters: Filters) -> tuple[str, dict[str, Any]]:
    """SQL that admits what the filters admit, and its parameters."""
    asked: dict[str, Any] = {name: getattr(filters, name) for name in _CONDITIONS}
    facts = {name: value for name, value in asked.items() if value is not None}
    sql = [_CONDITIONS[name] for name in facts] + ([] if filters.tombstones else ["r.change <> 'deleted'"])
    for name in ("opened_after", "opened_before"):
        if name in facts:
            facts[name] = to_wire(facts[name])
    return "".join(f" AND {condition}" for condition in sql), facts


# Looking up the version in the scope is cheaper than a join with it, which would be made for each. `OFFSET 0` keeps the
# planner from turning it around: from the texts to those of their revisions that are read, until there are enough.
_LIVING = """
    JOIN LATERAL (
        SELECT *, (CAST(:versions AS integer[]))[array_position(CAST(:datasets AS uuid[]), dataset_id)] AS version
        FROM revisions WHERE content_id = c.id OFFSET 0
    ) r ON r.valid_from <= r.version AND r.valid_to > r.version
"""
_BY_INDEX = f"(SELECT * FROM contents WHERE tsv @@ CAST(:query AS tsquery) OFFSET 0) c {_LIVING}"
# By number through what is live: no list of all that match is made first. `IS TRUE` keeps that index out.
_BY_WALKING = f"""
    {SCOPED}
    CROSS JOIN LATERAL (
        SELECT *, s.version FROM revisions
        WHERE dataset_id = s.dataset_id AND valid_from <= s.version AND valid_to > s.version
        ORDER BY number, document_id OFFSET 0
    ) r
    CROSS JOIN LATERAL (
        SELECT * FROM contents WHERE id = r.content_id AND (tsv @@ CAST(:query AS tsquery)) IS TRUE OFFSET 0
    ) c
"""  # nosec B608 # noqa: S608 - put together from constants


def _array(numbers: Sequence[float]) -> str:
    """Numbers in the statement itself: as parameters they would be written and read at every search."""
    return "CAST('{" + ",".join(f"{number:.9g}" for number in numbers) + "}' AS float8[])"


# Every call of a function that reads a vector would unpack it anew, where it is long; copying unpacks it once.
_UNPACKED = f"""
    CASE WHEN pg_column_size(c.tsv) < {_PACKED_FROM} THEN c.tsv ELSE c.tsv || CAST('' AS tsvector) END
"""
_TABLES = f"""{_array(bm25.INVERSES)} AS inverses, {_array(bm25.THRESHOLDS)} AS thresholds,
    CAST({_array(bm25.RANK_WEIGHTS)} AS float4[]) AS rank_weights"""
_TERM = """
    CAST((CAST(:terms AS text[]))[{i}] AS tsquery) AS term_{i}, (CAST(:weights AS float8[]))[{i}] AS weight_{i}"""
# weight * tf / (tf + damping) is weight / (1 + damping / tf), in which the rank is read once only. A term that the
# document has not is passed over by `@@`, which is cheaper.
_SCORE = """
    CASE WHEN c.tsv @@ q.term_{i} THEN q.weight_{i} / (1 + c.damping * q.inverses[
        width_bucket(CAST(ts_rank(q.rank_weights, c.tsv, q.term_{i}) AS float8), q.thresholds)]) ELSE 0 END"""
_SIZES = (1, 2, 4, 8, 16, bm25.MOST_TERMS)
"""Statements are made for so many terms, so that a connection needs few plans; what is too many of them is NULL."""
_DAMPING = "CAST(:flat AS float8) + CAST(:sloped AS float8) * c.words AS damping"
_ADMITTED = "r.document_id IS DISTINCT FROM CAST(:but AS uuid)"


@unique
class Way(Enum):
    """How candidates are come by: by the index over the search vectors, or by a walk through the scope by number.

    By `INDEX` so many are scored as live in the scope. `SCORED_FIRST` are so many as match: whether they live is looked
    up for the best alone, where most of them do.
    """

    INDEX = auto()
    SCORED_FIRST = auto()
    WALK = auto()


@cache
def candidates_sql(conditions: str, *, terms: int, way: Way = Way.INDEX) -> str:
    """SQL that fetches the candidates and scores them by BM25 for up to so many terms, in ten-thousandths.

    The terms stand side by side: as rows they took twice as long.
    """
    if way is Way.SCORED_FIRST:
        return _scored_first_sql(conditions, terms)
    return f"""
        SELECT c.id, c.version, c.is_resolved, {_points(terms)} AS points
        FROM (
            SELECT r.document_id AS id, r.number, r.version, {RESOLVED} AS is_resolved, {_UNPACKED} AS tsv, {_DAMPING}
            FROM {_BY_WALKING if way is Way.WALK else _BY_INDEX}
            WHERE {_ADMITTED}{conditions}
            LIMIT :most
        ) c
        CROSS JOIN {_terms(terms)} q
        ORDER BY points DESC, c.is_resolved DESC, c.number, c.id LIMIT :hits
    """  # nosec B608 # noqa: S608 - put together from constants


def _scored_first_sql(conditions: str, terms: int) -> str:
    # They come out by their score, so that the last sort looks no further than to the end of the hits and their equals.
    # `IS TRUE` keeps the index of datasets out.
    return f"""
        SELECT r.document_id AS id, r.version, {RESOLVED} AS is_resolved, c.points
        FROM (
            SELECT c.id, c.attributes, {_points(terms)} AS points
            FROM (
                SELECT c.id, c.attributes, {_UNPACKED} AS tsv, {_DAMPING} FROM contents c
                WHERE c.tsv @@ CAST(:query AS tsquery) AND (c.dataset_id = ANY(CAST(:datasets AS uuid[]))) IS TRUE
                LIMIT :most
            ) c
            CROSS JOIN {_terms(terms)} q
            ORDER BY points DESC OFFSET 0
        ) c
        {_LIVING}
        WHERE {_ADMITTED}{conditions}
        ORDER BY c.points DESC, is_resolved DESC, r.number, r.document_id LIMIT :hits
    """  # nosec B608 # noqa: S608 - put together from constants


def _points(terms: int) -> str:
    """SQL of a candidate's score."""
    return f"round({_ONE} * ({' + '.join(_SCORE.format(i=i) for i in range(1, terms + 1))}))"


def _terms(terms: int) -> str:
    """SQL of the one row that every candidate is scored by."""
    return f"(SELECT {_TABLES}, {', '.join(_TERM.format(i=i) for i in range(1, terms + 1))} OFFSET 0)"


def way_to(scope: Scope, filters: Filters, *, walks: bool) -> Way:
    """How candidates are best come by; `walks` says that very much of the scope matches."""
    if walks:
        return Way.WALK
    is_whole = replace(filters, tombstones=False) == Filters()
    return Way.SCORED_FIRST if is_whole and scope.living >= MOSTLY else Way.INDEX


async def rank(
    session: AsyncSession,
    scope: Scope,
    *,
    query: str,
    weights: Mapping[str, float],
    filters: Filters,
    most: int,
    but: UUID | None = None,
    way: Way = Way.INDEX,
    hits: int = MOST_HITS,
) -> list[Ranked]:
    """The best by BM25 of what matches a tsquery, resolved ones first among equals.

    Of more than `most` that match, so many are looked at: those stored first, or by a walk those of the first numbers.
    """
    conditions, facts = conditions_of(filters)
    if way is Way.SCORED_FIRST:
        most = ceil(most / scope.living)
    if way is Way.WALK:
        await walk_in_order(session, "off")
    found = await rows(
        session,
        candidates_sql(conditions, terms=next(size for size in _SIZES if size >= len(weights)), way=way),
        {
            **scope.facts,
            **facts,
            "query": query,
            "but": but,
            "most": most,
            "flat": bm25.K1 * (1 - bm25.B),
            "sloped": bm25.K1 * bm25.B / scope.average,
            "terms": [quoted(term) for term in weights],
            "weights": [weight * (bm25.K1 + 1) for weight in weights.values()],
            "hits": hits,
        },
    )
    if way is Way.WALK:
        await walk_in_order(session, "on")
    return [Ranked(row["id"], row["version"], row["points"] / _ONE, row["is_resolved"]) for row in found]


async def walk_in_order(session: AsyncSession, others: Literal["on", "off"]) -> None:
    """With `off` the planner walks along the index of numbers; else it would sort the whole scope first."""
    await run(session, f"SET LOCAL enable_sort TO {others}; SET LOCAL enable_bitmapscan TO {others}")


async def by_number(
    session: AsyncSession, scope: Scope, numbers: Sequence[str], filters: Filters
) -> list[tuple[UUID, int, str]]:
    """Incidents that bear one of the numbers, with the version in which they do, and the number."""
    conditions, facts = conditions_of(filters)
    sql = f"""
        SELECT r.document_id AS id, s.version, r.number FROM {SCOPED}
        JOIN revisions r ON r.dataset_id = s.dataset_id AND r.number = ANY(CAST(:numbers AS text[]))
             AND r.valid_from <= s.version AND r.valid_to > s.version
        JOIN contents c ON c.id = r.content_id
        WHERE true{conditions}
        ORDER BY r.number, r.document_id LIMIT 20
    """  # nosec B608 # noqa: S608 - put together from constants
    found = await rows(session, sql, {**scope.facts, **facts, "numbers": list(numbers)})
    return [(row["id"], row["version"], row["number"]) for row in found]


# Only the hits that are shown are highlighted; of a long text its beginning.
SHOWN = """
    SELECT h.ordinal, r.document_id AS id, r.dataset_id, r.number, h.version, c.title, c.attributes, c.url, r.change,
           r.source_updated_at, coalesce(v.published_at, v.created_at) AS synced_at,
           ts_headline('english', regexp_replace(translate(left(body.text, 8000), :marks, ''),
               '<|[./_:=@-](?=\\w)', '\\&' || :break, 'g'), CAST(:query AS tsquery), :options) AS snippet,
           ARRAY(SELECT q.term FROM unnest(CAST(:terms AS text[]), CAST(CAST(:matchers AS text[]) AS tsquery[]))
                 WITH ORDINALITY AS q(term, matcher, place)
                 WHERE c.tsv @@ q.matcher ORDER BY q.place) AS matched
    FROM unnest(CAST(:ids AS uuid[]), CAST(:read_in AS integer[])) WITH ORDINALITY AS h(id, version, ordinal)
    JOIN revisions r ON r.document_id = h.id AND r.valid_from <= h.version AND r.valid_to > h.version
    JOIN contents c ON c.id = r.content_id
    LEFT JOIN versions v ON v.dataset_id = r.dataset_id AND v.number = r.valid_from
    CROSS JOIN LATERAL (SELECT concat_ws(E'\\n', coalesce(nullif(c.text, ''), c.title), (
        SELECT string_agg(said.value ->> 'text', E'\\n') FROM jsonb_array_elements(c.notes) AS said)) AS text) body
    ORDER BY h.ordinal
"""

_OPTIONS = f'StartSel={MARKS[0]}, StopSel={MARKS[1]}, MaxFragments=2, MaxWords=26, MinWords=10, FragmentDelimiter=" … "'


async def shown(
    session: AsyncSession, ranked: Sequence[Ranked], *, query: str, terms: Sequence[str]
) -> Sequence[Mapping[str, Any]]:
    """What is shown of each hit, in order; `matched` are those of the terms that it has, in their order."""
    if not ranked:
        return []
    facts = {
        "ids": [one.id for one in ranked],
        "read_in": [one.version for one in ranked],
        "query": query,
        "terms": list(terms),
        "matchers": [quoted(term) for term in terms],
        "marks": "".join(MARKS) + BREAK,
        "break": BREAK,
        "options": _OPTIONS,
    }
    return await rows(session, SHOWN, facts)
