"""Every operation of the OpenAPI, sent what fits its description and what does not, by everybody there is.

`make test` sends a few requests of each kind, always the same. ATTACK=full sends hundreds of each, and the borders of
every schema; ATTACK_SEED=n sends others.
"""

from collections.abc import Iterator

import pytest

from integrations_api.logs import configure_logging
from tests.support.attacking import Attacked, only_this_machine

pytestmark = pytest.mark.anyio

KINDS = {"who": {"access", "health"}, "what": {"integrations", "sync", "knowledge"}}


@pytest.fixture
def quiet() -> Iterator[None]:
    """Thousands of requests, a line for each: only warnings are written."""
    configure_logging(log_format="text", level="WARNING")
    yield
    configure_logging(log_format="text", level="INFO")


@pytest.mark.parametrize("kind", KINDS)
async def test_everybody_gets_what_is_documented_and_nobody_more_than_he_may(
    world: Attacked, kind: str, monkeypatch: pytest.MonkeyPatch, quiet: None
) -> None:
    from tests.support.openapi_attack import Attack, operations

    attack = Attack(world)

    with only_this_machine(monkeypatch):
        for operation in operations(KINDS[kind]):
            await attack.run(operation)

    assert attack.problems == {}
    assert attack.sent > 4 * len(attack.statuses)
