"""A key that sounds secret is secret, however it is spelt; what is under it is hidden whole."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations_api.vault.mask import MASK, is_secret_key, masked

SECRET_KEYS = [
    "password", "Password", "PASSWORD", "passwords", "user_password", "passwordHash", "pass-word", "pass word",
    "passphrase", "secret", "client_secret", "clientSecret", "CLIENT-SECRET", "secrets", "token", "access_token",
    "accessToken", "refresh.token", "tokens", "token_url", "api_key", "apikey", "api-key", "apiKey", "API_KEY",
    "API KEY", "x-api-key", "X_API_KEY_2", "private_key", "privateKey", "private-key-pem", "authorization",
    "Authorization", "proxy_authorization", "credential", "credentials", "gcp_credentials_json",
    "ｐａｓｓｗｏｒｄ", "𝐩𝐚𝐬𝐬𝐰𝐨𝐫𝐝", "ⓟⓐⓢⓢⓦⓞⓡⓓ", "pàsswörd", "pass\u200bword", "pass\u00adword", "раsswоrd", "tοken",
    "ſecret", "PASSWORD\u0301", "_token_", "api\u2010key", "to\ufeffken", "aрi_kеy",
    "ᴘᴀꜱꜱᴡᴏʀᴅ", "pɑssword", "ŧøken", "tо\u0337ken", "tοkёn", "toke\u20ddn", "🅿🅰🆂🆂🆆🅾🆁🅳", "🇹 🇴 🇰 🇪 🇳",  # of Latin letters
    "ΤΟΚΕΝ", "τοκεν", "ΑΡΙ_ΚΕΥ", "токен", "SЕСRЕТ", "ꓑꓮꓢꓢꓪꓳꓣꓓ", "ᏢᎪᏚᏚᎳᎾᏒᎠ", "ⲧⲟⲕⲉⲛ", "tօkеn", "ꭺpi_key",  # of none
    "pass\u3164word", "pass\u115fword", "pass\u2800word", "pass\ufe0fword", "pass\u034fword", "pass\u2062word",
    "t0ken", "passw0rd", "credentiaI", "credent1al", "\u202edrowssap",
]  # fmt: skip
PLAIN_KEYS = [
    "", "url", "username", "user", "pass", "lastSynced", "table", "filter", "key", "api", "api_version", "public_key",
    "keyboard", "author", "auth_type", "sec", "ret", "client_id", "domain", "tok_en_s"[:3], "日本語", "!!!", "hidden",
    "version", "host", "level", "naïve", "größe", "имя", "όνομα", "адрес", "ΔΙΕΥΘΥΝΣΗ", "📎",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_KEYS)
def test_secret_keys_are_recognised(name: str) -> None:
    assert is_secret_key(name)


@pytest.mark.parametrize("name", PLAIN_KEYS)
def test_other_keys_are_not(name: str) -> None:
    assert not is_secret_key(name)


@given(st.text(), st.text(), st.sampled_from(["password", "apiKey", "client-secret", "TOKEN"]))
def test_a_name_that_contains_a_secret_one_is_secret(before: str, after: str, word: str) -> None:
    assert is_secret_key(f"{before}_{word}_{after}")


CASES: list[tuple[Any, Any]] = [
    ({"url": "u", "password": "p"}, {"url": "u", "password": MASK}),
    ({"a": {"b": [{"token": "t", "c": 1}]}}, {"a": {"b": [{"token": MASK, "c": 1}]}}),
    ({"credentials": {"user": "u", "list": [1, "x"]}}, {"credentials": MASK}),
    ({"password": ["a", "b"]}, {"password": MASK}),
    ({"password": ""}, {"password": MASK}),
    ({"password": 0, "token": False}, {"password": MASK, "token": MASK}),
    ({"password": None}, {"password": None}),
    ({"note": "password"}, {"note": "password"}),
    (["password", {"secret": "s"}], ["password", {"secret": MASK}]),
    ("password", "password"),
    ({}, {}),
]


@pytest.mark.parametrize(("value", "shown"), CASES)
def test_values_under_secret_keys_are_hidden(value: Any, shown: Any) -> None:
    assert masked(value) == shown


def test_the_value_itself_is_left_alone() -> None:
    value = {"a": {"password": "p"}}

    masked(value)

    assert value == {"a": {"password": "p"}}


def test_a_service_can_say_itself_what_is_secret() -> None:
    assert masked({"pin": 1, "token": 2}, is_secret=lambda name: name == "pin") == {"pin": MASK, "token": 2}


def test_the_mask_is_the_contracts() -> None:
    assert MASK == "********"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text() | st.sampled_from(SECRET_KEYS), children),
    max_leaves=20,
)


@given(json_values)
def test_nothing_under_a_secret_key_survives_at_any_depth(value: Any) -> None:
    def check(shown: Any) -> None:
        if isinstance(shown, dict):
            for key, child in shown.items():
                assert not is_secret_key(key) or child in (MASK, None)
                check(child)
        if isinstance(shown, list):
            for child in shown:
                check(child)

    check(masked(value))
