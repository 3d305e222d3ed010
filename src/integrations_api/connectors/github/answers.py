"""What GitHub's answers mean: its two kinds of rate limits, what is gone and what is only hidden, GraphQL's errors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from integrations_api.connectors.errors import ConnectorError, PageTooLarge, RateLimited, Refused, Retryable
from integrations_api.connectors.http import Answer, asked_wait, parse_json, retry_after, status_error
from integrations_api.connectors.text import storable_json

SECONDARY_WAIT = 60.0
"""Seconds to wait at a secondary limit that names no time: at least a minute, then longer each time."""
_LONGEST_SECONDARY = 960.0
_LIMIT = re.compile(r"rate limit|abuse detection", re.IGNORECASE)
"""What tells of a limit where neither a header nor a type does."""
_LIMITED = frozenset({"RATE_LIMIT", "RATE_LIMITED"})
"""The second is documented, the first is what GraphQL sends (octokit/plugin-throttling.js#848)."""
_BROKEN = "The answer broke off"
_TOO_MUCH = frozenset({"RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED"})
"""What GraphQL says of a query that costs more than one may; the same for less of it passes."""
_PASSING = frozenset({"SERVICE_UNAVAILABLE", "INTERNAL", "INTERNAL_ERROR"})
"""Trouble of GraphQL's own, told with a 200."""
_RIGHTS = (
    "Give the token read access to Issues of these repositories (fine-grained: Issues, read-only; classic: repo, or "
    "public_repo for public ones)"
)

_OF_A_POLICY = re.compile(r"organization|forbids", re.IGNORECASE)
"""What an organization's policy refuses it says so: by address, kind of token, its lifetime, or the application."""
_POLICY = "Do as it says, or ask an administrator of the organization to let this token, application or address in"


class SignInRefused(Refused):
    """The token is wrong, expired or revoked."""


class NotVisible(Refused):
    """404: it is not there, or the token may not know of it."""


class NoLongerThere(Refused):
    """410: an issue that was deleted, or a repository whose issues are switched off."""


class Blocked(NoLongerThere):
    """A repository that GitHub has taken down; lists still name it."""


def content_of(answer: Answer) -> Any:
    """The parsed body of a complete answer. Raises `PageTooLarge`, `Retryable`."""
    if answer.is_html:
        raise Retryable("The server answered with a web page instead of data", "Check the URL: is it a GitHub?")
    try:
        value, is_doubtful = parse_json(answer.body)
    except ValueError:
        raise PageTooLarge(_BROKEN, "Try a smaller page_size") from None
    return storable_json(value) if is_doubtful else value


def failure(answer: Answer, *, now: datetime, strikes: int, what: str) -> ConnectorError | None:
    """The error that a status is; None for 200. `strikes` counts the refusals by secondary limits before this one."""
    status = answer.status
    if status in {403, 429} and (limited := rate_limited(answer, now=now, strikes=strikes)):
        return limited
    if status >= 500:
        return _server_error(answer, now)
    because = _because(answer)
    match status:
        case 401:
            return SignInRefused(
                f"Sign-in was refused (401){because}",
                "Enter a token that is neither expired nor revoked, or connect again",
            )
        case 403:
            return _blocked(answer, because, what) or _forbidden(answer, because)
        case 404:
            return NotVisible(
                f"{what} was not found (404)",
                "Check the name, and that the token may read it: what it may not see is not found either",
            )
        case 410 | 451:
            return NoLongerThere(f"{what} is gone ({status}){because}", "Take it out of the config")
    return status_error(answer, now) or (
        None if status == 200 else Refused(f"The request was refused ({status}){because}", "Check the config")
    )


def rate_limited(answer: Answer, *, now: datetime, strikes: int) -> RateLimited | None:
    """The limit that a 403 or 429 tells of, with the wait it asks for; None where it is about rights.

    Every answer carries x-ratelimit-reset, up to an hour away: it counts only once nothing remains. A secondary limit
    asks by retry-after, or leaves it at "a minute or more" (docs.github.com, best practices).
    """
    if limited := _announced(answer, now):
        return limited
    if answer.status == 429 or _LIMIT.search(answer.body[:2000].decode("utf-8", "replace")):
        return _secondary(strikes)
    return None


def _announced(answer: Answer, now: datetime) -> RateLimited | None:
    if "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0":
        return RateLimited("Rate limit exceeded", None, asked_wait(answer, now))
    return None


def _secondary(strikes: int) -> RateLimited:
    wait = min(_LONGEST_SECONDARY, SECONDARY_WAIT * 2.0**strikes)
    return RateLimited("Secondary rate limit exceeded", None, wait)


def _server_error(answer: Answer, now: datetime) -> Retryable:
    wait = retry_after(answer, now)
    if answer.status in {502, 504}:
        # What a query that took more than ten seconds is answered with.
        return PageTooLarge(f"The server answered with an error ({answer.status})", "Try a smaller page_size", wait)
    return Retryable(f"The server answered with an error ({answer.status})", None, wait)


def _blocked(answer: Answer, because: str, what: str) -> Blocked | None:
    block = _said(answer).get("block")
    return Blocked(f"{what} is blocked (403){because}", "Take it out of the config") if block else None


def _forbidden(answer: Answer, because: str) -> Refused:
    if "required" in answer.headers.get("x-github-sso", ""):
        return _single_sign_on()
    return Refused(f"Access was refused (403){because}", _remedy_of(because))


def _remedy_of(words: str) -> str:
    return _POLICY if _OF_A_POLICY.search(words) else _RIGHTS


def _single_sign_on() -> Refused:
    return Refused(
        "The organization asks for single sign-on (403)",
        "Authorize the token for the organization: GitHub, Settings, Developer settings, the token, Configure SSO; "
        "where an app signs in, sign in to the organization in the browser and connect again",
    )


def _because(answer: Answer) -> str:
    message = _said(answer).get("message")
    return f": {answer.in_words(message)}" if isinstance(message, str) else ""


def _said(answer: Answer) -> Mapping[str, Any]:
    """The object that a refusal is; an empty one for anything else."""
    try:
        value, _ = parse_json(answer.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def well_formed() -> Iterator[None]:
    """While an answer of GraphQL is taken apart: one of another shape than was asked for is trouble that may pass."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError):
        raise Retryable("The answer has another shape than was asked for", "Check the URL: is it a GitHub?") from None


def graph_failure(
    value: Any, answer: Answer, *, now: datetime, strikes: int
) -> tuple[set[tuple[Any, ...]], ConnectorError | None]:
    """What a GraphQL answer of status 200 says beside its data: paths that were not found, and the failure if there is
    another one. `strikes` as for `failure`."""
    missing: set[tuple[Any, ...]] = set()
    for error in _errors_in(value):
        kind = error.get("type") if isinstance(error, Mapping) else None
        path = error.get("path") if isinstance(error, Mapping) else None
        if kind == "NOT_FOUND" and isinstance(path, list):
            missing.add(tuple(path))
        else:
            return missing, _graph_error(kind, error, answer, now=now, strikes=strikes)
    return missing, None


def _errors_in(value: Any) -> list[Any]:
    if not isinstance(value, Mapping):
        return []
    errors = value.get("errors")
    # A limit may answer as it does by REST: a message alone.
    return errors if isinstance(errors, list) else [value] if "message" in value else []


def _asks_for_single_sign_on(error: Any) -> bool:
    extensions = error.get("extensions") if isinstance(error, Mapping) else None
    return isinstance(extensions, Mapping) and extensions.get("saml_failure") is True


def _graph_error(kind: Any, error: Any, answer: Answer, *, now: datetime, strikes: int) -> ConnectorError:
    text = error.get("message") if isinstance(error, Mapping) else None
    message = answer.in_words(text) if isinstance(text, str) else "no reason given"
    if kind in _LIMITED or (kind is None and _LIMIT.search(message)):
        return _announced(answer, now) or _secondary(strikes)
    if _asks_for_single_sign_on(error):
        return _single_sign_on()
    if kind in {"FORBIDDEN", "INSUFFICIENT_SCOPES"}:
        return Refused(f"Access was refused: {message}", _remedy_of(message))
    if kind is None or kind in _TOO_MUCH:
        return PageTooLarge(f"The query was not carried through: {message}", "Try a smaller page_size")
    if kind in _PASSING:
        return Retryable(f"The query was not carried through: {message}")
    return Refused(f"The query was refused: {message}", "Check the config, and that this GitHub is up to date")
