"""What stands between us and an instance, told apart from an instance that broke off."""

from datetime import UTC, datetime

import httpx
import pytest

from integrations_api.connectors.errors import ConnectorError, PageTooLarge
from integrations_api.connectors.http import Answer
from integrations_api.connectors.servicenow.answers import read_result

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def error_of(body: bytes, kind: str = "application/json", status: int = 200) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        read_result(Answer(status, httpx.Headers({"content-type": kind}), body), table="incident", now=NOW)
    return caught.value


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "text/html; charset=utf-8"),
        (b'\r\n<html lang="en"><title>Sign in</title>', "text/plain"),
        (b'<?xml version="1.0"?><response><result/></response>', "application/xml"),
        (b"\xef\xbb\xbf<soap:Envelope/>", "application/json"),
        (b'{"message": "no Route matched with those values"}', "application/json"),
    ],
)
def test_another_server_that_answers_in_the_instances_place_is_no_page_that_was_too_large(
    body: bytes, kind: str
) -> None:
    error = error_of(body, kind)
    assert not isinstance(error, PageTooLarge)
    assert "answered with" in error.message
    assert "a gateway, a proxy or a sign-in page" in (error.remedy or "")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"result": [{"a": "<b>"}', b'{"result": [], "error": {"message": "x"}}']
)
def test_an_instance_that_broke_off_is_asked_for_less(body: bytes) -> None:
    assert isinstance(error_of(body), PageTooLarge)
