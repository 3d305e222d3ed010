"""What ServiceNow's answers mean: rows, or one of its many ways to say that something went wrong."""

import re
from datetime import datetime
from typing import Any

import httpx

from integrations_api.connectors.errors import ConnectorError, PageTooLarge, Refused, Retryable
from integrations_api.connectors.http import Answer, parse_json, status_error
from integrations_api.connectors.text import storable_json

_QUOTA = re.compile(r"transaction cancel+ed|maximum execution time|quota", re.IGNORECASE)
QUERY_ACL_REMEDY = (
    "Give the user a role that passes the query ACLs of the table: 'query_range' for sys_id and sys_updated_on "
    "(compare, sort), 'query_match' for the columns of the filter"
)
_SMALLER = "Try a smaller page_size, or ask the ServiceNow administrator for a longer REST transaction quota"
_ANOTHER_SERVER = (
    "Check that the URL is that of a ServiceNow instance which is not under maintenance, and what a gateway, a proxy "
    "or a sign-in page in between answers"
)


class SignInRefused(Refused):
    """The credentials, or what they may do at all."""


class TableRefused(Refused):
    """Signed in, but the table may not be read so, or does not exist."""


class QueryRefused(Refused):
    """The table may be read, but not asked what a sync must ask."""


def read_result(answer: Answer, *, table: str, now: datetime) -> Any:
    """The `result` of a complete, well-formed answer. Raises `ConnectorError` for everything else."""
    if is_hibernating(answer):
        raise Refused("The instance is hibernating", "Wake it up at developer.servicenow.com, then sync again")
    if answer.status == 200 and (answer.is_html or _is_markup(answer)):
        raise Retryable("The server answered with a web page or XML instead of data", _ANOTHER_SERVER)
    value, message = _content(answer)
    if answer.status != 200:
        raise _failure(answer, message, _mentions_query_acl(value), table=table, now=now)
    if value and isinstance(value, dict) and message is None and "result" not in value:
        raise Retryable("The server answered with something else than a ServiceNow instance does", _ANOTHER_SERVER)
    if message is not None or not isinstance(value, dict) or "result" not in value:
        raise PageTooLarge(f"The answer broke off{_because(message)}", _SMALLER)
    return value["result"]


def rows_of(result: Any) -> list[dict[str, Any]]:
    """The rows of a table's answer; a list with anything else in it is a broken answer."""
    if isinstance(result, list) and all(type(row) is dict for row in result):
        return result
    raise PageTooLarge("The answer broke off", _SMALLER)


def is_hibernating(answer: Answer) -> bool:
    """Whether a sleeping developer instance answered: by its page, or by a redirect to where it can be woken."""
    if 300 <= answer.status < 400:
        try:
            host = httpx.URL(answer.headers.get("location", "")).host
        except httpx.InvalidURL:
            return False
        return host == "developer.servicenow.com"
    return answer.is_html and b"hibernat" in answer.body[:100_000].lower()


def _is_markup(answer: Answer) -> bool:
    return answer.body[:200].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _content(answer: Answer) -> tuple[Any, str | None]:
    """The parsed body, and its error message if it has one (also one that stands after rows)."""
    try:
        value, is_doubtful = parse_json(answer.body)
    except ValueError:
        if answer.status == 200:
            raise PageTooLarge("The answer broke off", _SMALLER) from None
        return None, None
    if is_doubtful:
        value = storable_json(value)
    return value, _error_message(answer, value)


def _error_message(answer: Answer, value: Any) -> str | None:
    if not isinstance(value, dict) or "error" not in value:
        return None
    error = value["error"]
    message = error.get("message") if isinstance(error, dict) else None
    return answer.in_words(message) if isinstance(message, str) else ""


def _mentions_query_acl(value: Any) -> bool:
    text = str(value)
    return "query_range" in text or "query_match" in text


def _because(message: str | None) -> str:
    return f": {message}" if message else ""


def _failure(answer: Answer, message: str | None, is_query_acl: bool, *, table: str, now: datetime) -> ConnectorError:
    if message and _QUOTA.search(message) and answer.status >= 500:
        return PageTooLarge(f"The answer broke off{_because(message)}", _SMALLER)
    general = status_error(answer, now)
    if general is not None:
        return general
    if is_query_acl:
        return QueryRefused(f"The query was refused ({answer.status}){_because(message)}", QUERY_ACL_REMEDY)
    return _refusal(answer.status, message, table)


def _refusal(status: int, message: str | None, table: str) -> Refused:
    because = _because(message)
    if status == 401:
        return SignInRefused(
            f"Sign-in was refused (401){because}",
            "Check the credentials; the user must be active, not locked out, and allowed to use the REST API",
        )
    if status == 403:
        return TableRefused(
            f"Access to the table {table} was refused (403){because}",
            f"Give the user a role that may read {table}, such as {_reading_role(table)}",
        )
    if status == 404:
        return TableRefused(
            f"The table {table} was not found (404){because}",
            "Check URL and table; a table that the user may not see is not found either",
        )
    return TableRefused(f"The request was refused ({status}){because}", "Check filter, table and fields of the config")


def _reading_role(table: str) -> str:
    return "sn_incident_read" if table == "incident" else "one with a read ACL on it"
