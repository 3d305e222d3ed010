"""Issues that a full read has not seen: asked for one by one, and why they are not there.

An issue is found by repository and number; only its id tells whether what is found there is still the same.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from integrations_api.connectors.errors import Retryable
from integrations_api.connectors.github.answers import Blocked, NoLongerThere, NotVisible
from integrations_api.connectors.github.client import GitHubClient
from integrations_api.connectors.github.config import repository_name
from integrations_api.connectors.github.mapping import repository_of
from integrations_api.connectors.github.survey import Repository, look_up
from integrations_api.connectors.records import Gone

Reason = Literal["deleted", "no_longer_visible", "out_of_filter"]


async def confirm(client: GitHubClient, suspects: Mapping[str, str], read: Collection[str]) -> list[Gone]:
    """Of the suspects (id to number), those that are gone; `read` are the repositories of the config, case-folded.

    A suspect without a number cannot be asked for, and is left as it is. What was read from another service, before the
    integration was pointed here, is not there.
    """
    issues = {external_id: number for external_id, number in suspects.items() if _may_be_issue(external_id, number)}
    places = {external_id: place for external_id, number in issues.items() if (place := place_of(number))}
    states, _ = await look_up(client, sorted({repository for repository, _ in places.values()}))
    found = [Gone(external_id, "deleted") for external_id in suspects if external_id not in issues]
    for external_id, (repository, number) in places.items():
        reason = _reason_for_all(states[repository], read)
        if reason is None:
            reason = await _reason(client, external_id, repository, number, read)
        if reason is not None:
            found.append(Gone(external_id, reason))
    return found


def _may_be_issue(external_id: str, number: str) -> bool:
    """Whether an issue can have that id and number, or no number that is known."""
    return external_id.isdigit() and ("#" in number or not number)


def place_of(number: str) -> tuple[str, int] | None:
    """Repository and number of `owner/name#45`; None for anything else."""
    repository, _, digits = number.rpartition("#")
    try:
        return (repository_name(repository), int(digits)) if digits.isascii() and digits.isdigit() else None
    except ValueError:
        return None


def _reason_for_all(state: Repository | None, read: Collection[str]) -> Reason | None:
    """What is true of all issues of a repository; None where each must be asked for."""
    if state is None or not state.has_issues:
        return "no_longer_visible"
    return None if state.name.casefold() in read else "out_of_filter"


async def _reason(
    client: GitHubClient, external_id: str, repository: str, number: int, read: Collection[str]
) -> Reason | None:
    try:
        reply = await client.ask(f"/repos/{repository}/issues/{number}", {}, what=f"{repository}#{number}")
    except (NotVisible, Blocked):
        return "no_longer_visible"
    except NoLongerThere:
        return "deleted"
    issue = reply.value
    if not isinstance(issue, dict) or type(issue.get("id")) is not int:
        raise Retryable("The answer is no issue", "Check the URL: is it a GitHub?")
    if "pull_request" in issue:
        return "out_of_filter"  # Somebody made a pull request of it, under the same id: those are not read.
    lives_in = repository_of(issue).casefold()
    if str(issue["id"]) == external_id and lives_in in read:
        return None
    # A transfer leads to another repository, where the issue has another id: there it is a new document.
    return "out_of_filter"
