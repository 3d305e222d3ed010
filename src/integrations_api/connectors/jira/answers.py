"""What Jira's answers mean: data, or one of its ways to say that something went wrong."""

from datetime import datetime
from typing import Any

from integrations_api.connectors.errors import ConnectorError, PageTooLarge, RateLimited, Refused, Retryable
from integrations_api.connectors.http import Answer, asked_wait, parse_json, status_error
from integrations_api.connectors.text import storable_json

_FAILED_SIGN_IN = {"AUTHENTICATED_FAILED", "AUTHENTICATION_DENIED"}
_CREDENTIALS = (
    "Check the credentials: on Jira Cloud an API token goes with its owner's e-mail address and expires within a year; "
    "one with scopes (as service accounts have) needs api_url in the config and the scopes read:jira-work and "
    "read:jira-user; on Data Center a personal access token goes without an e-mail address"
)


_NO_BEARER = "connect session auth token"
"""Of such a one Cloud speaks (403) when an API token comes without its owner's e-mail address."""


class SignInRefused(Refused):
    """The credentials, or what they may do at all."""


class AccessRefused(SignInRefused):
    """What was asked for is not for this user (403). So Data Center speaks of an issue that he may not see."""


class QueryRefused(Refused):
    """The query, a page token, or what they name (400)."""


class NotThere(Refused):
    """Nothing there, or nothing that this user may see (404): Cloud does not tell which."""


def read_object(answer: Answer, *, now: datetime) -> dict[str, Any]:
    """The JSON object of a complete, well-formed answer. Raises `ConnectorError` for everything else."""
    value = read_value(answer, now=now)
    if not isinstance(value, dict):
        raise PageTooLarge("The answer broke off", "Try a smaller page_size")
    return value


def read_value(answer: Answer, *, now: datetime) -> Any:
    """The same for any JSON value."""
    _check_sign_in(answer)
    if answer.status == 200 and answer.is_html:
        raise Retryable(
            "The server answered with a web page instead of data",
            "Check that the URL is that of the Jira site, and that no sign-in page stands before it",
        )
    value, is_broken = _content(answer)
    if answer.status != 200:
        raise _failure(answer, _message(answer, value), now)
    if is_broken:
        raise PageTooLarge("The answer broke off", "Try a smaller page_size")
    return value


def issues_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The issues of a search's answer; a list with anything else in it is a broken answer."""
    issues = value.get("issues")
    if isinstance(issues, list) and all(type(issue) is dict and issue.get("id") for issue in issues):
        return issues
    raise PageTooLarge("The answer broke off", "Try a smaller page_size")


def _check_sign_in(answer: Answer) -> None:
    """Credentials that failed may leave somebody anonymous who is answered 200 and sees nothing: a header tells."""
    if "CAPTCHA" in answer.headers.get("x-authentication-denied-reason", "").upper():
        raise SignInRefused(
            "Sign-in was refused: Jira asks for a CAPTCHA after failed sign-ins",
            "Sign in once in a browser as that user, or use a personal access token",
        )
    reasons = answer.headers.get("x-seraph-loginreason", "").upper().replace(" ", "").split(",")
    if _FAILED_SIGN_IN & set(reasons):
        raise SignInRefused(f"Sign-in was refused ({answer.status})", _CREDENTIALS)


def _content(answer: Answer) -> tuple[Any, bool]:
    try:
        value, is_doubtful = parse_json(answer.body)
    except ValueError:
        return None, True
    return (storable_json(value) if is_doubtful else value), False


def _message(answer: Answer, value: Any) -> str:
    """The first of the error messages that a body holds, fit for a sentence."""
    if not isinstance(value, dict):
        return ""
    messages = value.get("errorMessages")
    errors = value.get("errors")
    found: list[Any] = [*messages] if isinstance(messages, list) else []
    found += [*errors.values()] if isinstance(errors, dict) else []
    found += [value.get("message"), value.get("error_description"), value.get("error")]
    return next((answer.in_words(text) for text in found if isinstance(text, str) and text.strip()), "")


def _failure(answer: Answer, message: str, now: datetime) -> ConnectorError:
    because = f": {message}" if message else ""
    if answer.status == 429:
        return _rate_limit(answer, now)
    if answer.status == 500 and "limit exceeded" in message.lower():
        return Refused(
            f"The server pages no further{because}",
            "Too many issues share one minute of creation: raise max_result_window in Jira, or narrow the filter",
        )
    return status_error(answer, now) or _refusal(answer.status, because)


def _rate_limit(answer: Answer, now: datetime) -> RateLimited:
    reason = answer.in_words(answer.headers.get("ratelimit-reason", ""), 60)
    wait = asked_wait(answer, now)  # Data Center says 0 while its bucket holds tokens.
    return RateLimited(f"Rate limit exceeded ({reason})" if reason else "Rate limit exceeded", None, wait)


def _refusal(status: int, because: str) -> Refused:
    match status:
        case 400:
            remedy = "Check filter, projects and fields: what a query names must exist, and the user must see it"
            return QueryRefused(f"The query was refused (400){because}", remedy)
        case 401 | 403 if status == 401 or _NO_BEARER in because.lower():
            return SignInRefused(f"Sign-in was refused ({status}){because}", _CREDENTIALS)
        case 403:
            remedy = "Give the user access to Jira and the permission to browse the projects; check the token's scopes"
            return AccessRefused(f"Access was refused (403){because}", remedy)
        case 404:
            return NotThere(f"Not found (404){because}", "Check the URL of the site, with its context path")
        case _:
            return Refused(f"The request was refused ({status}){because}", "Check the URL and the release of Jira")
