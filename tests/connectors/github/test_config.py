"""What a GitHub integration may be told, where that leads, and what makes two configs one source."""

from typing import Any

import pytest

from integrations_api.connectors.github.config import addresses_of
from integrations_api.connectors.registry import find_service
from integrations_api.connectors.services import ServiceDescription

CONFIG = {"api_token": "github_pat_x", "repositories": ["octo-org/website"]}


@pytest.fixture
def github() -> ServiceDescription:
    service = find_service("GitHub")
    assert service is not None
    return service


@pytest.mark.parametrize(
    ("url", "origin", "rest", "graphql", "web"),
    [
        (None, "https://api.github.com", "", "/graphql", "https://github.com"),
        ("https://github.com/", "https://api.github.com", "", "/graphql", "https://github.com"),
        ("https://API.github.com", "https://api.github.com", "", "/graphql", "https://github.com"),
        ("https://octo.ghe.com", "https://api.octo.ghe.com", "", "/graphql", "https://octo.ghe.com"),
        ("https://api.octo.ghe.com", "https://api.octo.ghe.com", "", "/graphql", "https://octo.ghe.com"),
        ("https://git.example.com", "https://git.example.com", "/api/v3", "/api/graphql", "https://git.example.com"),
        (
            "https://git.example.com:8443/api/v3/", "https://git.example.com:8443", "/api/v3", "/api/graphql",
            "https://git.example.com:8443",
        ),
    ],
)  # fmt: skip
def test_an_address_leads_to_its_api(url: str | None, origin: str, rest: str, graphql: str, web: str) -> None:
    found = addresses_of(url)
    assert (found.origin, found.rest, found.graphql, found.web) == (origin, rest, graphql, web)


def test_a_token_and_repositories_or_an_owner_are_enough(github: ServiceDescription) -> None:
    assert github.required_keys("api_token", {}) == ("api_token",)
    assert github.validate("api_token", CONFIG) == []
    assert github.validate("api_token", {"api_token": "x", "owner": "octo-org", "page_size": 50, "overlap": "2m"}) == []


def test_a_password_is_refused_with_a_sentence(github: ServiceDescription) -> None:
    (problem,) = github.validate("basic_auth", {"username": "x", "password": "y"})
    assert problem.field == "auth_type"
    assert problem.message == "GitHub has no sign-in by user name and password: use api_token or oauth2"


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"repositories": []}, "config.repositories", "either repositories or an owner"),
        ({"owner": "octo-org"}, "config.repositories", "either repositories or an owner"),
        ({"repositories": "octo-org/website"}, "config.repositories", "must be a list"),
        ({"repositories": ["website"]}, "config.repositories.0", "must be owner/name"),
        ({"repositories": ["octo-org/a/b"]}, "config.repositories.0", "must be owner/name"),
        ({"repositories": ["octo-org/.."]}, "config.repositories.0", "must be owner/name"),
        ({"repositories": ["octo-org/a?x=y"]}, "config.repositories.0", "must be owner/name"),
        ({"repositories": [], "owner": "octo org"}, "config.owner", "organization or user"),
        ({"api_token": "two words"}, "config.api_token", "printable ASCII"),
        ({"url": "https://x:y@git.example.com"}, "config.url", "credentials"),
        ({"page_size": 0}, "config.page_size", "at least 1"),
    ],
)
def test_each_wrong_key_is_named_in_words(
    github: ServiceDescription, change: dict[str, Any], field: str, words: str
) -> None:
    (problem,) = github.validate("api_token", CONFIG | change)
    assert problem.field == field
    assert words in problem.message


def test_the_address_of_a_repositorys_page_is_understood(github: ServiceDescription) -> None:
    named = {"repositories": ["https://github.com/octo-org/website.git"]}
    assert github.validate("api_token", CONFIG | named) == []
    assert github.fingerprint(CONFIG | named) == github.fingerprint(CONFIG)


@pytest.mark.parametrize(
    "change",
    [
        {"api_token": "other"},
        {"url": "https://github.com"},
        {"url": "https://api.github.com"},
        {"page_size": 7},
        {"repositories": ["Octo-Org/Website"]},
        {"repositories": ["octo-org/website", "octo-org/website"]},
    ],
)
def test_what_does_not_change_the_source_keeps_its_fingerprint(
    github: ServiceDescription, change: dict[str, Any]
) -> None:
    assert github.fingerprint(CONFIG | change) == github.fingerprint(CONFIG)


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://git.example.com"},
        {"repositories": ["octo-org/app"]},
        {"repositories": ["octo-org/website", "octo-org/app"]},
        {"repositories": [], "owner": "octo-org"},
        {"url": "not a url at all"},
    ],
)
def test_another_source_has_another_fingerprint(github: ServiceDescription, change: dict[str, Any]) -> None:
    assert github.fingerprint(CONFIG | change) != github.fingerprint(CONFIG)
