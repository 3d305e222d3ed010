"""Users and tokens as they are on the wire."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.api.envelope import Success


class TokenAnswer(Success):
    """A bearer token, as OAuth2 (RFC 6749, 5.1) spells it; `expires_in` is in seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOi…",
                "token_type": "bearer",
                "expires_in": 3600,
            }
        }
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

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "user": {
                    "id": "123e4567-e89b-12d3-a456-426614174000",
                    "email": "ada@example.com",
                    "permissions": ["integration.view", "knowledge.view"],
                },
            }
        }
    )

    user: UserOnTheWire
