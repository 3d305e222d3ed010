"""Whether somebody has to sign in at the service, and what follows from an edit or a sign-in. Pure."""

from datetime import datetime
from typing import Any

from integrations_api.db.direct import Row
from integrations_api.integrations.applications import application_of, not_connected
from integrations_api.integrations.drafts import Draft
from integrations_api.integrations.for_sync import IntegrationForSync
from integrations_api.integrations.models import Integration
from integrations_api.integrations.schedules import Schedule


def needs_connection(draft: Draft) -> str | None:
    """Why somebody has to connect what is as this draft says, and new."""
    application = draft.application
    return not_connected(application.service) if application and application.needs_a_person else None


def keeps_tokens(before: Integration | IntegrationForSync | Row, draft: Draft) -> bool:
    """Whether what somebody signed in for goes on being good. Other tokens are soon got anew, by the new config."""
    old, new = application_of(before.service_name, before.auth_type, before.config), draft.application
    return old is not None and new is not None and old.id == new.id and new.needs_a_person


def may_have_tokens(before: Integration | Row, draft: Draft) -> bool:
    """Whether an edit can meet tokens: there are none but of integrations that sign in by oauth2."""
    return "oauth2" in (before.auth_type, draft.auth_type)


def connected_values(row: Integration | Row, *, needs: str | None, now: datetime) -> dict[str, Any]:
    """What changes in an integration that was connected, or for which (`needs`) somebody has to do that.

    A schedule that stood still for want of it goes on, or goes on standing still.
    """
    values: dict[str, Any] = {"needs_connection": needs}
    if row.schedule_cron is None or row.paused_reason is None or row.paused_reason != row.needs_connection:
        return values
    if needs is not None:
        values["paused_reason"] = needs
    else:
        schedule = Schedule(cron=row.schedule_cron, time_zone=row.schedule_zone or "UTC")
        values |= {"paused_reason": None, "next_sync_at": schedule.next_after(now), "failures_in_a_row": 0}
    return values
