"""Which services are known, what their configs must hold, and what makes two configs one source."""

from typing import Any

import jsonschema_rs
import pytest

from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.registry import MissingConfiguration, find_service, services
from integrations_api.connectors.services import ServiceDescription
from integrations_api.egress.guard import EgressPolicy, EgressRefused
from integrations_api.errors import InvalidInput

CONTEXT = ConnectorContext(page_size=100, concurrency=1, overlap_seconds=300, retry_budget_seconds=1)
CONFIG = {"url": "https://dev12345.service-now.com", "username": "admin", "password": "s3cret"}


def service(name: str = "ServiceNow") -> ServiceDescription:
    found = find_service(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "known"),
    [("ServiceNow", "ServiceNow"), ("servicenow production", "ServiceNow"), (" SERVICENOW\tEU", "ServiceNow"),
     ("Jira Cloud", "Jira"), ("github", "GitHub")],
)  # fmt: skip
def test_a_service_is_found_by_its_first_word_in_any_case(name: str, known: str) -> None:
    assert service(name).name == known


@pytest.mark.parametrize("name", ["", " ", "Zendesk", "ServiceNowish", "My ServiceNow", "Service Now"])
def test_other_services_are_unknown(name: str) -> None:
    assert find_service(name) is None


@pytest.mark.parametrize(
    ("auth_type", "message"),
    [
        ("basic_auth", "Missing ServiceNow configuration (url, username, password)"),
        ("api_token", "Missing ServiceNow configuration (url, api_token)"),
        ("oauth2", "Missing ServiceNow configuration (url, client_id, client_secret)"),
        ("nonsense", "Missing ServiceNow configuration (url, username, password)"),
    ],
)
def test_an_incomplete_config_is_told_in_the_contracts_words(auth_type: str, message: str) -> None:
    with pytest.raises(MissingConfiguration) as caught:
        service().open(auth_type, {"username": "x"}, CONTEXT, EgressPolicy())
    assert caught.value.message == message


def test_a_complete_config_with_keys_of_others_is_fine() -> None:
    extra = {"lastSynced": "2026-03-01T10:30:00Z", "instanceName": "x"}
    assert service().validate("basic_auth", CONFIG | extra) == []


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"url": None}, "config.url", "must be a text"),
        ({"url": "dev12345"}, "config.url", "http(s) URL"),
        ({"url": "ftp://x.example"}, "config.url", "http(s) URL"),
        ({"url": "https://xn--ls8h.example"}, "config.url", "http(s) URL"),
        ({"url": "https://u:p@x.example"}, "config.url", "credentials"),
        ({"url": "https://x.example:99999"}, "config.url", "a port between 1 and 65535"),
        ({"url": "https://x.example:0"}, "config.url", "a port between 1 and 65535"),
        ({"url": "https://x.example/?a=b"}, "config.url", "without ?"),
        ({"url": "https://x.example\r\nHost: y"}, "config.url", "http(s) URL"),
        ({"password": ""}, "config.password", "must not be empty"),
        ({"password": 7}, "config.password", "must be a text"),
        ({"username": ""}, "config.username", "must not be empty"),
        ({"table": "incident;drop"}, "config.table", "name of a table"),
        ({"table": "../x"}, "config.table", "name of a table"),
        ({"filter": "active=true^ORDERBYnumber"}, "config.filter", "ORDERBY"),
        ({"page_size": 0}, "config.page_size", "at least 1"),
        ({"page_size": 20_000}, "config.page_size", "at most 10000"),
        ({"page_size": "many"}, "config.page_size", "whole number"),
        ({"page_size": True}, "config.page_size", "whole number"),
        ({"overlap": "long"}, "config.overlap", "duration"),
        ({"overlap": "100d"}, "config.overlap", "31 days"),
        ({"overlap": 2**63 - 1}, "config.overlap", "31 days"),
        ({"fields": ["u_x", "a b"]}, "config.fields.1", "name of a column"),
        ({"fields": "u_x"}, "config.fields", "list"),
    ],
)
def test_each_wrong_key_is_named_in_words_without_its_value(change: dict[str, Any], field: str, words: str) -> None:
    problems = service().validate("basic_auth", CONFIG | change)
    assert [problem.field for problem in problems] == [field]
    assert words in problems[0].message


def test_every_missing_key_is_named() -> None:
    problems = service().validate("basic_auth", {})
    assert [(p.field, p.message) for p in problems] == [
        ("config.url", "is required"), ("config.username", "is required"), ("config.password", "is required"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "auth_type", "config"),
    [
        ("ServiceNow", "api_token", {"url": "https://x.example", "api_token": "now_abc"}),
        ("ServiceNow", "oauth2", {"url": "https://x.example", "client_id": "a", "client_secret": "b"}),
        ("Jira", "basic_auth", {"url": "https://x.atlassian.net", "username": "a@b", "password": "t"}),
        ("Jira", "api_token", {"url": "https://x.atlassian.net", "api_token": "t"}),
        ("GitHub", "api_token", {"api_token": "t", "owner": "octo-org"}),
        ("GitHub", "oauth2", {"client_id": "a", "client_secret": "b", "repositories": ["octo-org/website"]}),
    ],
)
def test_every_known_way_of_signing_in_has_its_required_keys(name: str, auth_type: str, config: dict[str, str]) -> None:
    assert service(name).validate(auth_type, config) == []
    for key in service(name).required_keys(auth_type, {}):
        without = {k: v for k, v in config.items() if k != key}
        assert [p.field for p in service(name).validate(auth_type, without)] == [f"config.{key}"]


def test_a_wrong_way_of_signing_in_names_the_right_ones() -> None:
    (problem,) = service().validate("password", {})
    assert (problem.field, problem.message) == ("auth_type", "ServiceNow signs in by basic_auth, api_token or oauth2")


def test_the_password_grant_needs_its_user() -> None:
    config = {"url": "https://x.example", "client_id": "a", "client_secret": "b", "grant": "password"}
    problems = service().validate("oauth2", config)
    assert [(problem.field, problem.message) for problem in problems] == [
        ("config.username", "is required with the grant password"),
        ("config.password", "is required with the grant password"),
    ]
    with pytest.raises(MissingConfiguration) as caught:
        service().open("oauth2", config, CONTEXT, EgressPolicy())
    assert (
        caught.value.message == "Missing ServiceNow configuration (url, client_id, client_secret, username, password)"
    )


def test_secrets_are_known_and_marked_in_the_schema() -> None:
    assert service().secret_keys == {"password", "api_token", "client_secret"}
    for known in services():
        for auth_type in known.auth_types.values():
            assert "Config" not in auth_type.schema.get("title", "")
            for name, schema in auth_type.schema["properties"].items():
                assert schema.get("title"), name
                assert schema.get("description"), name
                is_secret = "secret" in name or "password" in name or name == "api_token"
                assert (name in auth_type.secret_keys, schema.get("writeOnly", False)) == (is_secret, is_secret), name


def test_what_is_malformed_or_not_allowed_is_not_opened() -> None:
    with pytest.raises(InvalidInput, match=r"config\.table"):
        service().open("basic_auth", CONFIG | {"table": "x y"}, CONTEXT, EgressPolicy())
    with pytest.raises(EgressRefused):
        service().open("basic_auth", CONFIG | {"url": "http://127.0.0.1:1"}, CONTEXT, EgressPolicy())


@pytest.mark.parametrize(
    "change",
    [{"password": "other"}, {"username": "other"}, {"page_size": 7}, {"overlap": "1h"}, {"lastSynced": "x"},
     {"url": "https://DEV12345.service-now.com:443/"}, {"table": "incident"}, {"filter": ""}],
)  # fmt: skip
def test_what_does_not_change_the_source_keeps_its_fingerprint(change: dict[str, Any]) -> None:
    assert service().fingerprint(CONFIG | change) == service().fingerprint(CONFIG)


@pytest.mark.parametrize(
    "change",
    [{"url": "https://prod.service-now.com"}, {"url": "http://dev12345.service-now.com"}, {"table": "problem"},
     {"url": "https://dev12345.service-now.com:8443"}, {"filter": "active=true"}, {"fields": ["u_x"]},
     {"fields": [{"name": "u_x", "to": "text"}]}],
)  # fmt: skip
def test_another_source_has_another_fingerprint(change: dict[str, Any]) -> None:
    assert service().fingerprint(CONFIG | change) != service().fingerprint(CONFIG)


def test_two_jira_sites_on_one_host_are_two_sources() -> None:
    def of(url: str) -> str:
        return service("Jira").fingerprint({"url": url, "api_token": "t"})

    assert len({of("https://x.example"), of("https://x.example/jira"), of("https://x.example/it/jira")}) == 3
    assert of("https://x.example/jira/") == of("https://X.example:443/jira ")
    assert of("https://x.example/") == of("https://x.example")
    assert of("no [ URL") != of("another")


def test_a_column_is_the_same_to_a_fingerprint_however_it_is_written() -> None:
    def of(*fields: Any) -> str:
        return service().fingerprint(CONFIG | {"fields": list(fields)})

    assert of("u_x", "u_a") == of({"name": "u_a"}, {"name": "u_x", "to": "attributes"})
    assert of("u_x") != of({"name": "u_x", "to": "text"}) != of("u_x>text!")
    assert of(17, None) != of()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("Not a column", "must be the name of a column"),
        ({"name": "x y"}, "must be the name of a column"),
        ({"to": "text"}, "must be the name of a column"),
        (["u_x"], "must be the name of a column"),
        ({"name": "u_x", "to": "title"}, 'must say "attributes" or "text"'),
        ({"name": "u_x", "label": "X"}, "no label"),
    ],
)
def test_a_column_that_cannot_be_meant_is_named(field: Any, words: str) -> None:
    (problem,) = service().validate("basic_auth", CONFIG | {"fields": ["u_good", field]})

    assert problem.field == "config.fields.1"
    assert words in problem.message


def test_the_schema_tells_both_ways_to_choose_a_column() -> None:
    fields = service().auth_types["basic_auth"].schema["properties"]["fields"]

    name, choice = fields["items"]["anyOf"]
    assert (name["type"], choice["required"]) == ("string", ["name"])
    assert choice["properties"]["to"]["enum"] == ["attributes", "text"]


def required_by(schema: dict[str, Any], config: dict[str, str]) -> set[str]:
    """What a form takes as required, by JSON Schema's own rules, once these keys are chosen."""
    chosen = [
        rule["then"]["required"]
        for rule in schema.get("allOf", ())
        if all(config.get(key) == wanted["const"] for key, wanted in rule["if"]["properties"].items())
    ]
    return {*schema["required"], *(key for keys in chosen for key in keys)}


@pytest.mark.parametrize("grant", ["client_credentials", "password", "authorization_code"])
def test_a_form_knows_from_the_schema_what_each_grant_needs(grant: str) -> None:
    schema = service().auth_types["oauth2"].schema

    needed = required_by(schema, {"grant": grant})

    assert needed == set(service().required_keys("oauth2", {"grant": grant}))
    choices = schema["properties"]["grant"]["oneOf"]
    assert [choice["const"] for choice in choices] == ["client_credentials", "password", "authorization_code"]
    assert all(choice["title"] and choice["description"] for choice in choices)


def test_what_has_to_be_typed_in_has_an_example() -> None:
    for known in services():
        for auth_type in known.auth_types.values():
            schema = auth_type.schema
            for name in set(schema["required"]) - auth_type.secret_keys:
                assert schema["properties"][name].get("examples"), (known.name, auth_type.name, name)


def test_what_a_form_fills_in_by_itself_is_what_its_schema_takes() -> None:
    wrong = [
        (known.name, auth_type.name, name)
        for known in services()
        for auth_type in known.auth_types.values()
        for name, about in auth_type.schema["properties"].items()
        if "default" in about and not jsonschema_rs.Draft202012Validator(about).is_valid(about["default"])
    ]

    assert wrong == []


def test_a_wrong_way_of_signing_in_names_the_right_ones_of_every_service() -> None:
    problems = {known.name: known.validate("kerberos", {})[0] for known in services()}

    assert {name: problem.message for name, problem in problems.items()} == {
        "ServiceNow": "ServiceNow signs in by basic_auth, api_token or oauth2",
        "Jira": "Jira signs in by basic_auth, api_token or oauth2",
        "GitHub": "GitHub signs in by api_token or oauth2",
    }
