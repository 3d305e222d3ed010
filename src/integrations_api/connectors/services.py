"""What is known of the services before anything is opened: names, ways of signing in, what their configs must hold."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct, field
from pydantic import BaseModel, ValidationError

from integrations_api.connectors.oauth import AccessTokens, OAuthServer
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, JsonObject
from integrations_api.connectors.retry import Time
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import FieldProblem, InvalidInput


class UnsupportedService(InvalidInput):
    """The service, or this way of signing in to it, cannot be synced by this release."""


class MissingConfiguration(InvalidInput):
    """The stored config lacks what the service needs; the message names all of the required keys."""


class AuthType(Struct, frozen=True):
    """One way of signing in: the model its config is validated by."""

    name: str
    model: type[BaseModel]
    by_grant: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Keys that a config must have besides, by what its key `grant` says."""

    @property
    def required_keys(self) -> tuple[str, ...]:
        """Keys that a config must have, in the order they are told."""
        return tuple(name for name, about in self.model.model_fields.items() if about.is_required())

    def required_for(self, config: JsonObject) -> tuple[str, ...]:
        """The same for one config, with those that its grant needs."""
        return (*self.required_keys, *self.by_grant.get(str(config.get("grant")), ()))

    @property
    def secret_keys(self) -> frozenset[str]:
        """Keys whose values never leave."""
        properties = self.schema["properties"]
        return frozenset(name for name, schema in properties.items() if schema.get("writeOnly"))

    @property
    def schema(self) -> dict[str, Any]:
        """The config's JSON Schema; secrets are writeOnly, and `allOf` says what a grant requires besides."""
        schema = self.model.model_json_schema()
        del schema["title"]  # The name of a Python class, which a form would have for its headline.
        for about in schema["properties"].values():
            if _is_write_only(about):  # A form looks at the key itself, not at each of the types it may have.
                about["writeOnly"] = True
        if self.by_grant:
            schema["allOf"] = [_requirement(grant, keys) for grant, keys in self.by_grant.items()]
        return schema


def _requirement(grant: str, keys: Sequence[str]) -> dict[str, Any]:
    chosen = {"properties": {"grant": {"const": grant}}, "required": ["grant"]}
    return {"if": chosen, "then": {"required": list(keys)}}


def _is_write_only(schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("writeOnly")) or any(_is_write_only(part) for part in schema.get("anyOf", ()))


class ServiceDescription(ABC):
    """One known service. Subclasses say how its sources are told apart and how it is opened."""

    def __init__(self, *, name: str, noun: str, auth_types: Sequence[AuthType], mapping_version: int = 1) -> None:
        self.name = name
        self.noun = noun
        self.mapping_version = mapping_version
        self.auth_types = {auth_type.name: auth_type for auth_type in auth_types}

    @cached_property
    def secret_keys(self) -> frozenset[str]:
        """Keys whose values never leave, whatever the way of signing in."""
        return frozenset(key for auth_type in self.auth_types.values() for key in auth_type.secret_keys)

    def required_keys(self, auth_type: str, config: JsonObject) -> tuple[str, ...]:
        """Keys that a config must have to sign in this way, with its grant; those of the first way for an unknown."""
        known = self.auth_types.get(auth_type) or next(iter(self.auth_types.values()))
        return known.required_for(config)

    def missing_message(self, auth_type: str, config: JsonObject) -> str:
        """The contract's sentence for an incomplete config."""
        return f"Missing {self.name} configuration ({', '.join(self.required_keys(auth_type, config))})"

    def validate(self, auth_type: str, config: JsonObject) -> list[FieldProblem]:
        """Every problem of a config, by dotted path (`config.url`, or `auth_type`); never with a value."""
        known = self.auth_types.get(auth_type)
        if known is None:
            return [FieldProblem("auth_type", self._wrong_auth_type())]
        problems = []
        try:
            known.model.model_validate(dict(config))
        except ValidationError as error:
            problems = [_problem(part) for part in error.errors(include_input=False, include_url=False)]
        named = {problem.field for problem in problems}
        lacking = [key for key in known.required_for(config) if config.get(key) in (None, "")]
        grant = f"is required with the grant {config.get('grant')}"
        return problems + [FieldProblem(f"config.{key}", grant) for key in lacking if f"config.{key}" not in named]

    def _wrong_auth_type(self) -> str:
        names = list(self.auth_types)
        return f"{self.name} signs in by {' or '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)}"

    def fingerprint(self, config: JsonObject) -> str:
        """Names the source that a watermark belongs to: service, origin, table, filter, fields. A hex digest."""
        facts = "\n".join([self.name, origin(self.address(config)), *self.source_facts(config)])
        return hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()

    def address(self, config: JsonObject) -> str:
        """The URL that is talked to, as far as the config says it; also of a config that is not valid."""
        return str(config.get("url") or "")

    def reached_at(self, auth_type: str, config: JsonObject) -> str:
        """The URL that requests go to: the address, unless a gateway stands before it."""
        return self.address(config)

    def source_facts(self, config: JsonObject) -> list[str]:
        """What else than the origin makes it another source."""
        return []

    def oauth(self, config: JsonObject) -> OAuthServer | None:
        """The authorization server of a valid oauth2 config; None where the service has none. No request is made."""
        return None

    def open(
        self,
        auth_type: str,
        config: JsonObject,
        context: ConnectorContext,
        policy: EgressPolicy,
        time: Time | None = None,
    ) -> Connector:
        """A connector, to be used as an async context manager.

        Raises `MissingConfiguration`, `UnsupportedService`, `InvalidInput` for a malformed config, and
        `EgressRefused` for a URL that may not be reached. `time` is for tests.
        """
        if any(not config.get(key) for key in self.required_keys(auth_type, config)):
            raise MissingConfiguration(self.missing_message(auth_type, config))
        if problems := self.validate(auth_type, config):
            raise InvalidInput.of(problems)
        return self.connector(self.auth_types[auth_type].model.model_validate(dict(config)), context, policy, time)

    @abstractmethod
    def connector(self, config: Any, context: ConnectorContext, policy: EgressPolicy, time: Time | None) -> Connector:
        """The connector for a valid config, an object of the model of its way of signing in."""


def signed_in(context: ConnectorContext) -> AccessTokens:
    """The tokens to sign in with. Raises `UnsupportedService` where nobody hands any out."""
    if context.tokens is None:
        raise UnsupportedService("Signing in by oauth2 is not supported here")
    return context.tokens


def _problem(error: Mapping[str, Any]) -> FieldProblem:
    path = ".".join(["config", *(str(part) for part in error["loc"])])
    return FieldProblem(path, _in_words(str(error["type"]), str(error["msg"]), error.get("ctx") or {}))


_WORDS = {
    "missing": "is required",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "tuple_type": "must be a list",
}


def _in_words(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']}"
    if kind in {"string_too_long", "too_long"}:
        return f"must not be longer than {context['max_length']}"
    return _WORDS.get(kind) or message.removeprefix("Value error, ")


def origin(url: str) -> str:
    """Scheme, host and port of a URL in one spelling; the text itself where it is no URL."""
    import httpx

    try:
        parsed = httpx.URL(url.strip())
        port = parsed.port or {"http": 80, "https": 443}.get(parsed.scheme, 0)
        return f"{parsed.scheme}://{parsed.raw_host.decode('ascii').removesuffix('.')}:{port}"
    except (httpx.InvalidURL, ValueError):
        return url
