"""What the integrations room reads and writes on the wire, in the contract's names and order."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from integrations_api.api.envelope import Success, Timestamp
from integrations_api.clock import to_wire
from integrations_api.connectors.registry import find_service
from integrations_api.db.direct import Row
from integrations_api.integrations.last_synced import KEY as LAST_SYNCED
from integrations_api.integrations.models import Integration
from integrations_api.wording import one_of

AuthType = Literal["basic_auth", "api_token", "oauth2"]

_EXAMPLE_CONFIG = {"url": "https://dev12345.service-now.com", "username": "admin", "password": "your_password"}
CREATE_EXAMPLE: dict[str, Any] = {
    "service_name": "ServiceNow",
    "auth_type": "basic_auth",
    "config": _EXAMPLE_CONFIG,
    "is_active": True,
}
UPDATE_EXAMPLE: dict[str, Any] = {
    "service_name": "ServiceNow Production",
    "auth_type": "basic_auth",
    "config": {"url": "https://prod.service-now.com", "username": "admin", "password": "new_password"},
    "is_active": True,
}
INTEGRATION_EXAMPLE: dict[str, Any] = {
    "id": "550e8400-e29b-41d4-a716-446655440000",
    "service_name": "ServiceNow",
    "auth_type": "basic_auth",
    "config": {
        "url": "https://dev12345.service-now.com",
        "username": "admin",
        "password": "********",
        "lastSynced": "2026-03-01T10:30:00Z",
    },
    "is_active": True,
    "last_synced_at": "2026-03-01T10:30:00Z",
    "last_sync_status": "success",
    "last_sync_error": None,
    "updated_at": "2026-03-01T10:30:00Z",
    "user_id": "123e4567-e89b-12d3-a456-426614174000",
    "next_sync_at": None,
    "running_run_id": None,
    "schedule": None,
    "paused": None,
    "needs_connection": None,
}
CREATED_EXAMPLE: dict[str, Any] = {
    **INTEGRATION_EXAMPLE,
    "config": {**_EXAMPLE_CONFIG, "password": "********"},
    "last_synced_at": None,
    "last_sync_status": None,
}
UPDATED_EXAMPLE: dict[str, Any] = {
    **INTEGRATION_EXAMPLE,
    "service_name": UPDATE_EXAMPLE["service_name"],
    "config": {**UPDATE_EXAMPLE["config"], "password": "********"},
    "updated_at": "2026-03-01T11:45:00Z",
}


class IntegrationOut(BaseModel):
    """One configured connection. The first ten fields are the contract's; secrets in `config` show as ********."""

    model_config = ConfigDict(json_schema_extra={"examples": [INTEGRATION_EXAMPLE]})

    id: UUID
    service_name: str
    auth_type: AuthType
    config: dict[str, Any]
    is_active: bool
    last_synced_at: Timestamp | None
    last_sync_status: Literal["success", "error"] | None
    last_sync_error: str | None
    updated_at: Timestamp
    user_id: UUID | None
    next_sync_at: Timestamp | None
    running_run_id: UUID | None
    schedule: "ScheduleOut | None"
    paused: Annotated[str | None, Field(description="Why the schedule stands still; set it again to resume")]
    needs_connection: Annotated[
        str | None,
        Field(
            description="Why somebody has to sign in at the service (again): POST /integrations/oauth/{id}/authorize"
        ),
    ]


class ScheduleOut(BaseModel):
    """When an integration is synced by itself."""

    cron: str
    time_zone: str


class ScheduleIn(BaseModel):
    """Five cron fields (minute hour day month weekday) and the zone they are meant in; null ends the schedule."""

    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra={"examples": [{"cron": "0 6 * * 1-5", "time_zone": "UTC"}]}
    )

    cron: Annotated[str | None, Field(max_length=200)]
    time_zone: Annotated[str, Field(max_length=100)] = "UTC"


_READ_ONLY = frozenset(IntegrationOut.model_fields) - {"service_name", "auth_type", "config", "is_active"}


class IntegrationIn(BaseModel):
    """A whole integration as a client sends it, to create one or to replace all of one.

    What only the service writes (`id`, `last_synced_at`, …) is passed over, so that an integration that was read
    can be edited and written back; any other field is refused.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    service_name: Annotated[str, Field(min_length=1, max_length=200, description="The first word picks the connector")]
    auth_type: AuthType
    config: Annotated[dict[str, Any], Field(description="Which keys a service needs: GET /integrations/services")]
    is_active: bool

    @model_validator(mode="before")
    @classmethod
    def _pass_over_read_only_fields(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        return {key: value for key, value in sent.items() if key not in _READ_ONLY}

    @field_validator("service_name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not name.strip():
            raise ValueError("must not be blank")
        if not name.isprintable():
            raise ValueError("must not contain control characters")
        return name

    @field_validator("auth_type", mode="before")
    @classmethod
    def _is_known_to_the_service(cls, sent: Any, info: ValidationInfo) -> Any:
        """One that nobody knows is answered with those of the service that was named, and not with everybody's."""
        known = find_service(info.data.get("service_name", ""))
        if known is not None and sent not in get_args(AuthType):
            raise ValueError(f"must be {one_of(map(repr, known.auth_types))}")
        return sent


class IntegrationAnswer(Success):
    """One integration."""

    integration: IntegrationOut


class IntegrationsAnswer(Success):
    """All integrations, newest first; `next_cursor` only where a page was asked for."""

    integrations: list[IntegrationOut]
    next_cursor: Annotated[str | None, Field(description="Only where `limit` or `cursor` was sent")] = None


class SecretOut(BaseModel):
    """That a secret is set, and since when."""

    name: Annotated[str, Field(description="Its place, such as `config.password`")]
    set_at: Timestamp


class SecretsAnswer(Success):
    """The secrets of an integration that are set, by name."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"success": True, "secrets": [{"name": "config.password", "set_at": "2026-03-01T10:30:00Z"}]}
        }
    )

    secrets: list[SecretOut]


class AuthTypeOut(BaseModel):
    """One way to sign in at a service, and the config it takes."""

    auth_type: AuthType
    config_schema: Annotated[dict[str, Any], Field(alias="schema", description="JSON Schema; writeOnly marks secrets")]
    redirect_uri: Annotated[
        str | None, Field(description="Only of oauth2: what to register at the service where somebody signs in there")
    ] = None


class ServiceOut(BaseModel):
    """A service that can be synchronised."""

    service_name: str
    auth_types: list[AuthTypeOut]


class ServicesAnswer(Success):
    """Every service there is a connector for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "services": [
                        {
                            "service_name": "ServiceNow",
                            "auth_types": [
                                {
                                    "auth_type": "basic_auth",
                                    "schema": {
                                        "type": "object",
                                        "required": ["url", "username", "password"],
                                        "properties": {
                                            "url": {"type": "string", "title": "Instance URL"},
                                            "username": {"type": "string", "title": "User name"},
                                            "password": {"type": "string", "title": "Password", "writeOnly": True},
                                        },
                                    },
                                }
                            ],
                        }
                    ],
                }
            ]
        }
    )

    services: list[ServiceOut]


def columns_of(integration: Integration) -> dict[str, Any]:
    """What a session read, for `present`."""
    return {column.name: getattr(integration, column.name) for column in Integration.__table__.columns}


def present(row: Row | Mapping[str, Any], *, running_run_id: UUID | None) -> dict[str, Any]:
    """An integration as it leaves, in answers and in the sync's `complete` event: JSON values only, in order.

    Columns are asked for as items: as attributes of a `Row` they took half the time of the answer to a list.
    """
    return {
        "id": str(row["id"]),
        "service_name": row["service_name"],
        "auth_type": row["auth_type"],
        "config": _shown_config(row["config"], row["shown_last_synced"]),
        "is_active": row["is_active"],
        "last_synced_at": to_wire(row["last_synced_at"]),
        "last_sync_status": row["last_sync_status"],
        "last_sync_error": row["last_sync_error"],
        "updated_at": to_wire(row["updated_at"]),
        "user_id": None if row["user_id"] is None else str(row["user_id"]),
        "next_sync_at": to_wire(row["next_sync_at"] if row["is_active"] else None),
        "running_run_id": None if running_run_id is None else str(running_run_id),
        "schedule": _schedule(row),
        "paused": row["paused_reason"],
        "needs_connection": row["needs_connection"],
    }


def _schedule(row: Row | Mapping[str, Any]) -> dict[str, Any] | None:
    if row["schedule_cron"] is None:
        return None
    return {"cron": row["schedule_cron"], "time_zone": row["schedule_zone"]}


def _shown_config(config: dict[str, Any], last_synced: datetime | None) -> dict[str, Any]:
    return config if last_synced is None else {**config, LAST_SYNCED: to_wire(last_synced)}
