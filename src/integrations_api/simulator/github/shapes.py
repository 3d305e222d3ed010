"""Issues, comments and repositories as the REST API writes them."""

from datetime import UTC, datetime
from typing import Any

from .instance import GitHubInstance
from .model import Comment, Issue, Repository, node_id

GHOST = "ghost"


def written(seconds: int | None) -> str | None:
    """`2026-03-02T09:00:00Z`."""
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


BOT = "[bot]"
"""So the logins of applications end in the REST API (slapperwan/gh4a#1002), and not in GraphQL
(fullsend-ai/fullsend#6205)."""


def account(login: str, base: str) -> dict[str, Any] | None:
    """A user; null for an account that was deleted."""
    if not login:
        return None
    number = sum(login.encode()) * 7919
    return {
        "login": login,
        "id": number,
        "node_id": node_id("U", number),
        "url": f"{base}/users/{login}",
        "html_url": f"{base}/{login}",
        "type": "Bot" if login.endswith(BOT) else "User",
        "site_admin": False,
    }


def issue_json(instance: GitHubInstance, issue: Issue, api: str, web: str) -> dict[str, Any]:
    """`api` is the address of the API, `web` that of the pages."""
    held = instance.repositories[issue.repository_id]
    url = f"{api}/repos/{held.full_name}/issues/{issue.number}"
    shown: dict[str, Any] = {
        "url": url,
        "repository_url": f"{api}/repos/{held.full_name}",
        "comments_url": f"{url}/comments",
        "html_url": f"{web}/{held.full_name}/{'pull' if issue.is_pull else 'issues'}/{issue.number}",
        "id": issue.id,
        "node_id": issue.node_id,
        "number": issue.number,
        "title": issue.title,
        "user": account(issue.author, api),
        "labels": [_label(name, api, held) for name in issue.labels],
        "state": issue.state,
        "locked": issue.locked,
        "assignees": [account(login, api) for login in issue.assignees],
        "assignee": account(issue.assignees[0], api) if issue.assignees else None,
        "milestone": {"title": issue.milestone, "number": 1, "due_on": None} if issue.milestone else None,
        "comments": len(issue.comments),
        "created_at": written(issue.created),
        "updated_at": written(issue.updated),
        "closed_at": written(issue.closed),
        "author_association": "MEMBER",
        "active_lock_reason": None,
        "body": issue.body,
        "reactions": {"url": f"{url}/reactions", "total_count": 0},
        "state_reason": issue.state_reason,
    }
    if issue.is_pull:
        shown["draft"] = False
        shown["pull_request"] = {"url": f"{api}/repos/{held.full_name}/pulls/{issue.number}", "merged_at": None}
    return shown


def _label(name: str, api: str, held: Repository) -> dict[str, Any]:
    return {"name": name, "url": f"{api}/repos/{held.full_name}/labels/{name}", "color": "ededed", "default": False}


def comment_json(comment: Comment, issue: Issue, held: Repository, api: str) -> dict[str, Any]:
    """A comment by REST."""
    base = f"{api}/repos/{held.full_name}/issues"
    return {
        "id": comment.id,
        "node_id": node_id("IC", comment.id),
        "url": f"{base}/comments/{comment.id}",
        "issue_url": f"{base}/{issue.number}",
        "user": account(comment.author, api),
        "body": comment.body,
        "created_at": written(comment.created),
        "updated_at": written(comment.updated),
    }


def repository_json(held: Repository, api: str, web: str) -> dict[str, Any]:
    """A repository."""
    return {
        "id": held.id,
        "node_id": node_id("R", held.id),
        "name": held.name,
        "full_name": held.full_name,
        "private": held.is_private,
        "owner": account(held.owner, api),
        "html_url": f"{web}/{held.full_name}",
        "url": f"{api}/repos/{held.full_name}",
        "has_issues": held.has_issues,
        "archived": held.is_archived,
        "disabled": False,
        "open_issues_count": sum(1 for issue in held.issues.values() if issue.state == "open"),
    }
