"""What GitHub's statuses mean, as a table: what is waited for, asked for in smaller parts, gone, or refused."""

from datetime import UTC, datetime

import httpx
import pytest

from integrations_api.connectors.errors import ConnectorError, PageTooLarge, RateLimited, Refused, Retryable
from integrations_api.connectors.github.answers import NoLongerThere, NotVisible, failure
from integrations_api.connectors.http import Answer

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
IN_AN_HOUR = str(int(NOW.timestamp()) + 3600)


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait"),
    [
        (429, {}, RateLimited, 60.0),
        (429, {"x-ratelimit-remaining": "12", "x-ratelimit-reset": IN_AN_HOUR}, RateLimited, 60.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": IN_AN_HOUR}, RateLimited, 3600.0),
        (403, {"x-ratelimit-remaining": "0", "retry-after": "30"}, RateLimited, 30.0),
        (403, {"x-ratelimit-remaining": "12", "x-ratelimit-reset": IN_AN_HOUR}, Refused, None),
        (502, {"x-ratelimit-reset": IN_AN_HOUR}, PageTooLarge, None),
        (504, {"retry-after": "7"}, PageTooLarge, 7.0),
        (503, {"retry-after": "7"}, Retryable, 7.0),
        (404, {}, NotVisible, None),
        (410, {}, NoLongerThere, None),
        (451, {}, NoLongerThere, None),
    ],
)
def test_what_a_status_means(
    status: int, headers: dict[str, str], kind: type[ConnectorError], wait: float | None
) -> None:
    error = failure(Answer(status, httpx.Headers(headers), b"{}"), now=NOW, strikes=0, what="octo/app")
    assert type(error) is kind
    assert getattr(error, "retry_after", None) == wait
