"""Tokens stay with the application they were given for: an edit that leads elsewhere needs a new sign-in."""

from typing import Any

import pytest

from integrations_api.integrations.applications import application_of

CONFIG = {"url": "https://x.atlassian.net", "client_id": "app", "client_secret": "s3cret"}


def application(config: dict[str, Any]) -> str:
    found = application_of("Jira", "oauth2", config)
    assert found is not None
    return found.id


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://y.atlassian.net"},
        {"client_id": "another"},
        {"auth_url": "https://auth.elsewhere.example"},
        {"api_url": "https://api.elsewhere.example"},
    ],
)
def test_tokens_are_not_sent_to_where_an_edit_leads(change: dict[str, str]) -> None:
    assert application(CONFIG | change) != application(CONFIG)


@pytest.mark.parametrize(
    "change", [{"client_secret": "rotated"}, {"projects": ["OPS"]}, {"api_url": None}, {"overlap": "1h"}]
)
def test_what_leads_nowhere_else_leaves_the_sign_in_as_it_is(change: dict[str, Any]) -> None:
    assert application(CONFIG | change) == application(CONFIG)
