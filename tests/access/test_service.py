"""Users, sign-in, and changes that count at once."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from integrations_api.access.permissions import ROLES, Permission, Role
from integrations_api.audit.models import AuditEntry
from integrations_api.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from tests.support.applications import PASSWORD, LiveApp, live_app

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def test_a_user_signs_in_whatever_the_case_of_his_email(database_url: str) -> None:
    async with live_app(database_url) as live:
        await live.user(ROLES[Role.VIEWER], email="Ada@Example.com ")

        token = await live.access.sign_in(" ADA@example.COM", PASSWORD)
        principal = await live.access.authenticate(token.text)

    assert principal.email == "ada@example.com"
    assert principal.permissions == {Permission.INTEGRATION_VIEW, Permission.KNOWLEDGE_VIEW}
    assert principal.credential.startswith("token:")
    assert token.text not in principal.credential


async def _refusal(live: LiveApp, email: str, password: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await live.access.sign_in(email, password)
    return caught.value.message


async def test_every_wrong_sign_in_is_refused_alike(database_url: str) -> None:
    async with live_app(database_url) as live:
        email, gone = await live.user(), await live.user()
        await live.access.disable_user(gone)

        refusals = {
            await _refusal(live, email, "wrong password"),
            await _refusal(live, email, ""),
            await _refusal(live, "nobody@example.com", PASSWORD),
            await _refusal(live, "", PASSWORD),
            await _refusal(live, gone, PASSWORD),
            await _refusal(live, gone, "wrong password"),
            await _refusal(live, "x" * 10_000, "x" * 10_000),
        }

    assert refusals == {"Wrong e-mail or password"}


async def test_a_disabled_user_is_out_with_every_token_he_has(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        token = await live.access.issue_token(email, HOUR)
        disabled = await live.access.disable_user(email)

        with pytest.raises(Unauthenticated):
            await live.access.authenticate(token.text)
        with pytest.raises(Conflict, match="is disabled"):
            await live.access.issue_token(email, HOUR)
        again = await live.access.disable_user(email)

    assert disabled.disabled_at == again.disabled_at is not None


async def test_tokens_of_an_older_generation_are_void(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        token = await live.access.issue_token(email, HOUR)
        async with live.components[AsyncEngine].begin() as connection:
            await connection.execute(text("UPDATE users SET token_generation = token_generation + 1"))

        with pytest.raises(Unauthenticated):
            await live.access.authenticate(token.text)


async def test_a_token_of_a_deleted_user_is_void(database_url: str) -> None:
    async with live_app(database_url) as live:
        token = await live.access.issue_token(await live.user(), HOUR)
        async with live.components[AsyncEngine].begin() as connection:
            await connection.execute(text("DELETE FROM users"))

        with pytest.raises(Unauthenticated):
            await live.access.authenticate(token.text)


async def test_a_token_ends_with_its_lifetime(database_url: str) -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    async with live_app(database_url, clock=lambda: now) as live:
        token = await live.access.issue_token(await live.user(), HOUR)
        assert await live.access.authenticate(token.text)
        now += HOUR

        with pytest.raises(Unauthenticated):
            await live.access.authenticate(token.text)


async def test_the_life_of_a_signed_in_token_is_a_setting(database_url: str) -> None:
    async with live_app(database_url, access_token_minutes=7) as live:
        token = await live.access.sign_in(await live.user(), PASSWORD)

    assert token.lifetime == timedelta(minutes=7)


async def test_an_email_is_taken_once_in_any_case(database_url: str) -> None:
    async with live_app(database_url) as live:
        await live.user(email="ada@example.com")

        with pytest.raises(Conflict, match=r"There is a user ada@example\.com already"):
            await live.user(email="ADA@example.com")


UNSEEN = ["ada@example.com\u200b", "\u202eada@example.com", "ada\x9b@example.com"]


@pytest.mark.parametrize(
    "email", ["", "ada", "@example.com", "ada@", "a b@example.com", "ada@exa\0mple.com", "a@b@c", *UNSEEN]
)
async def test_a_malformed_email_is_malformed_input(database_url: str, email: str) -> None:
    async with live_app(database_url) as live:
        with pytest.raises(InvalidInput, match="email: must be an e-mail address"):
            await live.access.create_user(email=email, password=PASSWORD, permissions=[])


async def test_a_local_address_is_an_email(database_url: str) -> None:
    async with live_app(database_url) as live:
        assert await live.user(email="admin@localhost") == "admin@localhost"


async def test_unknown_permissions_are_named(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()

        with pytest.raises(InvalidInput) as caught:
            await live.access.set_permissions(email, ["integration.view", "root", "sudo"])

    first, second = (problem.message for problem in caught.value.problems)
    assert first.startswith("root is not a permission; those are integration.view, ")
    assert second.startswith("sudo is not a permission; ")


async def test_a_stored_permission_this_release_does_not_know_grants_nothing(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user([Permission.AUDIT_VIEW])
        token = await live.access.issue_token(email, HOUR)
        async with live.components[AsyncEngine].begin() as connection:
            await connection.execute(text("UPDATE users SET permissions = permissions || ARRAY['from.tomorrow']"))

        principal = await live.access.authenticate(token.text)

    assert principal.permissions == {Permission.AUDIT_VIEW}


async def test_a_user_nobody_knows_is_not_found(database_url: str) -> None:
    async with live_app(database_url) as live:
        for call in (
            live.access.disable_user("nobody@example.com"),
            live.access.set_permissions("nobody@example.com", []),
            live.access.issue_token("nobody@example.com", HOUR),
        ):
            with pytest.raises(NotFound, match=r"There is no user nobody@example\.com"):
                await call


async def test_users_are_listed_by_email(database_url: str) -> None:
    async with live_app(database_url) as live:
        for email in ("bob@example.com", "ada@example.com"):
            await live.user(email=email)
        await live.access.disable_user("bob@example.com")

        users = await live.access.list_users()

    assert [(user.email, user.disabled_at is None) for user in users] == [
        ("ada@example.com", True),
        ("bob@example.com", False),
    ]


async def test_what_happens_to_users_is_recorded_without_secrets(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        token = await live.access.sign_in(email, PASSWORD)
        await live.access.set_permissions(email, ["audit.view"], actor="ada@example.com")
        await live.access.issue_token(email, HOUR)
        await live.access.disable_user(email)
        async with live.components[async_sessionmaker]() as session:
            entries = list(await session.scalars(select(AuditEntry).order_by(AuditEntry.id)))

    assert [(entry.action, entry.actor) for entry in entries] == [
        ("user.create", "command line"),
        ("auth.sign_in", email),
        ("user.set_permissions", "ada@example.com"),
        ("auth.issue_token", "command line"),
        ("user.disable", "command line"),
    ]
    written = str([vars(entry) for entry in entries])
    assert PASSWORD not in written
    assert token.text not in written
    assert "argon2" not in written


def test_roles_are_presets_of_permissions() -> None:
    assert ROLES[Role.ADMIN] == set(Permission)
    assert ROLES[Role.VIEWER] == {"integration.view", "knowledge.view"}
    assert ROLES[Role.OPERATOR] == {
        "integration.view",
        "integration.create",
        "integration.edit",
        "integration.sync",
        "knowledge.view",
        "knowledge.rollback",
    }
