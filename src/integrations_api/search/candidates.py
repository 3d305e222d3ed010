"""What is scored for a question, and the statement that does: candidates by the indexes, ranked by BM25."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto, unique
from functools import cache
from typing import Any
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import to_wire
from integrations_api.db.direct import Row
from integrations_api.db.reading import rows
from integrations_api.knowledge.terms import quoted
from integrations_api.search import bm25
from integrations_api.search.ranked import Ranked
from integrations_api.search.scope import SCOPED, Filters, Scope

MOST_HITS = 100
"""Hits of one search, over all its pages."""
ONE = 10_000
"""A score of 1, in the ten-thousandths to which scores are rounded."""
MOSTLY = 0.5
"""From this share of the stored texts on that live in the scope, they are scored before that is looked up of each. How
large it is moves with later versions, and changes nothing in what is found."""
_ENDLESS = 2**62
_PACKED_FROM = 1500
"""Bytes from which on a search vector may be stored compressed, or apart from its row."""

RESOLVED = """
    (c.attributes ?| array['resolution', 'resolved_at']
     OR c.attributes ->> 'state_reason_code' IS NOT DISTINCT FROM 'completed')
"""
"""SQL of whether an incident was resolved: GitHub tells it by the reason for which an issue was closed."""

_OPENED = "coalesce(c.attributes ->> 'opened_at', c.attributes ->> 'created_at') COLLATE \"C\""
_CONDITIONS = {
    "state": "lower(:state) IN (lower(c.attributes ->> 'state'), lower(c.attributes ->> 'state_code'))",
    "priority": "lower(:priority) IN (lower(c.attributes ->> 'priority'), lower(c.attributes ->> 'priority_code'),"
    " lower(nullif(split_part(c.attributes ->> 'priority', ' - ', 2), '')))",
    "category": "lower(:category) IN (lower(c.attributes ->> 'category'), lower(c.attributes ->> 'category_code'))",
    "group": "lower(:group) IN (lower(c.attributes ->> 'assignment_group'),"
    " lower(c.attributes ->> 'assignment_group_id'))",
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
_BY_INDEX = f"""
    (SELECT * FROM contents WHERE tsv @@ CAST(:query AS tsquery) OFFSET 0) c {_LIVING}
"""  # nosec B608 # noqa: S608 - put together from constants
# The same texts in the same order, for both go by where they are stored; no index can look into the inner query.
_BY_SCANNING = f"""
    (SELECT * FROM (SELECT * FROM contents WHERE ctid > CAST('(0,0)' AS tid) LIMIT :looked_at) c
     WHERE c.dataset_id = ANY(CAST(:datasets AS uuid[])) AND c.tsv @@ CAST(:query AS tsquery) OFFSET 0) c {_LIVING}
"""  # nosec B608 # noqa: S608 - put together from constants
# By number through what is live: no list of all that match is made first. `IS TRUE` keeps that index out. The limit is
# out of reach: it tells the planner that the end may not be needed, so that it does not sort the whole scope first.
_BY_WALKING = f"""
    {SCOPED}
    CROSS JOIN LATERAL (
        SELECT *, s.version FROM revisions
        WHERE dataset_id = s.dataset_id AND valid_from <= s.version AND valid_to > s.version
        ORDER BY number, document_id LIMIT :endless
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
    CAST((CAST(:matchers AS text[]))[{i}] AS tsquery) AS term_{i}, (CAST(:weights AS float8[]))[{i}] AS weight_{i}"""
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

    By `INDEX` so many are scored as live in the scope. `SCORED_FIRST` are all that match, where those are no more:
    whether they live is looked up for the best alone. A `SCAN` comes by those of `INDEX` by looking at one stored text
    after the other, which is for words that many have: the index would list all of them before the first is scored.
    """

    INDEX = auto()
    SCORED_FIRST = auto()
    SCAN = auto()
    WALK = auto()


_SOURCES = {
    Way.INDEX: (_BY_INDEX, "false"),
    Way.SCAN: (_BY_SCANNING, "count(*) OVER () < :most"),
    Way.WALK: (_BY_WALKING, "false"),
}
"""What candidates come from, and whether there may be others."""


@cache
def candidates_sql(conditions: str, *, terms: int, way: Way = Way.INDEX) -> str:
    """SQL that fetches the candidates and scores them by BM25 for up to so many terms, in ten-thousandths.

    The terms stand side by side: as rows they took twice as long.
    """
    if way is Way.SCORED_FIRST:
        return _scored_first_sql(conditions, terms)
    source, is_cut = _SOURCES[way]
    return f"""
        SELECT id, version, is_resolved, points, {is_cut} AS is_cut
        FROM (
            SELECT c.id, c.version, c.is_resolved, c.number, {_points(terms)} AS points
            FROM (
                SELECT r.document_id AS id, r.number, r.version, {RESOLVED} AS is_resolved,
                       {_UNPACKED} AS tsv, {_DAMPING}
                FROM {source}
                WHERE {_ADMITTED}{conditions}
                LIMIT :most
            ) c
            CROSS JOIN {_terms(terms)} q
            OFFSET 0
        ) c
        ORDER BY points DESC, is_resolved DESC, number, id LIMIT :hits
    """  # nosec B608 # noqa: S608 - put together from constants


def _scored_first_sql(conditions: str, terms: int) -> str:
    # They come out by their score, so that the last sort looks no further than to the end of the hits and their equals.
    # `IS TRUE` keeps the index of datasets out.
    return f"""
        SELECT r.document_id AS id, r.version, {RESOLVED} AS is_resolved, c.points, c.is_cut
        FROM (
            SELECT *, count(*) OVER () >= :most AS is_cut FROM (
                SELECT c.id, c.attributes, {_points(terms)} AS points
                FROM (
                    SELECT c.id, c.attributes, {_UNPACKED} AS tsv, {_DAMPING} FROM contents c
                    WHERE c.tsv @@ CAST(:query AS tsquery) AND (c.dataset_id = ANY(CAST(:datasets AS uuid[]))) IS TRUE
                    LIMIT :most
                ) c
                CROSS JOIN {_terms(terms)} q
                OFFSET 0
            ) c ORDER BY points DESC OFFSET 0
        ) c
        {_LIVING}
        WHERE {_ADMITTED}{conditions}
        ORDER BY c.points DESC, is_resolved DESC, r.number, r.document_id LIMIT :hits
    """  # nosec B608 # noqa: S608 - put together from constants


def _points(terms: int) -> str:
    """SQL of a candidate's score."""
    return f"round({ONE} * ({' + '.join(_SCORE.format(i=i) for i in range(1, terms + 1))}))"


def _terms(terms: int) -> str:
    """SQL of the one row that every candidate is scored by."""
    return f"(SELECT {_TABLES}, {', '.join(_TERM.format(i=i) for i in range(1, terms + 1))} OFFSET 0)"


class Candidates(Struct, frozen=True):
    """What is scored: of what matches a tsquery and passes the filters, `most`, by the weights of terms.

    Where more match, they are those stored first, or by a walk those of the first numbers. A scan looks at `looked_at`
    texts.
    """

    scope: Scope
    query: str
    weights: Mapping[str, float]
    most: int
    filters: Filters = field(default_factory=Filters)
    but: UUID | None = None
    way: Way = Way.INDEX
    looked_at: int = 0

    @property
    def sql(self) -> str:
        """The statement of `candidates_sql` that fetches them."""
        conditions, _ = conditions_of(self.filters)
        return candidates_sql(conditions, terms=next(n for n in _SIZES if n >= len(self.weights)), way=self.way)

    @property
    def facts(self) -> dict[str, Any]:
        """Its parameters, but for `hits`."""
        return {
            **self.scope.facts,
            **conditions_of(self.filters)[1],
            "query": self.query,
            "but": self.but,
            "most": self.most,
            "looked_at": self.looked_at,
            "endless": _ENDLESS,
            "flat": bm25.K1 * (1 - bm25.B),
            "sloped": bm25.K1 * bm25.B / self.scope.average,
            "matchers": [quoted(term) for term in self.weights],
            "weights": [weight * (bm25.K1 + 1) for weight in self.weights.values()],
        }


def way_to(scope: Scope, filters: Filters, *, walks: bool, scans: bool, all_are_scored: bool) -> Way:
    """How candidates are best come by.

    `walks` says that very much of the scope matches, `scans` that much does, `all_are_scored` that no more texts do
    than are scored, those included that do not live in it.
    """
    if walks:
        return Way.WALK
    if replace(filters, tombstones=False) != Filters() or scope.living < MOSTLY:
        return Way.INDEX
    if all_are_scored:
        return Way.SCORED_FIRST
    return Way.SCAN if scans else Way.INDEX


async def rank(session: AsyncSession, candidates: Candidates, *, hits: int = MOST_HITS) -> list[Ranked]:
    """The best of the candidates by BM25, resolved ones first among equals."""
    found = await scored(session, candidates, {"hits": hits})
    return [Ranked(row["id"], row["version"], row["points"] / ONE, row["is_resolved"]) for row in found]


async def scored(
    session: AsyncSession,
    candidates: Candidates,
    facts: Mapping[str, Any],
    *,
    statement_of: Callable[[str], str] = str,
) -> list[Row]:
    """The rows of their statement, or of one that is made of it; `facts` are what they do not tell themselves.

    Where as many matched as are scored, or more, the look at what lives comes first after all: those stored first are
    the first to die, and where much of what matches was changed, hardly one of them lives, or none. And a version's
    answer must not depend on how many have come after it. So a scan that has not met enough is given up, too.
    """
    found = await rows(session, statement_of(candidates.sql), {**candidates.facts, **facts})
    if candidates.way in (Way.SCORED_FIRST, Way.SCAN) and (not found or found[0].is_cut):
        return await scored(session, replace(candidates, way=Way.INDEX), facts, statement_of=statement_of)
    return found
