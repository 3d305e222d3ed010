"""What there is to read: repositories with their latest change and their number of issues, many in one query.

GraphQL answers for forty repositories at once, knows private ones of users and organizations alike, follows renames,
and its counts leave pull requests out. The issues themselves are read by REST: see walk.py.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import Struct

from integrations_api.connectors.errors import PageTooLarge, Refused, Retryable
from integrations_api.connectors.github.answers import well_formed
from integrations_api.connectors.github.client import GitHubClient, Graph
from integrations_api.connectors.github.config import GitHubConfig
from integrations_api.connectors.merge import in_chunks
from integrations_api.connectors.records import JsonObject

Node = Mapping[str, Any]

AT_ONCE = 40
_NEWEST = 20
_MOST_PAGES = 500
_FACTS = """
fragment Facts on Repository {
  nameWithOwner hasIssuesEnabled isArchived
  issues(first: 1, orderBy: {field: UPDATED_AT, direction: DESC}) { totalCount nodes { updatedAt } }
}
"""
_OWNED = """
query ($login: String!, $first: Int!, $after: String) {
  repositoryOwner(login: $login) {
    repositories(first: $first, after: $after, ownerAffiliations: [OWNER]) {
      nodes { ...Facts }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""


class Repository(Struct, frozen=True):
    """A repository as it is now; `newest` is when one of its issues last changed, None without issues."""

    name: str
    has_issues: bool
    is_archived: bool
    newest: str | None
    total: int


class Survey(Struct, frozen=True):
    """The repositories of a config, each once, and what is to be said about them."""

    repositories: Sequence[Repository]
    renamed: Mapping[str, str]
    """Name in the config to the name now."""
    date: datetime | None
    """The source's clock when the first question was answered."""

    @property
    def readable(self) -> list[Repository]:
        """Those whose issues are switched on."""
        return [repository for repository in self.repositories if repository.has_issues]

    @property
    def newest(self) -> str | None:
        """The latest change of an issue anywhere."""
        return max((one.newest for one in self.readable if one.newest), default=None)

    def notes(self) -> list[str]:
        """What an administrator should know."""
        renamed = [f"{old} is called {new} now: enter the new name" for old, new in self.renamed.items()]
        without = [one.name for one in self.repositories if not one.has_issues]
        told = [f"Issues are switched off in {', '.join(without[:10])}: nothing is read there"] if without else []
        return [*renamed, *told]


async def survey(client: GitHubClient, config: GitHubConfig) -> Survey:
    """Asks for every repository of the config. Raises `Refused` naming those that cannot be seen."""
    with well_formed():
        if config.owner is not None:
            return await _of_owner(client, config.owner)
        found, date = await look_up(client, config.repositories)
    if unseen := [name for name in config.repositories if found[name] is None]:
        raise Refused(
            f"Not found, or not visible to the token: {', '.join(unseen[:10])}",
            "Check the names, and that the token was given access to these repositories",
        )
    known = {name: one for name, one in found.items() if one is not None}
    renamed = {name: one.name for name, one in known.items() if one.name.casefold() != name.casefold()}
    once = {one.name.casefold(): one for one in known.values()}
    return Survey(list(once.values()), renamed, date)


async def look_up(client: GitHubClient, names: Sequence[str]) -> tuple[dict[str, Repository | None], datetime | None]:
    """Each name's repository, None for what cannot be seen; and the source's clock."""
    found: dict[str, Repository | None] = {}
    date: datetime | None = None
    for chunk in in_chunks(names, AT_ONCE):
        nodes, told = await _ask_about(client, chunk, "...Facts", _FACTS)
        date = date or told
        found |= {name: _repository(node) if node else None for name, node in zip(chunk, nodes, strict=True)}
    return found, date


async def _of_owner(client: GitHubClient, owner: str) -> Survey:
    found: list[Repository] = []
    after: str | None = None
    date: datetime | None = None
    for _ in range(_MOST_PAGES):
        graph = await _owned_page(client, owner, after)
        date = date or graph.date
        held = graph.data.get("repositoryOwner")
        if not held:
            raise Refused(
                f"The owner {owner} was not found", "Check the name of the organization or user, and the token's access"
            )
        page = held["repositories"]
        found.extend(_repository(node) for node in page["nodes"] if node)
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    else:
        raise Refused(
            f"The list of {owner}'s repositories does not end", "Name the repositories instead of their owner"
        )
    return Survey(list({one.name.casefold(): one for one in found}.values()), {}, date)


async def _owned_page(client: GitHubClient, owner: str, after: str | None) -> Graph:
    """A page of an owner's repositories; of fewer where it is too much at once."""
    return await client.patience.shrinking(
        lambda size: client.query(_OWNED + _FACTS, {"login": owner, "first": size, "after": after}), AT_ONCE
    )


async def count_created(client: GitHubClient, names: Sequence[str], until: str) -> int:
    """How many issues, without pull requests, these repositories have that were created at or before a time."""
    total = 0
    newer = f"issues(first: {_NEWEST}, orderBy: {{field: CREATED_AT, direction: DESC}})"
    for chunk in in_chunks(names, AT_ONCE):
        fields = f"{newer} {{ totalCount nodes {{ createdAt }} }}"
        nodes, _ = await _ask_about(client, chunk, fields)
        for name, node in zip(chunk, nodes, strict=True):
            issues = _issues_of(node, name)
            created = [node["createdAt"] for node in issues["nodes"] if node]
            later = sum(1 for moment in created if moment > until)
            if later == _NEWEST:
                later = await _count_later(client, name, until)
            total += issues["totalCount"] - later
    return total


async def count_changed(client: GitHubClient, names: Sequence[str], since: str) -> int:
    """How many of their issues changed at or after a time."""
    total = 0
    for chunk in in_chunks(names, AT_ONCE):
        fields = f'issues(first: 1, filterBy: {{since: "{since}"}}) {{ totalCount }}'
        nodes, _ = await _ask_about(client, chunk, fields)
        total += sum(_issues_of(node, name)["totalCount"] for name, node in zip(chunk, nodes, strict=True))
    return total


async def _count_later(client: GitHubClient, name: str, until: str) -> int:
    """Issues created after a time, where there are many: page after page, newest first."""
    query = (
        "query ($owner: String!, $name: String!, $after: String) { repository(owner: $owner, name: $name) { "
        "issues(first: 100, after: $after, orderBy: {field: CREATED_AT, direction: DESC}) { "
        "nodes { createdAt } pageInfo { hasNextPage endCursor } } } }"
    )
    owner, _, short = name.partition("/")
    later, after = 0, None
    for _ in range(_MOST_PAGES):
        variables = {"owner": owner, "name": short, "after": after}
        graph = await client.patience.retried(partial(client.query, query, variables))
        page = (graph.data.get("repository") or {}).get("issues")
        if page is None:
            raise Retryable(f"{name} is not visible any more")
        here = sum(1 for node in page["nodes"] if node and node["createdAt"] > until)
        later += here
        if here < len(page["nodes"]) or not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    return later


async def _ask_about(
    client: GitHubClient, names: Sequence[str], fields: str, fragments: str = ""
) -> tuple[list[Node | None], datetime | None]:
    """The same fields of several repositories, in the order of the names; in halves where it is too much at once."""
    query, variables = _query_about(names, fields, fragments)
    attempts = client.patience.attempts()
    while True:
        try:
            graph = await client.query(query, variables)
            return [graph.data.get(f"r{position}") for position in range(len(names))], graph.date
        except PageTooLarge as error:
            if len(names) > 1:
                break
            await attempts.again(error)
        except Retryable as error:
            await attempts.again(error)
    middle = len(names) // 2
    first, date = await _ask_about(client, names[:middle], fields, fragments)
    rest, _ = await _ask_about(client, names[middle:], fields, fragments)
    return first + rest, date


def _query_about(names: Sequence[str], fields: str, fragments: str) -> tuple[str, JsonObject]:
    """The query, with the repositories as r0, r1, …, and its variables."""
    declared, asked, variables = [], [], {}
    for position, name in enumerate(names):
        variables[f"o{position}"], _, variables[f"n{position}"] = name.partition("/")
        declared.append(f"$o{position}: String!, $n{position}: String!")
        asked.append(f"r{position}: repository(owner: $o{position}, name: $n{position}) {{ {fields} }}")
    return f"query ({', '.join(declared)}) {{ {' '.join(asked)} }} {fragments}", variables


def _issues_of(node: Node | None, name: str) -> Node:
    if not node:
        raise Retryable(f"{name} is not visible any more")
    issues: Node = node["issues"]
    return issues


def _repository(node: Mapping[str, Any]) -> Repository:
    changed = [issue["updatedAt"] for issue in node["issues"]["nodes"] if issue]
    return Repository(
        name=node["nameWithOwner"],
        has_issues=bool(node["hasIssuesEnabled"]),
        is_archived=bool(node["isArchived"]),
        newest=changed[0] if changed else None,
        total=node["issues"]["totalCount"],
    )
