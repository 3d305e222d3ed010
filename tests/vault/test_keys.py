"""Keys are read strictly, and an error names the id, never the key."""

import base64

import pytest

from integrations_api.errors import ConfigurationError
from integrations_api.vault.errors import UnknownKey
from integrations_api.vault.keys import KeyRing, generate_key


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


CANARY = b64(b"canary canary canary canary 32 b")
GOOD = b64(bytes(range(100, 132)))


def test_the_first_key_seals_and_all_are_found() -> None:
    ring = KeyRing.parse(f" new:{GOOD} , old-1:{CANARY},")

    assert ring.primary.id == "new"
    assert ring.ids == ("new", "old-1")
    assert ring["old-1"].material == base64.b64decode(CANARY)


def test_generated_keys_are_read_and_differ() -> None:
    first, second = generate_key(), generate_key()

    assert len(KeyRing.parse(f"{first},{second}").ids) == 2


WRONG = [
    ("", "no key given"),
    (" , ", "no key given"),
    (CANARY, "entry 1 is not of the form"),
    (f"a:{GOOD},{CANARY}", "entry 2 is not of the form"),
    (f"{CANARY}:a", "entry 1 is not of the form"),
    (f":{CANARY}", "entry 1 is not of the form"),
    (f"a b:{CANARY}", "entry 1 is not of the form"),
    ("k1:canary", "the key k1 is not valid base64"),
    (f"k1:{CANARY}!", "the key k1 is not valid base64"),
    (f"k1:{b64(b'canary')}", "the key k1 has 6 bytes instead of 32"),
    ("k1:", "the key k1 has 0 bytes instead of 32"),
    (f"k1:{GOOD},k1:{CANARY}", "the id k1 is given more than once"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_a_malformed_ring_stops_with_words_that_do_not_hold_the_key(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyRing.parse(text)

    assert caught.value.message.startswith("ENCRYPTION_KEYS: ")
    assert words in caught.value.message
    assert "canary" not in caught.value.message
    assert CANARY not in caught.value.message
    assert caught.value.__cause__ is None


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(UnknownKey, match="needs the encryption key gone"):
        KeyRing.parse(f"a:{GOOD}")["gone"]


def test_a_ring_shows_its_ids_only() -> None:
    ring = KeyRing.parse(f"a:{CANARY}")

    shown = f"{ring!r} {ring} {ring.primary!r} {vars(ring)}"
    assert CANARY not in shown
    assert "canary" not in shown
