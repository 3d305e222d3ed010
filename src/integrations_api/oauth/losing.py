"""Access that ended for good: said once, in words, wherever an administrator looks."""

from typing import Any

from integrations_api.audit import service as audit
from integrations_api.db.engine import Sessions
from integrations_api.integrations.applications import application_of, not_connected
from integrations_api.integrations.repository import find as find_integration
from integrations_api.oauth import repository
from integrations_api.oauth.subject import Subject


def words_for(subject: Subject, *, generation: int, had_refresh_token: bool) -> str:
    """Why somebody has to sign in (again)."""
    service = subject.application.service
    if generation == 0:
        return not_connected(service)
    if had_refresh_token:
        return f"Needs to be connected again: {service} refused to renew the access"
    return f"Needs to be connected again: the access to {service} has ended, and there is nothing to renew it with"


async def mark_lost(sessions: Sessions, subject: Subject, *, why: str, generation: int) -> None:
    """Writes it down at the integration, and pauses its schedule: trying again would help nobody.

    Does nothing where it was edited, or connected again, since `generation` of its tokens.
    """
    async with sessions.begin() as session:
        row = await find_integration(session, subject.integration_id, lock=True)
        tokens = await repository.find_tokens(session, subject.integration_id)
        if row is None or row.needs_connection == why or (tokens is not None and tokens.generation != generation):
            return
        application = application_of(row.service_name, row.auth_type, row.config)
        if application is None or application.id != subject.application.id:
            return
        row.needs_connection = why
        if row.schedule_cron is not None and row.paused_reason is None:
            row.paused_reason, row.next_sync_at = why, None
        details: dict[str, Any] = {"service_name": row.service_name, "reason": why}
        await audit.record(
            session, action="integration.disconnected", object_type="integration", object_id=row.id,
            actor="oauth", details=details,
        )  # fmt: skip
