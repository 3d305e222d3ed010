"""A GitHub in memory: what people do to its issues, and administrators to its repositories."""

import threading
from collections.abc import Iterable

from integrations_api.simulator.common.clock import Clock, WallClock

from .model import Comment, Issue, Repository, Token

OWNER = "harbour-it"
DEFAULT_TOKEN = "github_pat_simulator"  # noqa: S105  (a simulator's, printed in its help)
OPERATIONS = frozenset(
    {
        "create", "update", "touch", "comment", "edit_comment", "close", "reopen", "delete", "transfer", "listing",
        "add_repository", "rename_repository", "archive", "switch_issues", "hide_repository",
    }
)  # fmt: skip
"""Methods of the instance that the control plane may call by name."""


CHANGEABLE = frozenset(
    {"title", "body", "labels", "assignees", "milestone", "state", "state_reason", "closed", "locked"}
)


class GitHubInstance:
    """A stateful GitHub. Every method may be called from any thread; issues are named by their id.

    Raises KeyError for an id or a repository that is not there.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or WallClock()
        self.lock = threading.RLock()
        self.repositories: dict[int, Repository] = {}
        self.by_name: dict[str, int] = {}
        """Case-folded full names, those of former times included."""
        self.by_id: dict[int, Issue] = {}
        self.tokens: dict[str, Token] = {DEFAULT_TOKEN: Token(DEFAULT_TOKEN)}
        self.most_by_page = 10_000
        """A repository with more issues than this is paged by cursors only."""
        self._last_id = 2_400_000_000

    def counts(self) -> dict[str, int]:
        """How many issues, pull requests and repositories there are."""
        pulls = sum(1 for issue in self.by_id.values() if issue.is_pull)
        return {
            "repositories": len(self.repositories),
            "issues": len(self.by_id) - pulls,
            "pull_requests": pulls,
        }

    def new_id(self) -> int:
        """Larger than all before."""
        self._last_id += 17
        return self._last_id

    # ---- repositories

    def add_repository(self, name: str, *, owner: str = OWNER) -> int:
        """An empty repository; its id."""
        with self.lock:
            repository = Repository(700_000_000 + 311 * (len(self.repositories) + 1), owner, name)
            self.repositories[repository.id] = repository
            self.by_name[repository.full_name.casefold()] = repository.id
            return repository.id

    def repository(self, full_name: str) -> Repository:
        """By its name of today or of former times."""
        return self.repositories[self.by_name[full_name.casefold()]]

    def rename_repository(self, full_name: str, new_name: str) -> None:
        """Gives it another name; the old one leads to it until somebody takes it."""
        with self.lock:
            repository = self.repository(full_name)
            repository.name = new_name
            self.by_name[repository.full_name.casefold()] = repository.id

    def archive(self, full_name: str) -> None:
        """An archived repository can be read and not be written."""
        with self.lock:
            self.repository(full_name).is_archived = True

    def switch_issues(self, full_name: str, *, on: bool) -> None:
        """Whether the repository has issues at all."""
        with self.lock:
            self.repository(full_name).has_issues = on

    def hide_repository(self, full_name: str, *, token: str = DEFAULT_TOKEN) -> None:
        """Takes a repository out of what a token was given access to."""
        with self.lock:
            named = self.tokens[token].repositories
            names = {one.full_name for one in self.repositories.values()} if named is None else named
            self.tokens[token].repositories = frozenset(names) - {self.repository(full_name).full_name}

    def may_read(self, token: Token, repository: Repository) -> bool:
        """What a token may not see is not found."""
        return not repository.is_private or token.repositories is None or repository.full_name in token.repositories

    # ---- issues

    def create(
        self, repository: str, title: str, *, body: str = "", author: str = "", labels: Iterable[str] = (),
        is_pull: bool = False, at: int | None = None,
    ) -> int:  # fmt: skip
        """A new issue; its id."""
        with self.lock:
            held = self.repository(repository)
            held.last_number += 1
            moment = self.clock.now() if at is None else at
            issue = Issue(
                id=self.new_id(), number=held.last_number, repository_id=held.id, title=title, body=body or None,
                author=author, created=moment, updated=moment, is_pull=is_pull, labels=tuple(labels),
            )  # fmt: skip
            held.issues[issue.number] = issue
            self.by_id[issue.id] = issue
            return issue.id

    def update(self, issue_id: int, *, at: int | None = None, **changes: object) -> None:
        """Changes fields of an issue, and its time."""
        with self.lock:
            issue = self.by_id[issue_id]
            for name, value in changes.items():
                if name not in CHANGEABLE:
                    raise ValueError(f"An issue has no {name} to change")
                setattr(issue, name, tuple(value) if isinstance(value, list) else value)
            issue.updated = self.clock.now() if at is None else at

    def touch(self, issue_id: int) -> None:
        """A change of nothing but the time, as a mention elsewhere makes it."""
        self.update(issue_id)

    def comment(self, issue_id: int, body: str, *, author: str = "", at: int | None = None) -> int:
        """A comment, which changes the issue's time as well; its id."""
        with self.lock:
            moment = self.clock.now() if at is None else at
            comment = Comment(self.new_id(), body, author, moment, moment)
            self.by_id[issue_id].comments.append(comment)
            self.update(issue_id, at=moment)
            return comment.id

    def edit_comment(self, issue_id: int, comment_id: int, body: str) -> None:
        """Another text of a comment."""
        with self.lock:
            comment = next(one for one in self.by_id[issue_id].comments if one.id == comment_id)
            comment.body, comment.updated = body, self.clock.now()
            self.update(issue_id)

    def close(self, issue_id: int, *, reason: str = "completed") -> None:
        self.update(issue_id, state="closed", state_reason=reason, closed=self.clock.now())

    def reopen(self, issue_id: int) -> None:
        self.update(issue_id, state="open", state_reason="reopened", closed=None)

    def delete(self, issue_id: int) -> None:
        """Gone for good: its number answers 410 from now on."""
        with self.lock:
            issue = self.by_id.pop(issue_id)
            held = self.repositories[issue.repository_id]
            del held.issues[issue.number]
            held.gone.add(issue.number)

    def transfer(self, issue_id: int, to: str) -> int:
        """Moves an issue to another repository, where it has another id and number; the old number leads there."""
        with self.lock:
            old = self.by_id.pop(issue_id)
            held, target = self.repositories[old.repository_id], self.repository(to)
            del held.issues[old.number]
            new_id = self.create(to, old.title, body=old.body or "", author=old.author, labels=old.labels)
            new = self.by_id[new_id]
            new.comments, new.state, new.created = old.comments, old.state, old.created
            held.moved[old.number] = (target.id, new.number)
            return new_id

    # ---- for tests that compare

    def listing(self, token: str = DEFAULT_TOKEN) -> list[dict[str, object]]:
        """Every issue that a token may read, pull requests left out; of all there are for a token nobody has."""
        with self.lock:
            reader = self.tokens.get(token) or Token(token)
            held = [one for one in self.repositories.values() if one.has_issues and self.may_read(reader, one)]
            issues = [(one, issue) for one in held for issue in one.issues.values() if not issue.is_pull]
            return [
                {
                    "id": issue.id, "number": f"{one.full_name}#{issue.number}", "title": issue.title,
                    "updated": issue.updated, "state": issue.state, "comments": len(issue.comments),
                }
                for one, issue in issues
            ]  # fmt: skip
