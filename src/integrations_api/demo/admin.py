"""The demo's administrator: made once, his password kept, so that every start prints the same."""

import secrets
from pathlib import Path

from msgspec import Struct

from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.demo.keeping import read_json, write_private
from integrations_api.errors import Unauthenticated

EMAIL = "admin@example.com"


class Admin(Struct, frozen=True):
    """How to sign in."""

    email: str
    password: str


async def ensure_admin(access: AccessService, folder: Path) -> Admin:
    """The administrator of the last start if he still can sign in, else a new one."""
    path = folder / "admin.json"
    kept = read_json(path)
    admin = Admin(str(kept.get("email", EMAIL)), str(kept.get("password", secrets.token_urlsafe(12))))
    taken = {user.email for user in await access.list_users()}
    if admin.email in taken:
        if await _can_sign_in(access, admin):
            return admin
        # Somebody of that name is there, and the password is not known here (any more).
        admin = Admin(f"admin-{secrets.token_hex(3)}@example.com", secrets.token_urlsafe(12))
    write_private(path, {"email": admin.email, "password": admin.password})
    await access.create_user(email=admin.email, password=admin.password, permissions=ROLES[Role.ADMIN])
    return admin


async def _can_sign_in(access: AccessService, admin: Admin) -> bool:
    try:
        await access.sign_in(admin.email, admin.password)
    except Unauthenticated:
        return False
    return True
