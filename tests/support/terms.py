"""Counts of terms, told by brute force: what `term_counts` and `versions.words` must say of every published version."""

from uuid import UUID

from sqlalchemy import text

from integrations_api.db.engine import Sessions

_KEPT = text("""
    SELECT v.number, v.words, t.term, t.documents FROM versions v
    LEFT JOIN LATERAL (
        SELECT DISTINCT ON (term) term, documents FROM term_counts
        WHERE dataset_id = v.dataset_id AND version <= v.number ORDER BY term, version DESC
    ) t ON t.documents <> 0
    WHERE v.dataset_id = :dataset AND v.state = 'published'
""")
_COUNTED = text("""
    SELECT v.number, x.words, t.term, t.documents FROM versions v
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(c.words), 0) AS words FROM revisions r JOIN contents c ON c.id = r.content_id
        WHERE r.dataset_id = v.dataset_id AND r.valid_from <= v.number AND r.valid_to > v.number
          AND r.change <> 'deleted'
    ) x
    LEFT JOIN LATERAL (
        SELECT u.lexeme AS term, count(*) AS documents
        FROM revisions r JOIN contents c ON c.id = r.content_id, unnest(c.tsv) u
        WHERE r.dataset_id = v.dataset_id AND r.valid_from <= v.number AND r.valid_to > v.number
          AND r.change <> 'deleted'
        GROUP BY 1
    ) t ON true
    WHERE v.dataset_id = :dataset AND v.state = 'published'
""")


async def assert_counts_are_exact(sessions: Sessions, dataset_id: UUID) -> None:
    """Every published version's counts, kept from difference to difference, equal a count of all its texts."""
    async with sessions() as session:
        kept = {tuple(row) for row in await session.execute(_KEPT, {"dataset": dataset_id})}
        counted = {tuple(row) for row in await session.execute(_COUNTED, {"dataset": dataset_id})}
    assert kept == counted
