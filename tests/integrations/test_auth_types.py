"""An auth_type that nobody knows is answered with those that the named service has. Pure."""

import pytest
from pydantic import ValidationError

from integrations_api.api.problems import problems_of
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
