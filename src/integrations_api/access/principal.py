"""Who is calling."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from integrations_api.access.permissions import Permission
from integrations_api.errors import PermissionDenied


class Principal(Struct, frozen=True):
    """An authenticated caller, as the database knew him when the request began."""

    user_id: UUID
    email: str
    permissions: frozenset[Permission]
    credential: str
    """What he showed, fit for logs and audit: `token:<id>`, `key:<id>`, `ticket:<hash>`; never the thing itself."""
    expires_at: datetime | None = None
    """When the bearer token ends that he showed; of an API key its row tells."""

    @property
    def api_key_id(self) -> UUID | None:
        """The API key he showed, if it was one."""
        kind, _, id_ = self.credential.partition(":")
        return UUID(id_) if kind == "key" else None

    @property
    def is_person(self) -> bool:
        """Whether he signed in himself, rather than a script with an API key."""
        return self.credential.startswith("token:")

    def demand(self, permission: Permission) -> None:
        """Raises `PermissionDenied` unless the caller has the permission."""
        if permission not in self.permissions:
            raise PermissionDenied(permission, by=self)
