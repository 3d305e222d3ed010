"""What failures mean, as tables; and how they are borne, with clocks and dice of our own."""

import base64
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest

from integrations_api.connectors.errors import (
    ConnectorError,
    PageTooLarge,
    RateLimited,
    Refused,
    Retryable,
    Unreachable,
)
from integrations_api.connectors.http import Answer, asked_wait, exchange, one_line, parse_json, status_error
from integrations_api.connectors.records import Wait
from integrations_api.connectors.retry import FIRST_CONTACT, Patience, Time, backoff
from integrations_api.connectors.text import storable, storable_json
from integrations_api.egress.guard import EgressRefused

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
DATE = "Sun, 01 Mar 2026 10:45:00 GMT"  # the source's clock is 15 minutes ahead


def answered(status: int, **headers: str) -> Answer:
    return Answer(status, httpx.Headers({key.replace("_", "-"): value for key, value in headers.items()}), b"{}")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "30"}, 30.0),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "Sun, 01 Mar 2026 10:31:00 GMT"}, 60.0),
        ({"retry_after": "Sun, 01 Mar 2026 10:46:00 GMT", "date": DATE}, 60.0),
        ({"retry_after": "Sun, 01 Mar 2026 10:00:00 GMT"}, 0.0),
        ({"x_ratelimit_reset": str(int(NOW.timestamp()) + 40)}, 40.0),
        ({"x_ratelimit_reset": str(int(NOW.timestamp()) + 960), "date": DATE}, 60.0),
        ({"retry_after": "5", "x_ratelimit_reset": str(int(NOW.timestamp()) + 40)}, 5.0),
        ({}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "Fri, 31 Dec 9999 23:00:00 -0500"}, None),
        ({"x_ratelimit_reset": "later"}, None),
    ],
)
def test_what_the_source_asks_to_wait_is_read_exactly(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(answered(429, **headers), NOW) == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, RateLimited), (500, Retryable), (502, Retryable), (503, Retryable), (504, Retryable), (408, Retryable),
     (202, Retryable), (204, Retryable), (413, PageTooLarge), (301, Refused), (302, Refused)],
)  # fmt: skip
def test_statuses_are_classed_by_cure(status: int, kind: type[ConnectorError]) -> None:
    assert type(status_error(answered(status), NOW)) is kind


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("https://sso.example/in?RelayState=s3cret", "The server redirects to sso.example"),
        ("/login_redirect.do", "The server redirects to another of its pages"),
        ("", "The server redirects to another of its pages"),
        ("https://a:b", "The server redirects to another address"),
    ],
)
def test_a_redirect_is_told_by_where_it_leads(location: str, seen: str) -> None:
    error = status_error(answered(302, location=location), NOW)

    assert isinstance(error, Refused)
    assert error.message == seen
    assert "sign-in or maintenance page" in str(error.remedy)


def test_the_hourly_reset_that_stands_in_every_answer_is_heeded_where_a_limit_was_reached_and_nowhere_else() -> None:
    told = {"x_ratelimit_reset": str(int(NOW.timestamp()) + 2400), "x_ratelimit_remaining": "4000"}
    errors = [status_error(answered(status, **told), NOW) for status in (429, 500, 503)]
    assert [error.retry_after for error in errors if isinstance(error, Retryable)] == [2400.0, None, None]
    busy = status_error(answered(503, retry_after="7", **told), NOW)
    assert isinstance(busy, Retryable)
    assert busy.retry_after == 7.0


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
def test_what_only_the_product_can_explain_is_left_to_it(status: int) -> None:
    assert status_error(answered(status), NOW) is None


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (httpx.ConnectTimeout("x"), Unreachable, "Connection timeout"),
        (httpx.ConnectError("x"), Unreachable, "Connection failed"),
        (httpx.ReadTimeout("x"), PageTooLarge, "The answer took too long"),
        (httpx.ReadError("x"), Retryable, "The connection was closed without an answer"),
        (httpx.RemoteProtocolError("x"), Retryable, "The connection was closed without an answer"),
        (httpx.LocalProtocolError("Illegal header value b's3cret\\n'"), Refused, "The request cannot be sent"),
        (EgressRefused("No"), Refused, "No"),
    ],
)
async def test_network_errors_are_translated_and_never_quoted(error: Exception, kind: type, message: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async with httpx.AsyncClient(transport=httpx.MockTransport(fail), base_url="https://x.example") as client:
        with pytest.raises(ConnectorError) as caught:
            await exchange(client, "/a", {}, slot=nullcontext)
    assert (type(caught.value), caught.value.message) == (kind, message)
    assert "s3cret" not in f"{caught.value.message}{caught.value.remedy}"


SECRET = 's3cret/with spaces"&q'


@pytest.mark.parametrize(
    "auth",
    [
        httpx.BasicAuth("admin", SECRET),
        {"Authorization": f"Bearer {SECRET}"},
        {"x-sn-apikey": SECRET},
    ],
    ids=["password", "token", "API key"],
)
async def test_what_a_source_repeats_of_our_credentials_is_masked_where_it_is_quoted(
    auth: httpx.Auth | dict[str, str],
) -> None:
    def repeat(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, text=f"no: {dict(request.headers)}")

    async with httpx.AsyncClient(transport=httpx.MockTransport(repeat), base_url="https://x.example") as client:
        given: Any = {"headers": auth} if isinstance(auth, dict) else {"auth": auth}
        answer = await exchange(client, "/a", {}, slot=nullcontext, **given)

    repeated = f"{SECRET} {quote(SECRET, safe='')} {json.dumps(SECRET)} {answer.body.decode()} and that was all"
    words = answer.in_words(repeated, 2000)
    assert "s3cret" not in words
    assert base64.b64encode(f"admin:{SECRET}".encode()).decode() not in words
    assert words.count("********") >= 4
    assert words.endswith("and that was all")
    assert "sent=" not in repr(answer)


async def test_a_credential_of_three_letters_is_not_told_by_the_holes_it_would_leave() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    async with httpx.AsyncClient(transport=transport, base_url="https://x.example") as client:
        answer = await exchange(client, "/a", {}, slot=nullcontext, auth=httpx.BasicAuth("admin", "row"))

    assert answer.in_words("a row is thrown") == "a row is thrown"


@pytest.mark.parametrize(
    ("body", "value", "doubtful"),
    [
        (b'{"a":1}', {"a": 1}, False),
        (b'"caf\xc3\xa9"', "café", False),
        (b'"a\\u0000b"', "a\0b", True),
        (b'"\\ud800"', "\ud800", True),
        (b'"\xed\xa0\x80"', "\ud800", True),
        (b'"a\nb"', "a\nb", True),
        (b'"a\xffb"', "a\N{REPLACEMENT CHARACTER}b", True),
    ],
)
def test_json_is_read_whatever_its_texts_hold(body: bytes, value: object, doubtful: bool) -> None:
    assert parse_json(body) == (value, doubtful)


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>", b"\n<html><head>", b'<HTML lang="en">'])
def test_a_page_for_people_is_told_by_its_beginning_where_no_header_says_so(body: bytes) -> None:
    assert Answer(200, httpx.Headers(), body).is_html
    assert not Answer(200, httpx.Headers(), b'{"a": "' + body + b'"}').is_html


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":}', b"[1,]", b"NaN", b'{"a":Infinity}', b"<html>", b"[" * 100_000])
def test_what_is_no_json_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_json(body)


@pytest.mark.parametrize("values", [b"[]," * 2_700_000, b'{"":0},' * 1_200_000, b"0," * 4_100_000])
def test_more_values_than_fit_into_memory_are_refused_before_they_are_made(values: bytes) -> None:
    body = b"[" + values + b"0]"

    with pytest.raises(PageTooLarge, match="more values than are read at once"):
        parse_json(body)


@pytest.mark.parametrize("number", [2**63 - 1, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, 0, -1, 1.5])
def test_a_number_is_the_same_beside_a_text_that_only_the_standard_library_reads(number: float) -> None:
    ((_, plainly), _), ((_, otherwise), _) = (parse_json(f'["{text}", {number}]'.encode()) for text in ("a", "\t"))

    assert (otherwise, type(otherwise)) == (plainly, type(plainly))
    assert orjson.dumps(otherwise) == orjson.dumps(plainly)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain", "plain"),
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\udc00", "\N{REPLACEMENT CHARACTER}"),
        ("\ud83d\ude00", "😀"),
        ("\x1b[31m", "\x1b[31m"),
        ("عربي 打印", "عربي 打印"),
    ],
)
def test_texts_are_made_storable(text: str, stored: str) -> None:
    assert storable(text) == stored
    assert storable_json({text: [text, 1, None]}) == {stored: [stored, 1, None]}
    stored.encode()


def test_a_remote_text_is_printable_on_one_line_and_short() -> None:
    assert one_line("a\r\nevent: complete\x1b[2J  b") == "a event: complete [2J b"
    assert len(one_line("x" * 5000)) == 200


class World:
    """A clock that moves by sleeping, dice that always show one half, and a list of what was told."""

    def __init__(self, budget: float = 600, chance: float = 0.5) -> None:
        self.moment = 1000.0
        self.slept: list[float] = []
        self.told: list[Wait] = []
        self.patience = Patience(
            service="ServiceNow",
            budget_seconds=budget,
            on_wait=self._hear,
            time=Time(sleep=self._sleep, monotonic=lambda: self.moment, now=lambda: NOW, random=lambda: chance),
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += seconds

    async def _hear(self, wait: Wait) -> None:
        self.told.append(wait)

    async def bear(self, make: Callable[[], Retryable], times: int) -> None:
        attempts = self.patience.attempts()
        for _ in range(times):
            await attempts.again(make())


async def test_an_asked_wait_is_kept_exactly_and_told() -> None:
    world = World()
    await world.bear(lambda: RateLimited("Rate limit exceeded", retry_after=30), 2)
    assert world.slept == [30, 30]
    assert world.told == [Wait(30, "ServiceNow asks to wait 30 s (rate limit)")] * 2


async def test_a_source_that_asks_to_wait_no_time_again_and_again_is_asked_less_and_less() -> None:
    world = World()
    await world.bear(lambda: RateLimited("Rate limit exceeded", retry_after=0), 6)
    assert world.slept == [0.5, 1, 2, 4, 8, 16]


async def test_other_waits_double_with_full_jitter_up_to_a_ceiling() -> None:
    world = World()
    await world.bear(lambda: Retryable("Connection timeout"), 9)
    assert world.slept == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert world.told[0] == Wait(2, "ServiceNow: Connection timeout; trying again in 2 s")
    assert [backoff(3, 0.0), backoff(3, 1.0)] == [0.0, 4.0]


async def test_the_budget_of_elapsed_time_ends_the_trying_with_the_sources_own_words() -> None:
    world = World(budget=10)
    with pytest.raises(Retryable, match=r"^Connection timeout$"):
        await world.bear(lambda: Retryable("Connection timeout"), 100)
    assert sum(world.slept) == pytest.approx(10)


async def test_a_source_that_was_never_reached_is_given_up_soon_and_one_that_was_is_waited_for() -> None:
    never, before, answering = World(), World(), World()
    with pytest.raises(Unreachable, match=r"^Connection refused$"), never.patience.first_contact():
        await never.bear(lambda: Unreachable("Connection refused"), 100)
    with before.patience.first_contact():
        pass
    with pytest.raises(Unreachable):
        await before.bear(lambda: Unreachable("Connection refused"), 100)
    with pytest.raises(Retryable), answering.patience.first_contact():
        await answering.bear(lambda: Retryable("The server answered with an error (503)"), 100)
    assert [sum(world.slept) for world in (never, before, answering)] == pytest.approx([FIRST_CONTACT, 600, 600])


async def test_a_wait_longer_than_the_budget_is_not_begun() -> None:
    world = World(budget=600)
    with pytest.raises(RateLimited) as caught:
        await world.bear(lambda: RateLimited("Rate limit exceeded", retry_after=3600), 1)
    assert world.slept == []
    assert "3600 s" in (caught.value.remedy or "")


async def test_ten_refusals_in_a_row_are_borne() -> None:
    world = World()
    await world.bear(lambda: RateLimited("Rate limit exceeded", retry_after=20), 10)
    assert sum(world.slept) == 200


async def test_what_is_asked_of_one_request_holds_for_all() -> None:
    world = World()
    assert world.patience.close_for(40)
    assert not world.patience.close_for(20)
    await world.patience.until_open()
    assert world.slept == [40]


async def test_a_wait_that_is_asked_of_several_requests_is_told_once() -> None:
    world = World()
    requests = [world.patience.attempts() for _ in range(3)]
    moment = world.moment
    for attempts in requests:
        world.moment = moment  # they wait side by side
        await attempts.again(RateLimited("Rate limit exceeded", retry_after=40))
    assert len(world.told) == 1


async def test_an_easier_request_follows_at_once() -> None:
    world = World()
    attempts = world.patience.attempts()
    await attempts.again(PageTooLarge("The answer broke off"), at_once=True)
    assert world.slept == []


async def test_an_answers_body_is_given_back_with_the_answer_and_not_when_the_collector_comes() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(1_000_000)

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body()))
    async with httpx.AsyncClient(transport=transport, base_url="https://source.example") as client:
        gc.disable()
        tracemalloc.start()
        try:
            answer = await exchange(client, "/", {}, slot=nullcontext)
            size = len(answer.body)
            del answer
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()

    assert size == 5_000_000
    assert kept < 1_000_000
