"""From rows to what is on the wire: plain dictionaries. `schemas` documents their shape."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from integrations_api.clock import to_wire
from integrations_api.search.repository import BREAK, MARKS

Wire = dict[str, Any]
_MOST_REASONS = 8


def hit(row: Mapping[str, Any], *, score: float, why: Sequence[str], spelling: Mapping[str, str]) -> Wire:
    """HIT: `why` goes before the query's terms that the incident has, the most telling ones first."""
    words = [spelling.get(term, term) for term in row["matched"]]
    attributes = row["attributes"]
    return {
        "number": row["number"],
        "id": str(row["id"]),
        "integration_id": str(row["dataset_id"]),
        "title": row["title"],
        "snippet": snippet(row["snippet"]),
        "score": score,
        "why": list(dict.fromkeys([*why, *words]))[:_MOST_REASONS],
        "attributes": attributes,
        "resolution": attributes.get("resolution"),
        "version": row["version"],
        "url": row["url"],
        "source_updated_at": to_wire(row["source_updated_at"]),
        "synced_at": to_wire(row["synced_at"]),
        "is_deleted": row["change"] == "deleted",
    }


def snippet(marked: str) -> str:
    """A highlighted piece of text, safe to put into a page: everything is escaped but the `<mark>` around words."""
    safe = html.escape(" ".join(marked.replace(BREAK, "").split()))
    return safe.replace(MARKS[0], "<mark>").replace(MARKS[1], "</mark>")
