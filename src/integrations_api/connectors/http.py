"""One request to a source, and what its failures mean: httpx's errors and HTTP's statuses become connector errors.

What only one product does (its error bodies, its hibernation page) is told by that product's connector.
"""

import base64
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from integrations_api.connectors.errors import (
    ConnectorError,
    PageTooLarge,
    RateLimited,
    Refused,
    Retryable,
    Unreachable,
)
from integrations_api.connectors.records import JsonObject, Slot
from integrations_api.connectors.text import storable
from integrations_api.egress.guard import EgressRefused
from integrations_api.egress.proxy import ProxyFailed
from integrations_api.egress.transport import ResponseTooLarge

_CREDENTIAL_HEADERS = ("authorization", "x-sn-apikey")
_SHORTEST_SECRET = 4
_LONGEST_READ = 100_000
"""Characters of a text that is to be one line: those of a whole answer, read one by one, took half a minute and
gigabytes of memory."""
_COUNT = re.compile(r"[0-9]{1,15}")
_SMALL_BODY = 3_000_000
_MOST_CONTAINERS = 1_000_000
_MOST_VALUES = 4_000_000
"""Objects and lists, and commas, of a larger body. A page of 10,000 wide rows has 700,000 and two million. 200 MB of
nothing but brackets, which a source compresses to a thousandth, took minutes and six gigabytes to read."""
_CHECK_URL = "Check the URL, and that this service may reach it over the network"
_REDIRECTED = (
    "If the source has moved there, enter that URL; if it is a sign-in or maintenance page, have requests with these "
    "credentials let past it, or sync again later"
)
_TLS_REMEDY = "Name the certificate authority in EGRESS_CA_FILE, or give the source a certificate for its host name"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: httpx.Headers
    body: bytes
    sent: Sequence[str] = field(default=(), repr=False)
    """The credentials that went with the request."""

    @property
    def date(self) -> datetime | None:
        """The source's clock, by its Date header."""
        return http_date(self.headers.get("date", ""))

    @property
    def is_html(self) -> bool:
        """Whether a page for people came instead of data."""
        kind = self.headers.get("content-type", "").lower()
        return "html" in kind or self.body[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))

    def in_words(self, text: str, limit: int = 200) -> str:
        """Some of its words made fit for a message; a source that repeats what it was sent does not repeat secrets."""
        for secret in self.sent:
            for spelt in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}:
                text = text.replace(spelt, "********")
        return one_line(storable(text), limit)


async def exchange(
    client: httpx.AsyncClient,
    path: str,
    params: Mapping[str, str],
    *,
    slot: Slot,
    auth: httpx.Auth | None = None,
    headers: Mapping[str, str] | None = None,
    body: JsonObject | None = None,
) -> Answer:
    """One GET, or a POST of `body` as JSON, without retries. Raises `ConnectorError`; any status is an answer."""
    async with slot():
        try:
            method = "GET" if body is None else "POST"
            request = client.build_request(method, path, params=params, headers=headers, json=body)
            response = await client.send(request, stream=True, auth=auth or httpx.USE_CLIENT_DEFAULT)
        except (httpx.HTTPError, httpx.InvalidURL, EgressRefused, UnicodeError) as error:
            raise translated(error) from error
        try:
            # Not `aread`: the response would keep it, and lives in a cycle with its stream until the collector comes.
            received = b"".join([part async for part in response.aiter_bytes()])
            return Answer(response.status_code, response.headers, received, credentials_in(response.request))
        except (httpx.HTTPError, EgressRefused) as error:
            raise broken_off(error) from error
        finally:
            await response.aclose()


def credentials_in(request: httpx.Request) -> list[str]:
    """What a request proves itself by: whole headers, and the parts that they are made of."""
    found = [request.headers[name] for name in _CREDENTIAL_HEADERS if name in request.headers]
    for header in list(found):
        scheme, _, value = header.partition(" ")
        found.append(value)
        if scheme.lower() == "basic":
            with suppress(ValueError):
                found.append(base64.b64decode(value).decode().partition(":")[2])
    # Of what is shorter, more would be told by where the mask stands than by the words.
    return [text for text in found if len(text) >= _SHORTEST_SECRET]


def translated(error: Exception) -> ConnectorError:
    """What a failure before the answer's first byte means. Never shows the error's own text: it may hold a URL."""
    match error:
        case EgressRefused():
            return Refused(
                error.message, "Correct the URL, or have the operator allow the host in EGRESS_ALLOWED_HOSTS"
            )
        case ProxyFailed():
            kind = Unreachable if error.may_pass else Refused
            return kind(error.message, error.remedy)
        case httpx.ConnectTimeout():
            return Unreachable("Connection timeout", _CHECK_URL)
        case httpx.ConnectError():
            return _no_connection(error)
        case httpx.PoolTimeout():
            return Retryable("Too many requests at once")
        case httpx.TimeoutException():
            return PageTooLarge("The answer took too long", "Try a smaller page_size, or fewer columns")
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            return Retryable("The connection was closed without an answer")
        case httpx.DecodingError():
            return broken_off(error)
        case _:
            return Refused("The request cannot be sent", "Check the URL and the credentials for unusual characters")


def broken_off(error: Exception) -> ConnectorError:
    """What a failure in the middle of an answer means: most often that the page was too much for the source."""
    match error:
        case EgressRefused():
            return translated(error)
        case ResponseTooLarge():
            return PageTooLarge("The answer is larger than EGRESS_MAX_RESPONSE_BYTES", "Try a smaller page_size")
        case httpx.TimeoutException():
            return PageTooLarge("The answer took too long", "Try a smaller page_size, or fewer columns")
        case _:
            return PageTooLarge("The answer broke off in the middle")


def _no_connection(error: httpx.ConnectError) -> ConnectorError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Refused("The TLS certificate is not trusted", _TLS_REMEDY)
        if isinstance(cause, ssl.SSLError):
            return Unreachable("No secure connection could be made", _CHECK_URL)
        if isinstance(cause, socket.gaierror):
            if cause.errno == socket.EAI_NONAME:
                return Refused("The host name is not known", "Check the URL for a typing error")
            return Unreachable("The host name could not be looked up", _CHECK_URL)
        if isinstance(cause, ConnectionRefusedError):
            return Unreachable("Connection refused", _CHECK_URL)
    return Unreachable("Connection failed", _CHECK_URL)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it; a group (several addresses tried) gives its members."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions:
                yield from _causes(member)
        error = error.__cause__ or error.__context__


def http_date(text: str) -> datetime | None:
    """Reads an HTTP date; None where it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def asked_wait(answer: Answer, now: datetime) -> float | None:
    """How many seconds a refusal for a limit asks to wait: Retry-After, else X-RateLimit-Reset (epoch or ISO).

    Dates are measured against the source's own clock where it tells it, for the two may differ.
    """
    wait = retry_after(answer, now)
    if wait is not None:
        return wait
    reset = answer.headers.get("x-ratelimit-reset", "").strip()
    source_now = answer.date or now
    if re.fullmatch(r"\d{1,11}", reset):
        return max(0.0, int(reset) - source_now.timestamp())
    if moment := _iso_moment(reset):
        return max(0.0, (moment - source_now).total_seconds())
    return None


def retry_after(answer: Answer, now: datetime) -> float | None:
    """Seconds of Retry-After (a number or a date): all that counts where no limit was reached.

    X-RateLimit-Reset may stand in any answer, up to an hour away, and says nothing about one that failed.
    """
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    if moment := http_date(text):
        return max(0.0, (moment - (answer.date or now)).total_seconds())
    return None


def _iso_moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def status_error(answer: Answer, now: datetime) -> ConnectorError | None:
    """What a status means wherever it comes from; None for 200 and for what only the product can explain (4xx)."""
    status = answer.status
    if status == 429:
        return RateLimited("Rate limit exceeded", None, asked_wait(answer, now))
    if status >= 500:
        return Retryable(f"The server answered with an error ({status})", None, retry_after(answer, now))
    if status == 408:
        return Retryable("The server gave up on the request (408)")
    if status == 413:
        return PageTooLarge("The server found the answer or request too large (413)")
    if status == 202:
        return Retryable("The request was queued and dropped (202)")
    if 300 <= status < 400:
        return Refused(f"The server redirects to {_redirect_target(answer)}", _REDIRECTED)
    if 200 < status < 300 or status < 200:
        return Retryable(f"The server answered with an unexpected status ({status})")
    return None


def _redirect_target(answer: Answer) -> str:
    """The host alone: the rest of such an address may hold what is secret."""
    try:
        host = httpx.URL(answer.headers.get("location", "")).host
    except httpx.InvalidURL:
        return "another address"
    return answer.in_words(host, 100) if host else "another of its pages"


def parse_json(body: bytes) -> tuple[Any, bool]:
    """The value, and whether its texts may hold what PostgreSQL cannot store (NUL, unpaired surrogates).

    orjson reads nearly all; what it refuses (unpaired surrogates, raw control characters) goes to the standard
    library. NaN and Infinity are no JSON. Raises ValueError, and `PageTooLarge` for more values than fit into memory.
    """
    if len(body) > _SMALL_BODY:
        _refuse_too_many_values(body)
    try:
        return orjson.loads(body), b"\\u0000" in body
    except orjson.JSONDecodeError:
        pass
    try:
        text = body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False, parse_int=_whole, parse_constant=_no_constant), True
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_too_many_values(body: bytes) -> None:
    """Counted before they are made, those in texts too: who writes so many into his texts gets smaller pages."""
    if body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS or body.count(b",") > _MOST_VALUES:
        raise PageTooLarge("The answer holds more values than are read at once", "Try a smaller page_size")


def _whole(text: str) -> int | float:
    """As orjson reads it, and writes it: what 64 bits do not hold is a float."""
    number = int(text)
    return number if -(2**63) <= number < 2**64 else float(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def one_line(text: str, limit: int = 200) -> str:
    """A remote text made fit for a message: printable, on one line, cut. Of a very long one the beginning is read."""
    printable = "".join(char if char.isprintable() else " " for char in text[:_LONGEST_READ])
    words = " ".join(printable.split())
    return words if len(words) <= limit else f"{words[: limit - 3]}..."


def count_in(text: str) -> int | None:
    """How many a source says, in a header say; None for no number, or one that nothing has and nothing could store."""
    return int(text) if _COUNT.fullmatch(text) else None
