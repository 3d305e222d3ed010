"""Passwords are argon2id, bounded, and cost the same whoever asks."""

import asyncio
import threading
import unicodedata

import pytest
from passlib.context import CryptContext

from integrations_api.access import passwords as module
from integrations_api.access.passwords import HashCost, Passwords
from integrations_api.errors import InvalidInput, Unavailable
from tests.support.applications import CHEAP, PASSWORD
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords of all verifications that reach argon2."""
    seen: list[str] = []
    real = CryptContext.verify

    def verify(context: CryptContext, plain: str, stored: str) -> bool:
        seen.append(plain)
        return real(context, plain, stored)

    monkeypatch.setattr(CryptContext, "verify", verify)
    return seen


async def test_the_right_password_fits_and_others_do_not() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash(PASSWORD)

    assert stored.startswith("$argon2id$")
    assert await passwords.verify(PASSWORD, stored)
    assert not await passwords.verify(PASSWORD + "x", stored)
    assert not await passwords.verify("", stored)


async def test_the_same_keys_pressed_on_another_system_fit() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash(unicodedata.normalize("NFC", "crème brûlée, twice"))

    assert await passwords.verify(unicodedata.normalize("NFD", "crème brûlée, twice"), stored)


@pytest.mark.parametrize(
    ("password", "fits"), [("kwv xzbfj qm", True), ("kwv xzbfj q", False), ("kwv xzbfj qm " * 78 + "end", True)]
)
async def test_new_passwords_have_at_least_twelve_characters(password: str, fits: bool) -> None:
    if fits:
        assert await Passwords(CHEAP).hash(password)
    else:
        with pytest.raises(InvalidInput, match="at least 12 characters"):
            await Passwords(CHEAP).hash(password)


@pytest.mark.parametrize("password", ["x" * 1025, "é" * 513])
async def test_new_passwords_have_at_most_1024_bytes(password: str) -> None:
    with pytest.raises(InvalidInput, match="at most 1024 bytes") as caught:
        await Passwords(CHEAP).hash(password)

    assert password not in str(caught.value)


@pytest.mark.parametrize("password", [PASSWORD, "wrong", "", "x" * 100_000])
async def test_an_unknown_user_costs_one_verification_like_a_known_one(password: str, verified: list[str]) -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash(PASSWORD)

    await passwords.verify(password, stored)
    known = len(verified)
    fits = await passwords.verify(password, None)

    assert (known, len(verified)) == (1, 2)
    assert not fits


async def test_an_oversized_password_is_not_hashed_itself(verified: list[str]) -> None:
    passwords = Passwords(CHEAP)

    assert not await passwords.verify("x" * 1025, await passwords.hash(PASSWORD))
    assert verified == [""]


async def test_a_password_of_1024_bytes_fits_however_its_accents_are_typed() -> None:
    passwords = Passwords(CHEAP)
    longest = "x" + "".join(chr(0x1EA4 + n % 53) for n in range(341))  # Nearly all are three letters when taken apart.

    stored = await passwords.hash(longest)

    assert len(longest.encode()) == 1024
    assert await passwords.verify(unicodedata.normalize("NFD", longest), stored)


@pytest.mark.parametrize("cost", [CHEAP, HashCost()])
async def test_the_decoy_costs_what_a_real_hash_costs(cost: HashCost) -> None:
    passwords = Passwords(cost)
    real = await passwords.hash(PASSWORD)

    assert passwords._decoy.split("$")[1:4] == real.split("$")[1:4]
    assert len(passwords._decoy) == len(real)
    assert not await passwords.verify(PASSWORD, None)


async def test_only_two_are_hashed_at_a_time_and_never_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(CHEAP)
    threads: set[int] = set()
    release = threading.Event()

    def verify(_: CryptContext, plain: str, stored: str) -> bool:
        threads.add(threading.get_ident())
        return release.wait(PATIENCE)

    monkeypatch.setattr(CryptContext, "verify", verify)
    try:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(passwords.verify(PASSWORD, "stored"))
            # anyio tells the waiting ones by number only, so there is no event to wait for.
            while passwords._limiter.statistics().tasks_waiting < 6 or len(threads) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
            at_work = set(threads)
            release.set()
    finally:
        release.set()

    assert len(at_work) == 2
    assert threading.get_ident() not in threads


async def test_who_waits_too_long_for_his_turn_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(CHEAP)
    release = threading.Event()
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    monkeypatch.setattr(CryptContext, "verify", lambda *_: release.wait(PATIENCE))
    try:
        at_work = [asyncio.create_task(passwords.verify(PASSWORD, "stored")) for _ in range(2)]
        while passwords._limiter.borrowed_tokens < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)

        with pytest.raises(Unavailable, match="Too many people are signing in"):
            await passwords.verify(PASSWORD, "stored")
    finally:
        release.set()
    await asyncio.gather(*at_work, return_exceptions=True)


def test_nothing_but_argon2_is_accepted() -> None:
    context: CryptContext = Passwords(CHEAP)._context

    assert context.schemes() == ("argon2",)
    assert module.HashCost() == HashCost(memory_kib=65536, passes=3, lanes=4)


COMMON = [
    "password2026", "Password2026!", "P@ssw0rd2026", "passwordpassword", "AdminPassword1!", "Welcome12345!",
    "iloveyou1987",
    "aaaaaaaaaaaa", "abababababab", "abcdefghijkl", "qwertyuiop[]", "123456789012", "1qaz2wsx3edc", "Summer-2026!",
    "letmeinletmein1", "changeme12345", "administrator", "ServiceNow2026", "integrations1!", "test test test 1",
    "zyxwvutsrqpo",
]  # fmt: skip
OWN = [
    PASSWORD, "x7#Kp2!qLm9$", "8#2!9$4@7%1^", "my dog eats green apples", "Zwölf Boxkämpfer jagen", "это длинная фраза",
    "the password is not this one", "kwvxzbfjqmtu", "4c1f8d0f4d3b",
]  # fmt: skip


@pytest.mark.parametrize("password", COMMON)
async def test_what_anybody_would_try_first_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput, match="anybody would try") as caught:
        await Passwords(CHEAP).hash(password)

    assert password not in str(caught.value)


@pytest.mark.parametrize("password", OWN)
async def test_a_sentence_or_random_characters_are_taken(password: str) -> None:
    assert await Passwords(CHEAP).hash(password)


async def test_a_hash_is_renewed_only_when_the_cost_has_changed() -> None:
    cheap, dearer = Passwords(CHEAP), Passwords(HashCost(memory_kib=16, passes=1, lanes=1))
    stored = await cheap.hash(PASSWORD)

    renewed = await dearer.renewed(PASSWORD, stored)

    assert await cheap.renewed(PASSWORD, stored) is None
    assert renewed is not None
    assert "m=16," in renewed
    assert await dearer.verify(PASSWORD, renewed)
