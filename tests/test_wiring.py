"""The composition root gives working parts, and refuses to start on what is unsafe."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.access.service import AccessService
from integrations_api.components import Components
from integrations_api.errors import ConfigurationError
from integrations_api.settings import Settings
from integrations_api.vault.cipher import Vault
from integrations_api.wiring import assemble, require_schema
from tests.support.applications import settings_for
from tests.support.processes import PATIENCE
from tests.support.silence import forgetful_network

pytestmark = pytest.mark.anyio


async def test_the_parts_are_there_and_work(database_url: str) -> None:
    async with assemble(settings_for(database_url)) as components:
        await require_schema(components[AsyncEngine])
        sealed = components[Vault].seal("secret", context="place")

        assert components[Vault].open(sealed, context="place") == "secret"
        assert await components[AccessService].list_users() == []


async def test_the_parts_are_closed_though_the_database_has_fallen_silent(database_url: str) -> None:
    async with (
        forgetful_network(database_url) as network,
        asyncio.timeout(PATIENCE),
        assemble(settings_for(network.url)) as components,
    ):
        await require_schema(components[AsyncEngine])
        network.forget()


async def test_an_older_schema_is_told_with_the_command_that_helps(empty_database_url: str) -> None:
    async with assemble(settings_for(empty_database_url)) as components:
        with pytest.raises(
            ConfigurationError, match=r"The database has no schema yet, .*run `integrations-api migrate`"
        ):
            await require_schema(components[AsyncEngine])


async def test_an_external_database_without_secrets_stops_the_start(database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY is required with DATABASE_URL"):
        async with assemble(settings_for(database_url, secret_key=None)):
            pass


async def test_without_any_database_the_start_stops() -> None:
    chosen = settings_for("")
    bundled = Settings(_env_file=None, secret_key=chosen.secret_key, encryption_keys=chosen.encryption_keys)

    with pytest.raises(ConfigurationError, match="No database"):
        async with assemble(bundled):
            pass


def test_a_missing_part_and_a_second_one_are_named() -> None:
    components = Components()
    components.add("text")

    with pytest.raises(LookupError, match="No int among the components"):
        components[int]
    with pytest.raises(ValueError, match="There is a str among the components already"):
        components.add("again")
    assert str in components
    assert int not in components
