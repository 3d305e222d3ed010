"""Whatever config is sent, no secret value is in any answer, error, log line, audit row or plain column."""

import json
import string
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations_api.errors import InvalidInput
from integrations_api.integrations.configs import reassemble, split, split_edit
from tests.integrations.conftest import SERVICENOW, Room

CANARY = "cAnArY"
SECRET_KEYS = (
    "password", "PassWord", "db_password", "pass-phrase", "client_secret", "clientSecret", "x-api-key", "apikey",
    "API_KEY", "accessToken", "private-key", "Authorization", "aws_credentials", "ｐａｓｓｗｏｒｄ", "paßword token",
)  # fmt: skip

# A busy machine is no failure.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

plain_keys = st.text(st.sampled_from(string.ascii_lowercase + "/~. é"), min_size=1, max_size=6).filter(
    lambda key: key not in {"lastSynced", "url"}
)
leaves = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8).filter(lambda s: "\x00" not in s)
)
canaries = st.integers(0, 10**6).map(lambda n: f"{CANARY}{n}")


def trees(leaf: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


hidden = trees(canaries, st.text(st.sampled_from("xyz"), min_size=1, max_size=2).map(lambda key: CANARY + key))


@st.composite
def configs(draw: st.DrawFn, depth: int = 3) -> dict[str, Any]:
    """Objects in which everything that holds the canary stands under a secret key."""
    config: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(("plain", "secret", "object", "list")))
        if kind == "secret":
            config[draw(st.sampled_from(SECRET_KEYS))] = draw(hidden)
        elif kind == "plain" or depth == 0:
            config[draw(plain_keys)] = draw(leaves)
        else:
            inner = draw(configs(depth=depth - 1))
            config[draw(plain_keys)] = inner if kind == "object" else [inner, draw(leaves)]
    return config


@patient
@given(configs())
def test_a_config_is_shown_without_its_secrets_and_put_together_as_it_was(config: dict[str, Any]) -> None:
    taken = split(config, secret_names=())

    assert CANARY not in json.dumps(taken.public)
    assert json.dumps(reassemble(taken.public, taken.secrets)) == json.dumps(config)


@patient
@given(configs())
def test_what_is_shown_can_be_sent_back_and_keeps_every_secret(config: dict[str, Any]) -> None:
    taken = split(config, secret_names=())

    again = split_edit(taken.public, secret_names=(), stored=taken.secrets, before=taken.public, same_service=True)

    assert again.kept == set(taken.secrets)
    assert again.secrets == {}
    assert again.public == taken.public


@patient
@given(configs(), configs())
def test_an_edit_of_one_config_into_another_never_shows_a_secret(before: dict[str, Any], after: dict[str, Any]) -> None:
    old = split(before, secret_names=())
    try:
        new = split_edit(after, secret_names=(), stored=old.secrets, before=old.public, same_service=True)
        told = json.dumps(new.public)
    except InvalidInput as refused:
        told = refused.message + repr(refused.problems)

    assert CANARY not in told


@pytest.mark.anyio
async def test_nothing_that_leaves_over_http_holds_a_secret(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    for config in _examples(25):
        known = {**SERVICENOW, "config": {**config, **SERVICENOW["config"], "password": CANARY}}
        for body in ({**known, "service_name": f"Other {uuid4()}"}, known):
            created = await room.send("POST", "/integrations/create", body)
            path = created.headers.get("location", "/integrations/id/none")
            integration_id = path.rpartition("/")[2]
            update = f"/integrations/update/{integration_id}"
            edit = {**body, "config": {**body["config"], "token": {"deep": [CANARY]}}}
            answers = [
                created,
                await room.send("GET", path),
                await room.send("PUT", update, edit),
                await room.send(
                    "PUT", update, {**edit, "auth_type": "none", "config": {**edit["config"], "url": CANARY}}
                ),
                await room.send("PUT", update, {**edit, "is_active": CANARY}),
                await room.send("GET", "/integrations/all"),
                await room.send("DELETE", f"/integrations/delete/{integration_id}"),
            ]
            seen += [answer.text + repr(answer.headers) for answer in answers]
            assert created.status_code == 201, created.text
    audit = await room.rows("SELECT * FROM audit_entries")
    assert all(CANARY not in text for text in [*seen, repr(audit), *capfd.readouterr()])


def _examples(count: int) -> list[dict[str, Any]]:
    """Configs as hypothesis makes them: it drives no coroutines itself."""
    drawn: list[dict[str, Any]] = []

    @settings(patient, max_examples=count, database=None, derandomize=True)
    @given(configs())
    def collect(config: dict[str, Any]) -> None:
        drawn.append(config)

    collect()
    return drawn[:count]
