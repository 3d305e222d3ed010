"""The permissions, and the roles that are presets of them."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from integrations_api.errors import FieldProblem, InvalidInput


class Permission(StrEnum):
    """What a user may do; each route names one."""

    INTEGRATION_VIEW = "integration.view"
    INTEGRATION_CREATE = "integration.create"
    INTEGRATION_EDIT = "integration.edit"
    INTEGRATION_DELETE = "integration.delete"
    INTEGRATION_SYNC = "integration.sync"
    KNOWLEDGE_VIEW = "knowledge.view"
    KNOWLEDGE_ROLLBACK = "knowledge.rollback"
    KNOWLEDGE_PURGE = "knowledge.purge"
    USER_MANAGE = "user.manage"
    AUDIT_VIEW = "audit.view"


class Role(StrEnum):
    """A name for a usual set of permissions; only the permissions are stored."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


_VIEWER = frozenset({Permission.INTEGRATION_VIEW, Permission.KNOWLEDGE_VIEW})
_OPERATOR = _VIEWER | {
    Permission.INTEGRATION_CREATE,
    Permission.INTEGRATION_EDIT,
    Permission.INTEGRATION_SYNC,
    Permission.KNOWLEDGE_ROLLBACK,
}

ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.OPERATOR: _OPERATOR,
    Role.VIEWER: _VIEWER,
}


_BY_NAME = {permission.value: permission for permission in Permission}


def parse_permissions(names: Iterable[str]) -> frozenset[Permission]:
    """The permissions of these names. Raises `InvalidInput` that lists the unknown ones."""
    names = list(names)
    unknown = [name for name in names if name not in _BY_NAME]
    if unknown:
        those = f"is not a permission; those are {', '.join(_BY_NAME)}"
        raise InvalidInput.of([FieldProblem("permissions", f"{name} {those}") for name in unknown])
    return frozenset(_BY_NAME[name] for name in names)


def known_permissions(names: Iterable[str]) -> frozenset[Permission]:
    """Those of the stored names that this release knows; others grant nothing."""
    return frozenset(_BY_NAME[name] for name in names if name in _BY_NAME)
