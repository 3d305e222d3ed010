"""A Jira site in memory: what people and administrators do to its issues, and how its search index lags behind."""

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Self

from integrations_api.simulator.common.clock import Clock, WallClock

from .access import Door, Flavour, User
from .issues import FIRST_ID, GENERATED_UNTIL, PROJECTS, STATUSES, Comment, Issue, generated
from .jql import Asker, Parsed, parse

OPERATIONS = frozenset(
    {
        "create",
        "update",
        "touch",
        "comment",
        "delete_comment",
        "transition",
        "move",
        "delete",
        "hide",
        "show",
        "archive",
    }
    | {"hide_project", "show_project", "ids", "listing"}
)
"""Methods of the site that the control plane may call by name."""


class JiraSite:
    """A stateful site. Methods may be called from any thread; those that take an id raise KeyError for unknown ones.

    Changing an issue moves its `updated` to the clock's second, unless told otherwise.
    """

    def __init__(
        self, *, flavour: Flavour = "cloud", clock: Clock | None = None, users: Iterable[User] | None = None
    ) -> None:
        self.flavour = flavour
        self.clock: Clock = clock or WallClock()
        self.lock = threading.RLock()
        self.door = Door(self.clock, list(users) if users is not None else [User()], flavour)
        self.issues: dict[str, Issue] = {}
        self.hidden: set[str] = set()
        self.hidden_projects: set[str] = set()
        self.archived: set[str] = set()
        self.index_lag = 0
        """Seconds until a change is found by searches."""
        self.window = 10_000
        """Data Center: rows that can be paged through."""
        self._stale: dict[str, tuple[int, Issue | None]] = {}
        self._keys: dict[str, str] = {}
        self._numbers = dict.fromkeys(PROJECTS, 0)
        self._last_id = FIRST_ID - 1
        self._last_comment = 900_000
        self._found: dict[tuple[str, str, frozenset[str]], list[Issue]] = {}
        self._found_at = 0

    @classmethod
    def with_issues(cls, count: int, *, seed: int = 1, until: str = GENERATED_UNTIL, **options: Any) -> Self:
        """A site with generated issues whose last change lies before `until` (UTC)."""
        site = cls(**options)
        for issue in generated(count, seed=seed, until=until):
            site._add(issue)
        return site

    def _add(self, issue: Issue) -> None:
        self.issues[issue.id] = issue
        self._keys[issue.key] = issue.id
        self._numbers[issue.project] = max(self._numbers[issue.project], issue.number)
        self._last_id = max(self._last_id, int(issue.id))

    @property
    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self.clock.now() * 1000

    def counts(self) -> dict[str, int]:
        return {"issue": len(self.issues)}

    # ---- what people do

    def create(
        self, values: Mapping[str, Any] | None = None, *, project: str = "OPS", created: int = 0, updated: int = 0
    ) -> str:
        """Adds an issue and returns its id. Times are milliseconds since the epoch, now where they are 0."""
        with self.lock:
            self._last_id += 1
            when = created or self.now
            issue = Issue(
                id=str(self._last_id),
                project=project,
                number=self._numbers[project] + 1,
                summary="New issue",
                created=when,
                updated=updated or when,
                reporter=next(iter(self.door.users)),
            )
            _set(issue, values or {})
            self._changing(issue.id)
            self._add(issue)
            return issue.id

    def update(self, issue_id: str, values: Mapping[str, Any] | None = None, *, at: int = 0) -> None:
        """Changes fields of an issue; without any, nothing but its `updated`."""
        with self.lock:
            issue = self.issues[issue_id]
            self._changing(issue_id)
            _set(issue, values or {})
            issue.updated = at or max(issue.updated, self.now)

    def touch(self, issue_id: str) -> None:
        self.update(issue_id)

    def comment(self, issue_id: str, text: str, *, by: str = "", is_public: bool = True) -> str:
        """Adds a comment and returns its id."""
        with self.lock:
            self._last_comment += 1
            comment = Comment(str(self._last_comment), by or next(iter(self.door.users)), self.now, text, is_public)
            self.update(issue_id)
            self.issues[issue_id].comments.append(comment)
            return comment.id

    def delete_comment(self, issue_id: str, comment_id: str) -> None:
        with self.lock:
            self.update(issue_id)
            issue = self.issues[issue_id]
            issue.comments = [comment for comment in issue.comments if comment.id != comment_id]

    def transition(self, issue_id: str, status: str, *, resolution: str = "Done") -> None:
        """Moves an issue to a status; a done one gets a resolution."""
        is_done = STATUSES[status][1] == "done"
        self.update(
            issue_id,
            {
                "status": status,
                "resolution": resolution if is_done else "",
                "resolved": self.now if is_done else 0,
            },
        )

    def move(self, issue_id: str, project: str) -> str:
        """Moves an issue to another project: its key changes, its id stays, the old key leads to it."""
        with self.lock:
            self.update(issue_id)
            issue = self.issues[issue_id]
            issue.project, issue.number = project, self._numbers[project] + 1
            self._add(issue)
            return issue.key

    def delete(self, issue_id: str) -> None:
        """For good: Jira keeps no log of it."""
        with self.lock:
            self._changing(issue_id)
            del self.issues[issue_id]

    # ---- what administrators do

    def hide(self, ids: Iterable[str]) -> None:
        """Issue security: these issues do not exist for the integration's user."""
        with self.lock:
            self.hidden.update(ids)
            self._found.clear()

    def show(self, ids: Iterable[str]) -> None:
        with self.lock:
            self.hidden.difference_update(ids)
            self._found.clear()

    def archive(self, ids: Iterable[str]) -> None:
        """These issues can be opened as before, and no search lists them."""
        with self.lock:
            self.archived.update(ids)
            self._found.clear()

    def hide_project(self, project: str) -> None:
        """The user loses the permission to browse a project."""
        with self.lock:
            self.hidden_projects.add(project)
            self._found.clear()

    def show_project(self, project: str) -> None:
        with self.lock:
            self.hidden_projects.discard(project)
            self._found.clear()

    # ---- reading

    def find(self, id_or_key: str) -> Issue | None:
        """An issue by id, key or former key, if the user may see it."""
        issue = self._known(id_or_key)
        return issue if issue is not None and self._is_visible(issue) else None

    def exists(self, id_or_key: str) -> bool:
        """Whether there is such an issue, whoever may see it."""
        return self._known(id_or_key) is not None

    def _known(self, id_or_key: str) -> Issue | None:
        return self.issues.get(id_or_key) or self.issues.get(self._keys.get(id_or_key.upper(), ""))

    def projects(self) -> set[str]:
        """Keys of the projects that the user may browse."""
        return set(PROJECTS) - self.hidden_projects

    def parse(self, jql: str, user: User) -> Parsed:
        """Raises JqlError."""
        return parse(jql, Asker(user.time_zone, self.now, self.find, self.projects))

    def search(self, jql: str, user: User, *, reconcile: Iterable[str] = ()) -> list[Issue]:
        """What the index finds, in order; `reconcile` names issues that are looked at as they are. Raises JqlError."""
        fresh = frozenset(reconcile)
        if self._found_at != self.clock.now():
            self._found_at = self.clock.now()
            self._found.clear()
        key = (jql, user.user_name, fresh)
        if key not in self._found:
            found = self.parse(jql, user).sorted(self._indexed(fresh))
            self._found[key] = [issue for known in found if (issue := self.issues.get(known.id))]
        return self._found[key]

    def _indexed(self, fresh: frozenset[str]) -> list[Issue]:
        now, found = self.clock.now(), []
        for issue in self.issues.values():
            if not self._is_visible(issue) or issue.id in self.archived:
                continue
            changed_at, before = self._stale.get(issue.id, (0, None))
            is_stale = changed_at and now - changed_at < self.index_lag and issue.id not in fresh
            shown = before if is_stale else issue
            if shown is not None:
                found.append(shown)
        return found

    def _is_visible(self, issue: Issue) -> bool:
        return issue.id not in self.hidden and issue.project not in self.hidden_projects

    def _changing(self, issue_id: str) -> None:
        """Before a change: what the index knows until it has caught up."""
        self._found.clear()
        if not self.index_lag:
            return
        now = self.clock.now()
        changed_at, _ = self._stale.get(issue_id, (0, None))
        if not changed_at or now - changed_at >= self.index_lag:
            known = self.issues.get(issue_id)
            self._stale[issue_id] = (now, known.copy() if known else None)

    # ---- for tests that compare

    def ids(self) -> list[str]:
        """All of them, whoever may see them."""
        with self.lock:
            return list(self.issues)

    def listing(self) -> list[dict[str, Any]]:
        """Id, key, summary and times of all issues, whoever may see them."""
        with self.lock:
            return [
                {"id": i.id, "key": i.key, "summary": i.summary, "created": i.created, "updated": i.updated}
                for i in self.issues.values()
            ]


def _set(issue: Issue, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in Issue.__struct_fields__ or name in ("id", "project", "number"):
            raise ValueError(f"An issue has no field {name!r} to set")
        setattr(issue, name, tuple(value) if isinstance(value, list) else value)
