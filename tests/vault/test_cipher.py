"""A sealed secret opens in its own place, under its own key, whole; or not at all."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations_api.errors import ApplicationError
from integrations_api.vault.cipher import LONGEST_PREFIX, Vault, key_id_of_prefix, sealed_prefix
from integrations_api.vault.errors import SecretDamaged, SecretNotAuthentic, UnknownKey, VaultError
from integrations_api.vault.keys import KeyRing

SECRET = "pässword-canary"
PLACE = "integration_secrets/550e8400/password"


def entry(key_id: str, seed: int = 0) -> str:
    return f"{key_id}:{base64.b64encode(bytes((seed + n * 7) % 256 for n in range(32))).decode()}"


def vault(*entries: str) -> Vault:
    return Vault(KeyRing.parse(",".join(entries or (entry("k1"),))))


@given(st.text())
def test_what_is_sealed_opens(secret: str) -> None:
    sealed = vault().seal(secret, context=PLACE)

    assert vault().open(sealed, context=PLACE) == secret


def test_the_same_secret_is_never_sealed_alike() -> None:
    first, second = (vault().seal(SECRET, context=PLACE) for _ in range(2))

    assert first != second
    # Not only the nonces: the data key is another one, so the wrapped part differs as well.
    assert first[4 + 12 : 4 + 12 + 48] != second[4 + 12 : 4 + 12 + 48]


def test_the_secret_is_not_in_the_ciphertext_but_its_format_and_key_id_are() -> None:
    sealed = vault(entry("key-7")).seal(SECRET, context=PLACE)

    assert SECRET.encode() not in sealed
    assert sealed[0] == 1
    assert key_id_of_prefix(sealed) == "key-7"
    assert key_id_of_prefix(sealed[:7]) == "key-7"
    assert key_id_of_prefix(sealed[:6]) is None
    assert len(sealed_prefix("k" * 32)) == LONGEST_PREFIX
    assert len(sealed) == 1 + 1 + 5 + 12 + 48 + 12 + len(SECRET.encode()) + 16


def test_a_new_first_key_seals_and_the_old_ones_still_open() -> None:
    old = vault(entry("old")).seal(SECRET, context=PLACE)
    both = vault(entry("new", 9), entry("old"))

    assert both.open(old, context=PLACE) == SECRET
    assert key_id_of_prefix(both.seal(SECRET, context=PLACE)) == "new"


def test_what_is_signed_holds_for_its_purpose_under_the_key_that_was_the_first() -> None:
    mac = vault(entry("old")).sign(b"a day", purpose="seal")
    both = vault(entry("new", 9), entry("old"))

    assert both.is_signed(b"a day", mac, key_id="old", purpose="seal")
    assert not both.is_signed(b"a day", mac, key_id="old", purpose="another")
    assert not both.is_signed(b"a day", mac, key_id="new", purpose="seal")
    assert not both.is_signed(b"another", mac, key_id="old", purpose="seal")


def test_a_missing_key_is_named() -> None:
    sealed = vault(entry("old")).seal(SECRET, context=PLACE)

    with pytest.raises(UnknownKey) as caught:
        vault(entry("new")).open(sealed, context=PLACE)

    assert caught.value.key_id == "old"
    assert "encryption key old" in caught.value.message


def test_another_key_of_the_same_id_does_not_open() -> None:
    sealed = vault(entry("k1")).seal(SECRET, context=PLACE)

    with pytest.raises(SecretNotAuthentic, match="key k1"):
        vault(entry("k1", seed=1)).open(sealed, context=PLACE)


@pytest.mark.parametrize("place", ["", PLACE + "x", PLACE.replace("5", "6"), PLACE.upper()])
def test_a_ciphertext_copied_to_another_place_does_not_open(place: str) -> None:
    sealed = vault().seal(SECRET, context=PLACE)

    for use in (vault().open, vault().rewrap):
        with pytest.raises(SecretNotAuthentic):
            use(sealed, context=place)


def test_no_byte_can_be_changed() -> None:
    sealed = vault().seal(SECRET, context=PLACE)

    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(VaultError) as caught:
            vault().open(bytes(changed), context=PLACE)
        assert "canary" not in str(caught.value)


def test_no_part_of_it_opens() -> None:
    sealed = vault().seal(SECRET, context=PLACE)

    for length in range(len(sealed)):
        with pytest.raises((SecretDamaged, SecretNotAuthentic)):
            vault().open(sealed[:length], context=PLACE)
    with pytest.raises(SecretNotAuthentic):
        vault().open(sealed + b"x", context=PLACE)


def test_parts_of_two_ciphertexts_cannot_be_joined() -> None:
    first, second = (vault().seal(secret, context=PLACE) for secret in ("first secret", "other secret"))
    cut = 4 + 12 + 48

    with pytest.raises(SecretNotAuthentic):
        vault().open(first[:cut] + second[cut:], context=PLACE)


@given(st.binary(max_size=300))
def test_garbage_is_told_apart_and_never_crashes(data: bytes) -> None:
    with pytest.raises(VaultError):
        vault().open(data, context=PLACE)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02" + b"x" * 200, b"\x01\x02\xff\xff" + b"x" * 200, b"plain text"])
def test_another_format_is_told(data: bytes) -> None:
    with pytest.raises(SecretDamaged):
        vault().open(data, context=PLACE)


def test_vault_errors_can_be_told_and_hide_their_cause() -> None:
    with pytest.raises(ApplicationError) as caught:
        vault().open(vault().seal(SECRET, context="a"), context="b")

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
