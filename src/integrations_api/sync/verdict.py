"""The verdict of a run: does the dataset hold what the source says it has?"""

from typing import Any

from integrations_api.connectors.records import SourceCount
from integrations_api.wording import counted

MOST_NAMED = 100
"""Ids of a gap that a verdict names."""


def judge(
    *,
    source: SourceCount,
    stored: int,
    rejected: int,
    unmapped: int,
    partial_since: str | None = None,
    read_all: bool = True,
) -> dict[str, Any]:
    """Compares the source's count with the live documents under the same bound.

    Of the `rejected` records `unmapped` are missing; of the others an earlier state is stored.
    `partial_since` names the start of a dataset that was told to begin later than the source does; a run that has not
    `read_all` does not know why it lacks a record. Which `ids` are missing or too much is not known here.
    """
    state, why = _state(source=source, stored=stored, unmapped=unmapped, partial_since=partial_since, read_all=read_all)
    hidden = 0  # Of what comes before the start of a dataset nobody knows what would be shown.
    if source.total is not None and not source.only_visible and partial_since is None:
        hidden = max(0, source.total - stored - unmapped)
    return {
        "state": state,
        "source": source.total,
        "stored": stored,
        "rejected": rejected,
        "hidden": hidden,
        "why": why,
        "ids": None,
    }


def _state(
    *, source: SourceCount, stored: int, unmapped: int, partial_since: str | None, read_all: bool
) -> tuple[str, str | None]:
    if source.total is None:
        return "unknown", source.why_unknown or "the source does not tell how many records it has"
    gap = source.total - stored
    if gap == 0 and not unmapped:
        return "complete", None
    if gap < 0:
        return "over", f"the dataset holds {-gap} more than the source counts; {_looks_for_deleted(read_all)}"
    return "short", _why_short(
        gap=gap,
        unmapped=unmapped,
        partial_since=partial_since,
        only_visible=source.only_visible,
        read_all=read_all,
    )


def _why_short(*, gap: int, unmapped: int, partial_since: str | None, only_visible: bool, read_all: bool) -> str:
    if partial_since is not None:
        began = f"the first sync began at {partial_since} (config.lastSynced); a full sync reads all"
        return f"{counted(gap, 'is', 'are')} missing: {began}"
    if unmapped >= gap:
        # The rest of the numbers fits only if that much is stored which is not there any more.
        left = unmapped - gap
        more = counted(left, "more is", "more are")
        surplus = f"; {more} stored than are left: {_looks_for_deleted(read_all)}" if left else ""
        return f"{unmapped} could not be mapped: see the run's rejected records{surplus}"
    unseen = gap - unmapped
    mapped = f", {unmapped} could not be mapped" if unmapped else ""
    if only_visible:
        were, them = ("was", "it") if unseen == 1 else ("were", "them")
        full = "the next full sync" if read_all else "a full sync"
        return f"{unseen} that the source shows {were} not read yet: {full} reads {them}{mapped}"
    if not read_all:
        either = "hidden from this user (access rules), or not read: a full sync tells"
        return f"{counted(unseen, 'is', 'are')} counted by the source and not stored, {either}{mapped}"
    return f"{counted(unseen, 'is', 'are')} counted by the source but not shown to this user (access rules){mapped}"


def _looks_for_deleted(read_all: bool) -> str:
    """What finds records that are stored and gone; a full sync has just looked, and some may have gone since."""
    return "the next full sync looks for deleted records again" if read_all else "a full sync looks for deleted records"
