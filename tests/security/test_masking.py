"""Configs as bad as they come: whatever is taken is stored as it was sent, and its secrets are in no answer.

The disguises are chosen here, apart from the product's own tables. ATTACK=full tries hundreds of configs, ATTACK_SEED=n
others.
"""

import json
import os
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.integrations.conftest import SERVICENOW, Room, room

__all__ = ["room"]

pytestmark = pytest.mark.anyio

SEED = int(os.environ.get("ATTACK_SEED", "1"))
EXAMPLES = 400 if os.environ.get("ATTACK") == "full" else 10
CANARY = "cAnArY"
WORDS = ("password", "passphrase", "secret", "token", "apikey", "privatekey", "authorization", "credential")
LOOKALIKES = {"a": "аɑαᴀ", "c": "сᴄ", "e": "еεᴇ", "i": "іιı", "k": "кκᴋ", "n": "ոɴ", "o": "оοօᴏ0", "p": "рρᴘ",
    "r": "ʀɾ", "s": "ѕꜱ", "t": "тτᴛ", "u": "υսᴜ", "w": "ԝᴡ", "x": "хχ", "y": "уγ", "d": "ԁᴅ", "h": "һհ"}  # fmt: skip
UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\ufe0f\u3164\u115f\u180e\u2800 -_.~/\u0301\u0337\u20dd"
FAMILIES = {"fullwidth": 0xFF41 - 97, "bold": 0x1D41A - 97, "script": 0x1D4EA - 97, "circled": 0x24D0 - 97}


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """A secret's name as somebody would write it who wants it to be shown, or who copied it from anywhere."""
    letters = []
    for letter in draw(st.sampled_from(WORDS)):
        how = draw(st.sampled_from(("as it is", "as it is", "upper", "alike", "unseen", *FAMILIES)))
        if how in FAMILIES:
            letter = chr(ord(letter) + FAMILIES[how])
        letter = {"upper": letter.upper(), "alike": draw(st.sampled_from(LOOKALIKES.get(letter, letter)))}.get(
            how, letter
        )
        letters.append(letter + (draw(st.sampled_from(UNSEEN)) if how == "unseen" else ""))
    before, after = (draw(st.sampled_from(("", "x_", "мой ", "日", "2", "_"))) for _ in range(2))
    return f"{before}{''.join(letters)}{after}"


odd_keys = st.text(max_size=12).filter(lambda key: "\0" not in key and key not in {"url", "lastSynced"})
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=20).filter(lambda text: "\0" not in text)
canaries = st.integers(0, 10**9).map(lambda n: f"{CANARY}{n}")
hidden = st.recursive(canaries, lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(
    st.just(CANARY) | odd_keys, inner, min_size=1, max_size=2))  # fmt: skip
credentials_in_urls = canaries.map(lambda secret: f"https://user:{secret}@host.example.com/x")


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Wide, deep or both; all that holds the canary is secret by a key's name, or stands in a URL."""
    node: dict[str, Any] = draw(st.dictionaries(odd_keys, leaves | credentials_in_urls, max_size=5))
    node[draw(disguised())] = draw(hidden)
    for _ in range(draw(st.sampled_from((0, 1, 3, 7)))):
        wrapped: Any = [draw(leaves), node] if draw(st.booleans()) else node
        node = {draw(odd_keys): wrapped, draw(disguised()): draw(canaries)}
    if draw(st.booleans()):
        node |= {f"key {n}": n for n in range(draw(st.sampled_from((10, 100, 150))))}
    return node


def drawn() -> list[dict[str, Any]]:
    """Hypothesis drives no coroutines itself."""
    found: list[dict[str, Any]] = []

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(configs())
    def collect(config: dict[str, Any]) -> None:
        found.append(config)

    collect()
    return found


async def everything_shown(room: Room, config: dict[str, Any], name: str) -> tuple[str | None, list[str]]:
    """The id under which it was stored, if it was, and every answer there is about it."""
    body = {**SERVICENOW, "service_name": name, "config": config}
    created = await room.send("POST", "/integrations/create", body)
    answers = [created, await room.send("POST", "/integrations/test", body)]
    id_ = created.json()["integration"]["id"] if created.status_code == 201 else None
    if id_ is not None:
        shown = created.json()["integration"]
        answers += [
            await room.send("GET", f"/integrations/id/{id_}"),
            await room.send("GET", f"/integrations/secrets/{id_}"),
            await room.send("PUT", f"/integrations/update/{id_}", shown),
            await room.send("PUT", f"/integrations/update/{id_}", {**shown, "is_active": CANARY}),
            await room.send("PUT", f"/integrations/update/{id_}", {**shown, "auth_type": CANARY}),
            await room.send("POST", f"/integrations/preview/{id_}", {**shown, "config": config}),
            await room.send("GET", f"/integrations/preview/{id_}"),
            await room.send("POST", f"/integrations/test/{id_}"),
        ]
        if name != "ServiceNow":  # That one would wait for a worker.
            answers.append(await room.send("POST", f"/integrations/sync/{id_}"))
    assert [answer.text for answer in answers if answer.status_code == 500] == []
    return id_, [f"{answer.request.url.path}: {answer.text} {answer.headers}" for answer in answers]


async def test_what_is_taken_is_kept_as_it_was_sent_and_shown_without_its_secrets(
    room: Room, capfd: pytest.CaptureFixture[str]
) -> None:
    taken, seen = 0, []

    for number, config in enumerate(drawn()):
        # Refused before anything is asked: plain http, or an address of this machine.
        known = {**SERVICENOW["config"], **config, "url": "https://127.0.0.1:1", "password": CANARY}
        chosen, name = (known, "ServiceNow") if number % 3 == 0 else (config, f"Other {number}")
        id_, answers = await everything_shown(room, chosen, name)
        seen += answers
        if id_ is not None:
            taken += 1
            assert json.dumps((await room.stored(id_)).config) == json.dumps(chosen)
    seen += [
        (await room.send("GET", path)).text for path in ("/integrations/all", "/audit?limit=1000", "/audit/export")
    ]

    assert taken > EXAMPLES * 0.6
    texts = [*seen, *capfd.readouterr()]
    leaks = [text[:2000] for text in texts if CANARY in unicodedata.normalize("NFKC", text).replace("\\u200b", "")]
    assert leaks == []


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "9" * 300])
@pytest.mark.parametrize("place", ['{"n": %s}', '{"deep": [{"n": %s}]}', '{"token": %s}', '{"token": {"n": [%s]}}'])
async def test_a_whole_number_that_would_come_back_as_another_is_refused(room: Room, number: str, place: str) -> None:
    body = json.dumps({**SERVICENOW, "service_name": "Other", "config": "HERE"}).replace('"HERE"', place % number)
    headers = {**room.admin, "Content-Type": "application/json"}

    answer = await room.app.client.post("/integrations/create", content=body, headers=headers)

    assert answer.status_code == 422
    assert answer.json()["message"].endswith("must be a number of at most 64 bits")
    assert number not in answer.text


async def test_the_greatest_and_the_least_number_come_back_as_they_were_sent(room: Room) -> None:
    config = {"most": 2**64 - 1, "least": -(2**63), "float": 1e300, "text": "1" * 30}

    created = await room.create(service_name="Other", config=config)

    assert created["config"] == config
    assert json.dumps((await room.stored(created["id"])).config) == json.dumps(config)
