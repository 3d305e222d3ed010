"""What a GitHub holds: repositories, issues, comments. Times are whole seconds since the epoch."""

import base64

from msgspec import Struct, field


def node_id(kind: str, *numbers: int) -> str:
    """An opaque global id, such as `I_kwDO…`."""
    packed = b"".join(number.to_bytes(6, "big") for number in numbers)
    return f"{kind}_kwDO{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"


class Comment(Struct):
    """`author` is a login, empty for an account that was deleted."""

    id: int
    body: str
    author: str
    created: int
    updated: int


class Issue(Struct):
    """An issue or, with `is_pull`, a pull request: both are numbered together."""

    id: int
    number: int
    repository_id: int
    title: str
    body: str | None
    author: str
    created: int
    updated: int
    is_pull: bool = False
    state: str = "open"
    state_reason: str | None = None
    closed: int | None = None
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    milestone: str | None = None
    locked: bool = False
    comments: list[Comment] = field(default_factory=list)

    @property
    def node_id(self) -> str:
        return node_id("PR" if self.is_pull else "I", self.repository_id, self.id)


class Repository(Struct):
    """`gone` are the numbers of deleted issues, `moved` those of transferred ones and where they are now."""

    id: int
    owner: str
    name: str
    is_private: bool = True
    is_archived: bool = False
    has_issues: bool = True
    issues: dict[int, Issue] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    moved: dict[int, tuple[int, int]] = field(default_factory=dict)
    last_number: int = 0

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


class Token(Struct):
    """Somebody's way in. `repositories` None: all of them; else the full names that it was given access to."""

    value: str
    login: str = "sync-reader"
    repositories: frozenset[str] | None = None
    reads_issues: bool = True
    scopes: str | None = None
    """Of a classic token; None for a fine-grained one."""
    expires: int | None = None
