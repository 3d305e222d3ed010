"""An auth_type that nobody knows is answered with those that the named service has. Pure."""

import pytest
from pydantic import ValidationError

from integrations_api.api.problems import problems_of
from integrations_api.connectors.registry import find_service
from integrations_api.integrations.schemas import IntegrationIn

ALL = "must be 'basic_auth', 'api_token' or 'oauth2'"


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("GitHub", "must be 'api_token' or 'oauth2'"),
        ("github Enterprise", "must be 'api_token' or 'oauth2'"),
        ("Jira", ALL),
        ("ServiceNow", ALL),
        ("Unheard Of", ALL),
    ],
)
@pytest.mark.parametrize("sent", ["saml", "", None, 1, ["oauth2"]])
def test_the_right_ones_are_named(service: str, words: str, sent: object) -> None:
    with pytest.raises(ValidationError) as raised:
        IntegrationIn.model_validate({"service_name": service, "auth_type": sent, "config": {}, "is_active": True})

    (problem,) = problems_of(raised.value.errors())
    assert (problem.field, problem.message) == ("auth_type", words)


def test_the_only_one_of_a_service_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of the connector which docs/connectors.md shows how to write."""
    jira = find_service("Jira")
    assert jira is not None
    monkeypatch.setattr(jira, "auth_types", {"api_token": jira.auth_types["api_token"]})

    with pytest.raises(ValidationError) as raised:
        IntegrationIn.model_validate({"service_name": "Jira", "auth_type": "saml", "config": {}, "is_active": True})

    assert [one.message for one in problems_of(raised.value.errors())] == ["must be 'api_token'"]
