"""The comments of many issues in one query.

By REST this would be one request for each issue, and five thousand an hour are allowed: a repository of ten thousand
issues would take two hours. GraphQL gives those of fifty issues at the price of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from integrations_api.connectors.errors import PageTooLarge, Retryable
from integrations_api.connectors.github.answers import well_formed
from integrations_api.connectors.github.client import GitHubClient

Comment = Mapping[str, Any]
_FIRST = 50
_FIELDS = "nodes { author { __typename login } body createdAt } pageInfo { hasNextPage endCursor }"
_OF_MANY = (
    f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Issue {{ comments(first: {_FIRST}) {{ {_FIELDS} }} }} }} }}"
)
_OF_ONE = (
    "query ($id: ID!, $after: String) { node(id: $id) { ... on Issue { "
    f"comments(first: 100, after: $after) {{ {_FIELDS} }} }} }} }}"
)
_MOST_PAGES = 1000


class CommentReader:
    """Reads comments, so many issues at once as the source can bear."""

    def __init__(self, client: GitHubClient) -> None:
        self._client = client
        self._at_once = 50

    async def read(self, node_ids: Sequence[str]) -> list[list[Comment]]:
        """The comments of each issue, oldest first. Raises `Retryable` where an issue has vanished meanwhile."""
        found: list[list[Comment]] = []
        while len(found) < len(node_ids):
            chunk = node_ids[len(found) : len(found) + self._at_once]
            try:
                with well_formed():
                    found.extend(await self._of_many(chunk))
            except PageTooLarge:
                if self._at_once == 1:
                    raise
                self._at_once = max(1, self._at_once // 2)
        return found

    async def _of_many(self, node_ids: Sequence[str]) -> list[list[Comment]]:
        graph = await self._client.query(_OF_MANY, {"ids": list(node_ids)})
        nodes = graph.data.get("nodes")
        if not isinstance(nodes, list) or len(nodes) != len(node_ids):
            raise Retryable("The answer broke off")
        return [await self._all_of(node_id, node) for node_id, node in zip(node_ids, nodes, strict=True)]

    async def _all_of(self, node_id: str, node: Mapping[str, Any] | None) -> list[Comment]:
        page = _page_of(node)
        comments = _comments_in(page)
        for _ in range(_MOST_PAGES):
            if not page["pageInfo"]["hasNextPage"]:
                break
            graph = await self._client.query(_OF_ONE, {"id": node_id, "after": page["pageInfo"]["endCursor"]})
            page = _page_of(graph.data.get("node"))
            comments.extend(_comments_in(page))
        return comments


def _page_of(node: Mapping[str, Any] | None) -> Mapping[str, Any]:
    page = (node or {}).get("comments")
    if not isinstance(page, Mapping):
        raise Retryable("An issue vanished before its comments were read")
    return page


def _comments_in(page: Mapping[str, Any]) -> list[Comment]:
    return [comment for comment in page["nodes"] if comment]
