"""What stands between us and an instance, told apart from an instance that broke off."""

from datetime import UTC, datetime

import httpx
import pytest

from integrations_api.connectors.errors import ConnectorError, PageTooLarge
from integrations_api.connectors.http import Answer
from integrations_api.connectors.servicenow.answers import read_result, rows_of
from integrations_api.simulator.servicenow.faults.bodies import SHAPES, broken_body

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ROWS = [f'{{"sys_id":"{i:032x}","short_description":"Row \\"{i}\\", {{[é]}}"}}'.encode() for i in range(20)]


def error_of(body: bytes, kind: str = "application/json", status: int = 200) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        rows_of(read_result(Answer(status, httpx.Headers({"content-type": kind}), body), table="incident", now=NOW))
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


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_of_a_cancelled_transaction_is_taken_for_a_page_wherever_in_the_page_it_breaks(shape: str) -> None:
    for at_row in range(len(ROWS) + 1):
        assert isinstance(error_of(broken_body(shape, ROWS[:at_row])), PageTooLarge), at_row


def test_a_page_that_was_cut_off_at_any_byte_is_taken_for_none() -> None:
    whole = b'{"result":[' + b",".join(ROWS) + b"]}\n"
    assert len(rows_of(read_result(Answer(200, httpx.Headers(), whole), table="incident", now=NOW))) == len(ROWS)
    for at_byte in range(len(whole) - 1):
        assert isinstance(error_of(whole[:at_byte]), PageTooLarge), at_byte
