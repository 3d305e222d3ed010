"""The operator's page names every metric that is given, and no other."""

import re
from pathlib import Path

import pytest

from integrations_api.operations.exposition import Exposition
from tests.support.applications import live_app

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


async def test_every_metric_is_documented_and_no_other(database_url: str) -> None:
    async with live_app(database_url) as live:
        families = await live.components[Exposition].families()
    given = {family.name + "_total" * (family.type == "counter") for family in families}
    named = set(re.findall(r"`(integrations_[a-z_]+)`", PAGE.read_text(encoding="utf-8")))

    assert named == {name for name in given if not name.startswith("process_")}
