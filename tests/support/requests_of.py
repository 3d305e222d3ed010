"""A request for each operation of the OpenAPI, made from its own examples."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

METHODS = ("get", "put", "post", "delete")


@dataclass(frozen=True)
class Request:
    """What is sent, in parts that can be replaced one by one; `places` names all that take text."""

    method: str
    template: str
    permission: str | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    media_type: str | None
    optional: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def url(self) -> str:
        url = self.template
        for name, value in self.path.items():
            url = url.replace(f"{{{name}}}", quote(value, safe=""))
        return f"{url}?{urlencode(self.query)}" if self.query else url

    @property
    def content(self) -> bytes:
        if self.media_type is None:
            return b""
        return (urlencode(self.body) if "form" in self.media_type else json.dumps(self.body)).encode()

    @property
    def sent_headers(self) -> list[tuple[str, str]]:
        typed = [("Content-Type", self.media_type)] if self.media_type else []
        return [*self.headers.items(), *typed]

    def places(self) -> Iterator[tuple[str, Any]]:
        """Where text can be put: a kind of place, and which."""
        yield from (("path", name) for name in self.path)
        yield from self.optional
        yield from (("body", way) for way in _ways(self.body))

    def with_text(self, kind: str, which: Any, text: str) -> "Request":
        """The same with this text in one place."""
        if kind == "body":
            body = deepcopy(self.body)
            *outer, last = which
            node = body
            for step in outer:
                node = node[step]
            node[last] = text
            return replace(self, body=body)
        changed: dict[str, Any] = {kind: {**getattr(self, {"header": "headers"}.get(kind, kind)), which: text}}
        return replace(self, **{{"header": "headers"}.get(kind, kind): changed[kind]})


def _ways(node: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every text in a JSON value, from the outside in."""
    if isinstance(node, str):
        yield way
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in members:
        yield from _ways(value, (*way, key))


def requests_of(description: Mapping[str, Any], known: Mapping[str, str]) -> list[Request]:
    """One for each operation; `known` are the parameters of paths."""
    found = [
        _request(description, template, method, operations[method], known)
        for template, operations in description["paths"].items()
        for method in METHODS
        if method in operations
    ]
    return sorted(found, key=lambda one: one.method == "DELETE")


def _request(
    description: Mapping[str, Any], template: str, method: str, operation: Mapping[str, Any], known: Mapping[str, str]
) -> Request:
    parameters = operation.get("parameters", [])
    required = {p["name"]: "text" for p in parameters if p["in"] == "query" and p.get("required")}
    media_type, body = _body(description, operation)
    return Request(
        method=method.upper(),
        template=template,
        permission=operation["x-permission"],
        path={p["name"]: known[p["name"]] for p in parameters if p["in"] == "path"},
        query=required,
        headers={},
        body=body,
        media_type=media_type,
        optional=tuple((p["in"], p["name"]) for p in parameters if p["in"] in {"query", "header"}),
    )


def _body(description: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[str | None, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, media in content.items():
        schema = media["schema"]
        if "$ref" in schema:
            schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        examples = [one["value"] for one in media.get("examples", {}).values() if "value" in one] + schema.get(
            "examples", []
        )
        if "form" in media_type:
            return media_type, dict.fromkeys(schema["properties"], "text")
        return media_type, next(iter([*examples, schema.get("example")]))
    return None, None
