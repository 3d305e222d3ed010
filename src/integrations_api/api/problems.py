"""What is wrong with a request, in words that never repeat what was sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from starlette.requests import Request

from integrations_api.errors import FieldProblem

_PLACES = {"body", "query", "path", "header", "cookie"}
_LONGEST_NAME = 200
_BODY_PROBLEM = "integrations_api.body_problem"


class BodyProblem(Struct, frozen=True):
    """Why a body could not be read at all: malformed (422) or in a type nobody asked for (415)."""

    status: int
    message: str
    fields: tuple[FieldProblem, ...] = ()

    @classmethod
    def malformed(cls, message: str) -> "BodyProblem":
        """A 422 about the body as a whole."""
        return cls(status=422, message=f"body: {message}", fields=(FieldProblem("body", message),))


def note_body_problem(request: Request, problem: BodyProblem) -> None:
    """Keeps the problem with the request, until authentication has had its word."""
    request.scope[_BODY_PROBLEM] = problem


def body_problem(request: Request) -> BodyProblem | None:
    """The noted problem of this request's body."""
    found: BodyProblem | None = request.scope.get(_BODY_PROBLEM)
    return found


_WORDS = {
    "missing": "is required",
    "string_type": "must be text",
    "string_sub_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dataclass_type": "must be an object",
    "mapping_type": "must be an object",
    "list_type": "must be a list",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "datetime_type": "must be a time such as 2026-03-01T10:30:00Z",
    "datetime_parsing": "must be a time such as 2026-03-01T10:30:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-03-01T10:30:00Z",
    "timezone_aware": "must be a time with a zone, such as 2026-03-01T10:30:00Z",
    "extra_forbidden": "is not a field of this request",
    "string_pattern_mismatch": "has the wrong form",
    "union_tag_invalid": "names none of the known kinds",
    "union_tag_not_found": "does not say which kind it is",
    "json_invalid": "is not valid JSON",
    "none_required": "must be null",
}
_BOUNDED_WORDS = {
    "greater_than": ("must be greater than {}", "gt"),
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than": ("must be less than {}", "lt"),
    "less_than_equal": ("must be at most {}", "le"),
    "string_too_short": ("must have at least {} character(s)", "min_length"),
    "string_too_long": ("must have at most {} characters", "max_length"),
    "too_short": ("must have at least {} item(s)", "min_length"),
    "too_long": ("must have at most {} items", "max_length"),
    "literal_error": ("must be {}", "expected"),
    "enum": ("must be {}", "expected"),
}


def problems_of(errors: Sequence[Mapping[str, Any]]) -> list[FieldProblem]:
    """Pydantic's error list in our words; Pydantic's own messages are not used, for some quote the input."""
    return [FieldProblem(field=_field(error["loc"]), message=_words(error)) for error in errors]


def _field(location: Sequence[Any]) -> str:
    parts = [str(part) for part in location]
    if len(parts) > 1 and parts[0] in _PLACES:
        parts = parts[1:]
    return _printable(".".join(parts) or "body")[:_LONGEST_NAME]


def _printable(name: str) -> str:
    # A field's name can be the client's own (an unknown key): it must not carry control characters onwards.
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def _words(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    context: Mapping[str, Any] = error.get("ctx") or {}
    if kind in _BOUNDED_WORDS:
        pattern, fact = _BOUNDED_WORDS[kind]
        return pattern.format(context.get(fact, "?"))
    if kind == "value_error":  # Raised by a validator of ours, which knows not to quote the value.
        return str(error["msg"]).removeprefix("Value error, ")
    return _WORDS.get(kind, "is not valid")
