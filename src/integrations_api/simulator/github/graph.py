"""The GraphQL API: repositories, owners, issues, comments, as much of the schema as issues need."""

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from integrations_api.simulator.common.messages import Answer

from .instance import GitHubInstance
from .language import Document, QueryError, Selection, read_query, valued
from .messages import Call
from .model import Comment, Issue, Repository, Token
from .rest import owned
from .shapes import BOT, written

Resolver = Callable[[Any, Mapping[str, Any]], Any]
_MOST = 100


class NotFound(Exception):
    """A field answers null, with an error of type NOT_FOUND."""


class Forbidden(Exception):
    """A field answers null, with an error of type FORBIDDEN."""


class GraphApi:
    """Answers POST /graphql for a known token."""

    def __init__(self, instance: GitHubInstance) -> None:
        self.instance = instance

    def answer(self, call: Call) -> Answer:
        """Errors come with status 200, as GraphQL has it."""
        try:
            asked = orjson.loads(call.body)
            document = read_query(asked["query"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return Answer.json({"message": "Problems parsing JSON"}, 400)
        except QueryError as error:
            return Answer.json({"errors": [{"type": "PARSE_ERROR", "message": str(error)}]})
        assert call.token is not None
        run = _Run(self.instance, call.token, document, asked.get("variables") or {})
        try:
            data = run.selected(_QUERY, None, document.fields, [])
        except QueryError as error:
            return Answer.json({"errors": [{"type": "undefinedField", "message": str(error)}]})
        call.rows = run.rows
        return Answer.json({"data": data, **({"errors": run.errors} if run.errors else {})})


class _Run:
    """One query being answered."""

    def __init__(
        self, instance: GitHubInstance, token: Token, document: Document, variables: Mapping[str, Any]
    ) -> None:
        self.instance = instance
        self.token = token
        self.document = document
        self.variables = variables
        self.errors: list[dict[str, Any]] = []
        self.rows = 0

    def selected(self, kind: "_Kind", held: Any, fields: Sequence[Selection], path: list[Any]) -> dict[str, Any]:
        """The asked fields of one object. Raises QueryError for a field that there is not."""
        found: dict[str, Any] = {}
        for one in fields:
            if one.spread:
                found |= self.selected(kind, held, self.document.fragments[one.spread].fields, path)
            elif one.on:
                found |= self.selected(kind, held, one.fields, path) if one.on == kind.name else {}
            elif one.name == "__typename":
                found[one.alias] = kind.name
            else:
                found[one.alias] = self.field(kind, held, one, [*path, one.alias])
        return found

    def field(self, kind: "_Kind", held: Any, one: Selection, path: list[Any]) -> Any:
        known = kind.fields.get(one.name)
        if known is None:
            raise QueryError(f"Field '{one.name}' doesn't exist on type '{kind.name}'")
        arguments = {name: valued(value, self.variables) for name, value in one.arguments.items()}
        try:
            value = known(self, held, arguments)
        except (NotFound, Forbidden) as error:
            self.fail(error, path)
            return None
        return self.shaped(value, one.fields, path)

    def fail(self, error: Exception, path: list[Any]) -> None:
        kind = "NOT_FOUND" if isinstance(error, NotFound) else "FORBIDDEN"
        self.errors.append({"type": kind, "path": path, "message": str(error)})

    def shaped(self, value: Any, fields: Sequence[Selection], path: list[Any]) -> Any:
        if isinstance(value, list):
            return [self.shaped(one, fields, [*path, position]) for position, one in enumerate(value)]
        if isinstance(value, NotFound):
            self.fail(value, path)
            return None
        if isinstance(value, tuple):
            kind, held = value
            self.rows += 1
            return self.selected(kind, held, fields, path)
        return value


class _Kind:
    """A type of the schema: its name, and how each field is found: (run, object, arguments) → value.

    An object among the values is a pair of its type and itself.
    """

    def __init__(self, name: str, **fields: Callable[[_Run, Any, Mapping[str, Any]], Any]) -> None:
        self.name = name
        self.fields = fields


def _page(run: _Run, kind: _Kind, held: Sequence[Any], arguments: Mapping[str, Any]) -> tuple[_Kind, Any]:
    first = arguments.get("first")
    if not isinstance(first, int) or not 1 <= first <= _MOST:
        raise QueryError("You must provide a `first` value between 1 and 100 to properly paginate a connection")
    after = arguments.get("after")
    start = int(base64.b64decode(after).decode()) if after else 0
    return _CONNECTION, (kind, held, start, min(len(held), start + first))


def _repository(run: _Run, _: Any, arguments: Mapping[str, Any]) -> tuple[_Kind, Repository]:
    name = f"{arguments['owner']}/{arguments['name']}"
    held = run.instance.repositories.get(run.instance.by_name.get(name.casefold(), 0))
    if held is None or not run.instance.may_read(run.token, held):
        raise NotFound(f"Could not resolve to a Repository with the name '{name}'.")
    return _REPOSITORY, held


def _owner(run: _Run, _: Any, arguments: Mapping[str, Any]) -> tuple[_Kind, str] | None:
    login = str(arguments["login"])
    known = {one.owner.casefold() for one in run.instance.repositories.values()}
    return (_OWNER, login) if login.casefold() in known else None


def _nodes(run: _Run, _: Any, arguments: Mapping[str, Any]) -> list[Any]:
    wanted = {str(one): None for one in arguments["ids"]}
    known = {issue.node_id: issue for issue in run.instance.by_id.values() if issue.node_id in wanted}
    return [_node(run, known.get(str(one)), one) for one in arguments["ids"]]


def _node(run: _Run, issue: Issue | None, asked: str) -> Any:
    if issue is None or not run.instance.may_read(run.token, run.instance.repositories[issue.repository_id]):
        return NotFound(f"Could not resolve to a node with the global id of '{asked}'")
    return _ISSUE, issue


def _issues(run: _Run, held: Repository, arguments: Mapping[str, Any]) -> tuple[_Kind, Any]:
    if held.is_private and not run.token.reads_issues:
        raise Forbidden("Resource not accessible by personal access token")
    since = (arguments.get("filterBy") or {}).get("since")
    bound = int(datetime.fromisoformat(since).timestamp()) if since else 0
    found = [one for one in held.issues.values() if not one.is_pull and one.updated >= bound]
    order = arguments.get("orderBy") or {"field": "CREATED_AT", "direction": "ASC"}
    by_update = order["field"] == "UPDATED_AT"
    found.sort(
        key=lambda one: (one.updated if by_update else one.created, one.id), reverse=order["direction"] == "DESC"
    )
    return _page(run, _ISSUE, found, arguments)


def _author(run: _Run, held: Comment | Issue, _: Mapping[str, Any]) -> tuple[_Kind, str] | None:
    if held.author.endswith(BOT):  # As one, it is not called by REST's name for it.
        return _BOT, held.author.removesuffix(BOT)
    return (_ACTOR, held.author) if held.author else None


def _page_info(run: _Run, page: Any, _: Mapping[str, Any]) -> tuple[_Kind, Any]:
    return _PAGE_INFO, page


_ACTOR = _Kind("User", login=lambda run, login, _: login)
_BOT = _Kind("Bot", login=lambda run, login, _: login)
_PAGE_INFO = _Kind(
    "PageInfo",
    hasNextPage=lambda run, page, _: page[3] < len(page[1]),
    endCursor=lambda run, page, _: base64.b64encode(str(page[3]).encode()).decode(),
)
_CONNECTION = _Kind(
    "Connection",
    totalCount=lambda run, page, _: len(page[1]),
    nodes=lambda run, page, _: [(page[0], one) for one in page[1][page[2] : page[3]]],
    pageInfo=_page_info,
)
_COMMENT = _Kind(
    "IssueComment",
    id=lambda run, one, _: f"IC_{one.id}",
    databaseId=lambda run, one, _: one.id,
    body=lambda run, one, _: one.body,
    author=_author,
    createdAt=lambda run, one, _: written(one.created),
    updatedAt=lambda run, one, _: written(one.updated),
)
_ISSUE = _Kind(
    "Issue",
    id=lambda run, one, _: one.node_id,
    databaseId=lambda run, one, _: one.id,
    number=lambda run, one, _: one.number,
    title=lambda run, one, _: one.title,
    author=_author,
    createdAt=lambda run, one, _: written(one.created),
    updatedAt=lambda run, one, _: written(one.updated),
    comments=lambda run, one, arguments: _page(run, _COMMENT, one.comments, arguments),
)
_REPOSITORY = _Kind(
    "Repository",
    databaseId=lambda run, one, _: one.id,
    nameWithOwner=lambda run, one, _: one.full_name,
    hasIssuesEnabled=lambda run, one, _: one.has_issues,
    isArchived=lambda run, one, _: one.is_archived,
    issues=_issues,
)
_OWNER = _Kind(
    "Organization",
    login=lambda run, login, _: login,
    repositories=lambda run, login, arguments: _page(
        run, _REPOSITORY, owned(run.instance, run.token, login), arguments
    ),
)
_QUERY = _Kind(
    "Query",
    viewer=lambda run, _, __: (_ACTOR, run.token.login),
    repository=_repository,
    repositoryOwner=_owner,
    nodes=_nodes,
    node=lambda run, _, arguments: _nodes(run, _, {"ids": [arguments["id"]]})[0],
)
