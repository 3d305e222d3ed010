"""Users and tokens as they are on the wire."""

from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from integrations_api.access.api_keys import ApiKeyDetails
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.service import UserDetails
from integrations_api.api.envelope import Success, Timestamp

_ID = "123e4567-e89b-12d3-a456-426614174000"
_USER: dict[str, Any] = {
    "id": _ID,
    "email": "ada@example.com",
    "permissions": ["integration.view", "knowledge.view"],
    "state": "active",
    "created_at": "2026-03-01T10:30:00Z",
    "disabled_at": None,
}
DISABLED_USER = _USER | {"state": "disabled", "disabled_at": "2026-03-02T08:15:00Z"}
_LINK: dict[str, Any] = {
    "url": "https://integrations.example.com/auth/invitation#iai_Zm9yIGV4YW1wbGU",
    "token": "iai_Zm9yIGV4YW1wbGU",
    "expires_at": "2026-03-04T10:30:00Z",
}
_PERMISSIONS = ["integration.view", "knowledge.view"]
_KEY: dict[str, Any] = {
    "id": "5f0c3c6e-9d5a-4f1c-8d0f-4d3b0a6d2c11",
    "name": "nightly export",
    "permissions": ["knowledge.view"],
    "created_at": "2026-03-01T10:30:00Z",
    "expires_at": "2026-05-30T10:30:00Z",
    "last_used_at": None,
}
LONGEST_PASSWORD = 4096
"""Characters that are read at all; what may be a password is decided in `passwords`."""

Password = Annotated[str, Field(max_length=LONGEST_PASSWORD, json_schema_extra={"format": "password"})]
Permissions = Annotated[list[str], Field(max_length=100, description="Permissions by name; none that you lack.")]


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": fields})


def _strict(**fields: Any) -> ConfigDict:
    return ConfigDict(strict=True, extra="forbid", json_schema_extra={"example": fields})


class TokenAnswer(Success):
    """A bearer token, as OAuth2 (RFC 6749, 5.1) spells it; `expires_in` is in seconds."""

    model_config = _example(
        success=True,
        access_token="eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOi…",  # noqa: S106 - an example
        token_type="bearer",  # noqa: S106 - the word the standard asks for
        expires_in=3600,
    )

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the word the standard asks for
    expires_in: int


class UserOnTheWire(BaseModel):
    """Who somebody is and what he may do."""

    id: UUID
    email: str
    permissions: list[Permission]

    @classmethod
    def of(cls, principal: Principal) -> "UserOnTheWire":
        """The caller himself."""
        return cls(id=principal.user_id, email=principal.email, permissions=sorted(principal.permissions))


class MeAnswer(Success):
    """The caller."""

    model_config = _example(
        success=True, user={"id": _ID, "email": "ada@example.com", "permissions": ["integration.view"]}
    )

    user: UserOnTheWire


class ManagedUser(BaseModel):
    """A user as those who manage users see him; `invited` means that he has not set a password yet."""

    id: UUID
    email: str
    permissions: list[Permission]
    state: Literal["active", "invited", "disabled"]
    created_at: Timestamp
    disabled_at: Timestamp | None

    @classmethod
    def of(cls, user: UserDetails) -> "ManagedUser":
        """The user as he is now."""
        return cls(
            id=user.id,
            email=user.email,
            permissions=sorted(user.permissions),
            state=user.state,
            created_at=user.created_at,
            disabled_at=user.disabled_at,
        )


class UserAnswer(Success):
    """One user."""

    model_config = _example(success=True, user=_USER)

    user: ManagedUser


class UsersAnswer(Success):
    """Users, by e-mail."""

    model_config = _example(success=True, users=[_USER], next_cursor=None)

    users: list[ManagedUser]
    next_cursor: str | None


class LinkOut(BaseModel):
    """A one-time link: whoever opens it sets the user's password, so send it to nobody else. Shown only now."""

    url: str
    token: str
    expires_at: Timestamp


class LinkAnswer(Success):
    """A user, and the link that is to be given to him."""

    model_config = _example(success=True, user={**_USER, "state": "invited"}, link=_LINK)

    user: ManagedUser
    link: LinkOut


class InviteRequest(BaseModel):
    """Whom to invite, and what he may do."""

    model_config = _strict(email="ada@example.com", permissions=_PERMISSIONS)

    email: Annotated[str, Field(max_length=300)]
    permissions: Permissions


class PermissionsRequest(BaseModel):
    """All a user may do from now on."""

    model_config = _strict(permissions=_PERMISSIONS)

    permissions: Permissions


class AcceptRequest(BaseModel):
    """The token of a one-time link, and the password to set."""

    model_config = _strict(token=_LINK["token"], password="a long sentence that only you know")  # noqa: S106

    token: Annotated[str, Field(max_length=200)]
    password: Password


class PasswordRequest(BaseModel):
    """The password that counts now, and the one that is to count."""

    model_config = _strict(
        current_password="the one you signed in with",  # noqa: S106 - an example
        new_password="a long sentence that only you know",  # noqa: S106 - an example
    )

    current_password: Password
    new_password: Password


class AuditEntryOut(BaseModel):
    """Who did what to which object, by which credential, from where, when."""

    id: int
    at: Timestamp
    actor: str
    actor_id: UUID | None
    credential: str | None
    action: str
    object_type: str
    object_id: str | None
    details: dict[str, Any]
    request_id: str | None
    address: str | None


AUDIT_ENTRY: dict[str, Any] = {
    "id": 42,
    "at": "2026-03-01T10:30:00Z",
    "actor": "ada@example.com",
    "actor_id": _ID,
    "credential": "token:5f0c3c6e-9d5a-4f1c-8d0f-4d3b0a6d2c11",
    "action": "integration.update",
    "object_type": "integration",
    "object_id": "550e8400-e29b-41d4-a716-446655440000",
    "details": {"service_name": "ServiceNow", "changed": [], "config_keys": ["password"]},
    "request_id": "5f0c3c6e9d5a4f1c8d0f4d3b0a6d2c11",
    "address": "192.0.2.7",
}


AUDIT_LINE = orjson.dumps(AUDIT_ENTRY).decode() + "\n"


class AuditAnswer(Success):
    """Audit entries, newest first."""

    model_config = _example(success=True, entries=[AUDIT_ENTRY], next_cursor=None)

    entries: list[AuditEntryOut]
    next_cursor: str | None


class ApiKeyRequest(BaseModel):
    """What the key is for, what it may do, and for how long."""

    model_config = _strict(name="nightly export", permissions=["knowledge.view"], expires_in_days=90)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    permissions: Annotated[list[str], Field(min_length=1, max_length=100, description="Some of your own, by name.")]
    expires_in_days: Annotated[int, Field(ge=1, le=366)] = 90


class ApiKeyOut(BaseModel):
    """A key without the key itself; `last_used_at` is right to within five minutes."""

    id: UUID
    name: str
    permissions: list[Permission]
    created_at: Timestamp
    expires_at: Timestamp
    last_used_at: Timestamp | None

    @classmethod
    def of(cls, key: ApiKeyDetails) -> "ApiKeyOut":
        """A key as its owner may see it."""
        return cls(
            id=key.id,
            name=key.name,
            permissions=sorted(key.permissions),
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
        )


class ApiKeysAnswer(Success):
    """A user's keys, newest first."""

    model_config = _example(success=True, api_keys=[_KEY])

    api_keys: list[ApiKeyOut]


class ApiKeyAnswer(Success):
    """One key."""

    model_config = _example(success=True, api_key=_KEY)

    api_key: ApiKeyOut


class NewApiKeyAnswer(Success):
    """A fresh key; `key` is shown only now."""

    model_config = _example(success=True, api_key=_KEY, key="iak_…")

    api_key: ApiKeyOut
    key: str
