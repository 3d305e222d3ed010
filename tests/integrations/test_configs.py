"""Taking configs apart: what is masked, what is kept, what is refused. Pure."""

from typing import Any

import pytest

from integrations_api.errors import InvalidInput
from integrations_api.integrations.configs import changed_keys, reassemble, split, split_edit

MASK = "********"


def masked(config: dict[str, Any], *names: str) -> dict[str, Any]:
    return split(config, secret_names=names).public


def edit(after: dict[str, Any], *, before: dict[str, Any], same_service: bool = True) -> set[str]:
    """The pointers an edit keeps, when everything masked in `before` is stored."""
    stored = split(before, secret_names=()).secrets
    public = split(before, secret_names=()).public
    result = split_edit(after, secret_names=(), stored=stored, before=public, same_service=same_service)
    return result.kept


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"password": "p"}, {"password": MASK}),
        ({"password": ""}, {"password": MASK}),
        ({"password": None}, {"password": None}),
        ({"password": 1234}, {"password": MASK}),
        ({"password": False}, {"password": MASK}),
        ({"tokens": ["a", "b"]}, {"tokens": MASK}),
        ({"credentials": {"user": "a", "pin": 1}}, {"credentials": MASK}),
        ({"a": {"b": [{"apiKey": "k", "c": 1}]}}, {"a": {"b": [{"apiKey": MASK, "c": 1}]}}),
        ({"CLIENT-SECRET": "s"}, {"CLIENT-SECRET": MASK}),
        ({"private_key": "k", "Authorization": "Basic x"}, {"private_key": MASK, "Authorization": MASK}),
        ({"username": "admin", "note": "** public **"}, {"username": "admin", "note": "** public **"}),
        ({"webhook": "https://user:pw@hooks.example.com/x"}, {"webhook": MASK}),
        ({"list": ["x", "https://pw@hooks.example.com"]}, {"list": ["x", MASK]}),
        ({"note": MASK}, {"note": MASK}),
        ({}, {}),
    ],
)  # fmt: skip
def test_secret_values_are_shown_as_the_mask(config: dict[str, Any], shown: dict[str, Any]) -> None:
    assert masked(config) == shown


def test_keys_keep_the_order_they_were_sent_in() -> None:
    shown = masked({"z": 1, "password": "p", "a": {"y": 1, "b": 2}})

    assert list(shown) == ["z", "password", "a"]
    assert list(shown["a"]) == ["y", "b"]


def test_a_service_names_secrets_of_its_own_on_the_first_level() -> None:
    shown = masked({"pin": "1", "inner": {"pin": "2"}}, "pin")

    assert shown == {"pin": MASK, "inner": {"pin": "2"}}


@pytest.mark.parametrize("secret", ["p", "", "123", 123, 1.5, True, ["a", 1], {"b": {"c": None}}, 'ünï "quoted" \n'])
def test_secrets_come_back_as_they_went_in(secret: Any) -> None:
    config = {"a/b": {"~": [0, {"password": secret}]}, "url": "https://x"}
    taken = split(config, secret_names=())

    assert list(taken.secrets) == ["/a~1b/~0/1/password"]
    assert reassemble(taken.public, taken.secrets) == config
    assert taken.public["a/b"]["~"][1] == {"password": MASK}


def test_the_mask_keeps_what_is_stored_at_the_same_place() -> None:
    before = {"url": "https://a", "password": "p", "inner": {"token": "t"}}

    assert edit({"url": "https://a", "password": MASK, "inner": {"token": MASK}}, before=before) == {
        "/password",
        "/inner/token",
    }


def test_an_absent_secret_is_not_kept() -> None:
    assert edit({"url": "https://a"}, before={"url": "https://a", "password": "p"}) == set()


@pytest.mark.parametrize("value", ["*******", "*********", " ********", "a********", "•" * 8])
def test_a_string_that_merely_contains_asterisks_is_a_real_value(value: str) -> None:
    taken = split({"password": value}, secret_names=(), stored=["/password"])

    assert taken.kept == set()
    assert reassemble(taken.public, taken.secrets) == {"password": value}


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"password": MASK}, "config.password"),
        ({"inner": {"token": MASK}}, "config.inner.token"),
        ({"tokens": ["a", MASK]}, "config.tokens"),
        ({"credentials": {"pin": MASK}}, "config.credentials"),
    ],
)
def test_a_mask_where_nothing_is_stored_is_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        split(config, secret_names=(), stored=["/somewhere/else"])

    assert [problem.field for problem in refused.value.problems] == [field]


def test_a_stored_secret_stays_one_when_a_rename_takes_its_name_off_the_list() -> None:
    taken = split({"pin": MASK}, secret_names=(), stored=["/pin"])

    assert taken.kept == {"/pin"}
    assert taken.secrets == {}


@pytest.mark.parametrize(
    "url",
    [
        "https://A.example.com",
        "HTTPS://a.example.com/",
        "https://a.example.com:443/api?x=1",
        "https://a.example.com./other",
    ],
)
def test_another_spelling_of_the_same_origin_keeps_the_secret(url: str) -> None:
    before = {"url": "https://a.example.com", "password": "p"}

    assert edit({"url": url, "password": MASK}, before=before) == {"/password"}


@pytest.mark.parametrize(
    "after",
    [
        {"url": "http://a.example.com"},
        {"url": "https://a.example.com:8443"},
        {"url": "https://a.example.com:0"},
        {"url": "https://b.example.com"},
        {"url": "https://a.example.com.evil.org"},
        {"url": "https://a.example.com@evil.org"},
        {"url": "https://evil.org\\@a.example.com"},
        {"url": "https://a.example.com\t.evil.org"},
        {"url": "https://а.example.com"},  # Cyrillic
        {"url": None},
        {"url": ["https://a.example.com"]},
        {},
        {"url": "https://a.example.com", "token_url": "https://evil.org/token"},
        {"url": "https://a.example.com", "login": {"authorizeUrl": "https://evil.org"}},
        {"url": "https://a.example.com", "credentials": {"url": "https://evil.org"}},
    ],
)
def test_a_masked_secret_never_follows_to_another_origin(after: dict[str, Any]) -> None:
    before = {"url": "https://a.example.com", "password": "p"}

    with pytest.raises(InvalidInput) as refused:
        edit({**after, "password": MASK}, before=before)

    assert refused.value.message == "Re-enter the password: the URL points to another origin"
    assert refused.value.problems[0].field == "config.password"


def test_a_masked_secret_does_not_follow_to_a_url_where_there_was_none() -> None:
    with pytest.raises(InvalidInput, match="another origin"):
        edit({"url": "https://evil.org", "password": MASK}, before={"password": "p"})


def test_a_secret_entered_again_may_go_anywhere() -> None:
    assert edit({"url": "https://b", "password": "new"}, before={"url": "https://a", "password": "p"}) == set()


def test_addresses_swapped_inside_a_list_do_not_take_each_others_secrets() -> None:
    before = {"sites": [{"url": "https://a", "token": "1"}, {"url": "https://b", "token": "2"}]}
    after = {"sites": [{"url": "https://b", "token": MASK}, {"url": "https://a", "token": MASK}]}

    with pytest.raises(InvalidInput, match="Re-enter the token"):
        edit(after, before=before)


def test_an_address_that_is_shown_masked_is_compared_all_the_same() -> None:
    before = {"url": "https://a", "token_url": "https://login.a", "password": "p"}

    assert edit({"url": "https://a", "token_url": MASK, "password": MASK}, before=before)
    with pytest.raises(InvalidInput, match="Re-enter the password"):
        edit({"url": "https://a", "token_url": "https://evil.org", "password": MASK}, before=before)


def test_an_address_at_the_origin_of_the_url_may_be_added() -> None:
    before = {"url": "https://a", "client_secret": "p"}

    assert edit({"url": "https://a", "token_url": "https://a/oauth", "client_secret": MASK}, before=before)


def test_without_a_url_another_service_is_another_origin() -> None:
    assert edit({"token": MASK}, before={"token": "t"}) == {"/token"}
    with pytest.raises(InvalidInput, match="Re-enter the token"):
        edit({"token": MASK}, before={"token": "t"}, same_service=False)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("clientSecret", "client secret"),
        ("api_token", "API token"),
        ("apikey", "API key"),
        ("PASSWORD", "password"),
        ("oauth-client-secret", "OAuth client secret"),
    ],
)
def test_the_refusal_names_the_key_in_words(key: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        edit({"url": "https://b", key: MASK}, before={"url": "https://a", key: "s"})

    assert refused.value.message == f"Re-enter the {words}: the URL points to another origin"


def test_every_secret_to_be_entered_again_is_listed_in_order() -> None:
    config = {"password": MASK, "inner": {"token": MASK}, "url": "https://b"}
    before = {"inner": {"token": "t"}, "url": "https://a", "password": "p"}

    with pytest.raises(InvalidInput) as refused:
        edit(config, before=before)

    assert [problem.field for problem in refused.value.problems] == ["config.password", "config.inner.token"]


def test_a_secret_deeper_than_its_path_can_be_stored_is_refused() -> None:
    with pytest.raises(InvalidInput, match="long keys"):
        split({"ü" * 200: {"ü" * 200: {"ü" * 200: {"password": "p"}}}}, secret_names=())


def test_changed_keys_are_named_without_values() -> None:
    before = {"url": "https://a", "password": MASK, "gone": 1, "same": {"x": 1}, "flag": 1}
    sent = {"url": "https://a", "password": "new", "same": {"x": 1}, "flag": True, "added": None}

    assert changed_keys(before, split(sent, secret_names=())) == ["added", "flag", "gone", "password"]


def test_what_was_taken_apart_does_not_show_its_secrets() -> None:
    assert "hunter2" not in repr(split({"password": "hunter2"}, secret_names=()))
