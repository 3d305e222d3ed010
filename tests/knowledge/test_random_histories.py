"""Whatever happens to a dataset, every version reads back, compares and rolls back as a dictionary would."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from integrations_api.clock import to_wire
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import pruning
from integrations_api.knowledge.diffing import DiffQuestion
from integrations_api.knowledge.purge import purge
from integrations_api.knowledge.rollback import roll_back
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.knowledge.staging import Plan
from integrations_api.knowledge.versions import begin_version, publish, touch_head, undo_unpublished
from integrations_api.search.service import Question, SearchService
from tests.knowledge.conftest import MOST_PAGES
from tests.support.knowledge import EPOCH, Doc, Gone, Story, Touched, begin_story, doc, gone, published_at, touched
from tests.support.long import FULL
from tests.support.terms import assert_counts_are_exact

pytestmark = pytest.mark.anyio

Wish = Literal["red", "blue", "shared", "gone", "touched"]
TITLES: tuple[Wish, ...] = ("red", "blue", "shared")
Ending = Literal["published", "abandoned", "held and published", "quiet", "purged", "pruned"] | int
"""What becomes of a sync; or what somebody does instead: a purge, a pruning, a rollback (which of the versions)."""
OFTEN: tuple[Ending, ...] = ("published", "published", "published", "published", "held and published", "abandoned")
BETWEEN: tuple[Ending, ...] = ("quiet", "quiet", "purged", "purged", "pruned", "pruned", 0, 1, 2, 8)
ENDINGS: st.SearchStrategy[Ending] = st.sampled_from(OFTEN + BETWEEN)
WISHES: st.SearchStrategy[Wish] = st.sampled_from(["red", "blue", "shared", "gone", "touched"])
STEPS = st.dictionaries(st.sampled_from("abcd"), WISHES, min_size=1, max_size=4)
HISTORIES = st.lists(st.tuples(STEPS, ENDINGS), min_size=6, max_size=14)

KEPT_VERSIONS = 2


@dataclass(frozen=True, slots=True)
class Known:
    """An incident of a version: number and title (None: a tombstone), the source's stamp, and what changed it last."""

    content: tuple[str, str] | None
    stamp: datetime
    changed_in: int


State = Mapping[str, Known]
"""What a version knows, by external id."""


def alive(state: State) -> dict[str, tuple[str, str]]:
    """Number and title of what is live."""
    return {external_id: known.content for external_id, known in state.items() if known.content is not None}


def wished(external_id: str, wish: Wish, live: Mapping[str, tuple[str, str]], step: int) -> Doc | Gone | Touched | None:
    """The change that a sync would write for what the source now says; None when it would write nothing."""
    if wish == "gone":
        return gone() if external_id in live else None
    stamp = EPOCH + timedelta(hours=step + 1)
    number = "SHARED" if wish == "shared" else external_id.upper()
    if wish == "touched" or live.get(external_id) == (number, wish):
        return touched(stamp) if external_id in live else None
    return doc(number, title=wish, updated=stamp)


def changed(before: Known | None, change: Doc | Gone | Touched, version: int) -> Known:
    """What a version knows after a change."""
    if isinstance(change, Doc):
        return Known((change.number or "", change.title), change.updated, version)
    assert before is not None
    if isinstance(change, Gone):
        return Known(None, before.stamp, version)
    return Known(before.content, change.updated, before.changed_in)


@dataclass
class Model:
    """The same history, remembered in dictionaries."""

    story: Story
    versions: dict[int, dict[str, Known]] = field(default_factory=lambda: {0: {}})
    sources: set[int] = field(default_factory=set)
    """Versions that were rolled back to."""

    @property
    def head(self) -> dict[str, Known]:
        return self.versions[self.story.head or 0]

    @property
    def published(self) -> list[int]:
        return sorted(self.versions.keys() - {0})

    async def live_through(self, history: list[tuple[dict[str, Wish], Ending]]) -> None:
        for wishes, ending in history:
            await self._go_on(wishes, ending)

    async def _go_on(self, wishes: dict[str, Wish], ending: Ending) -> None:
        match ending:
            case int():
                await self.roll_back(ending)
            case "purged":
                for external_id in sorted(wishes.keys() & self.story.live.keys()):
                    await self.purge(external_id)
            case "pruned":
                await self.prune()
            case "quiet":
                await self.touch([external_id for external_id in sorted(wishes) if external_id in alive(self.head)])
            case _:
                await self.run(wishes, ending)

    async def run(self, wishes: dict[str, Wish], ending: Ending) -> None:
        """A sync that ends as it is told."""
        found = {one: wished(one, wish, alive(self.head), self.story.last) for one, wish in wishes.items()}
        changes = {external_id: change for external_id, change in found.items() if change is not None}
        before, remembered = dict(self.head), dict(self.story.live)
        number = await self.story.version(changes, state="published" if ending == "published" else "held")
        after = before | {one: changed(before.get(one), change, number) for one, change in changes.items()}
        if ending == "abandoned":
            async with self.story.sessions.begin() as session:
                await undo_unpublished(session, self.story.dataset_id)
            self.story.live = remembered
            return
        if ending == "held and published":
            await self._publish(number, _plan(alive(before), alive(after), remembered))
        self.versions[number] = after

    async def _publish(self, number: int, plan: Plan) -> None:
        async with self.story.sessions.begin() as session:
            at = published_at(number)
            await publish(session, dataset_id=self.story.dataset_id, version=number, plan=plan, at=at)
        self.story.head = number

    async def touch(self, external_ids: list[str]) -> None:
        """A sync that finds new stamps and nothing else: it makes no version."""
        if not external_ids:
            return
        run, stamp = uuid4(), EPOCH + timedelta(days=1, hours=self.story.last)
        async with self.story.sessions.begin() as session:
            for ordinal, external_id in enumerate(external_ids):
                facts = {"run": run, "ordinal": ordinal, "id": self.story.id(external_id), "external": external_id}
                await session.execute(_STAGE_TOUCH, {**facts, "stamp": stamp})
            await touch_head(session, run_id=run, dataset_id=self.story.dataset_id)
        for external_id in external_ids:
            known = self.head[external_id]
            self.head[external_id] = Known(known.content, stamp, known.changed_in)
            self.story.live[external_id].updated = stamp

    async def roll_back(self, choice: int) -> None:
        """A rollback to one of the versions before the head, if there is one."""
        older = [number for number in self.published if number < (self.story.head or 0)]
        if not older:
            return
        to_version, dataset_id = older[choice % len(older)], self.story.dataset_id
        async with self.story.sessions.begin() as session:
            number = await begin_version(
                session, dataset_id=dataset_id, kind="rollback", run_id=None, source_version=to_version
            )
            plan = await roll_back(session, dataset_id=dataset_id, to_version=to_version, new_number=number)
            await publish(session, dataset_id=dataset_id, version=number, plan=plan, at=published_at(number))
        target, before = self.versions[to_version], self.head
        self.versions[number] = {one: _put_back(known, target.get(one), number) for one, known in before.items()}
        self.story.last = self.story.head = number
        self.sources.add(to_version)
        await self._catch_up()

    async def _catch_up(self) -> None:
        """The story's own memory of what is live, after somebody else has written."""
        for external_id, known in self.story.live.items():
            state = self.head[external_id]
            known.is_tombstone = state.content is None
            known.number = state.content[0] if state.content else known.number
            known.updated = state.stamp
            known.content_id = await self.story.live_content(external_id)

    async def purge(self, external_id: str) -> None:
        """Removes an incident from every version."""
        async with self.story.sessions.begin() as session:
            document_id = self.story.id(external_id)
            await purge(session, dataset_id=self.story.dataset_id, document_id=document_id, external_id=external_id)
        del self.story.live[external_id]
        for state in self.versions.values():
            state.pop(external_id, None)

    async def prune(self) -> None:
        """Keeps the newest versions, and what was rolled back to."""
        dataset_id = self.story.dataset_id
        async with self.story.sessions.begin() as session:
            await pruning.prune_versions(session, dataset_id, keep=KEPT_VERSIONS)
            await pruning.prune_revisions(session, dataset_id, "")
            await pruning.prune_terms(session, dataset_id, "")
            await pruning.prune_documents(session, dataset_id, "", failed_since=EPOCH)
            await pruning.prune_contents(session, dataset_id, "", failed_since=EPOCH)
        kept = {0, *self.published[-KEPT_VERSIONS:], *self.sources}
        self.versions = {number: state for number, state in self.versions.items() if number in kept}

    def history_of(self, external_id: str) -> list[int]:
        """The versions in which it was changed, as far as one that is kept reads it so, newest first."""
        known = {state[external_id].changed_in for state in self.versions.values() if external_id in state}
        return sorted(known, reverse=True)


def _plan(before: Mapping[str, Any], after: Mapping[str, Any], live: Mapping[str, Any]) -> Plan:
    """The counts of what a version changes; `live` is the story's memory before it."""
    added = after.keys() - before.keys()
    updated = sum(before[one] != after[one] for one in before.keys() & after.keys())
    deleted = len(before.keys() - after.keys())
    return Plan(
        added=len(added),
        updated=updated,
        touched=0,
        deleted=deleted,
        restored=len(added & live.keys()),
        seen=0,
        rejected=0,
    )


def _put_back(head: Known, target: Known | None, number: int) -> Known:
    """What a rollback makes of what the head knows."""
    content = target.content if target else None
    if content == head.content:
        return head
    return Known(content, target.stamp if target else head.stamp, number)


_STAGE_TOUCH = text("""
    INSERT INTO staged_changes (run_id, ordinal, document_id, external_id, number, change, source_updated_at)
    VALUES (:run, :ordinal, :id, :external, '', 'touched', :stamp)
""")


async def all_incidents(knowledge: KnowledgeService, story: Story, version: int) -> list[dict[str, Any]]:
    page = await knowledge.incidents(story.dataset_id, version, after=None, limit=2, tombstones=False)
    found = page.incidents
    while page.next_key is not None:
        assert len(found) < MOST_PAGES, "the cursor does not move"
        page = await knowledge.incidents(story.dataset_id, version, after=page.next_key, limit=2, tombstones=False)
        found = found + page.incidents
    return found


async def all_changes(knowledge: KnowledgeService, story: Story, base: int, version: int) -> dict[str, set[str]]:
    """Kinds of change by external id."""
    names = {document_id: external_id for external_id, document_id in story.ids.items()}
    question = DiffQuestion(dataset_id=story.dataset_id, base=base, version=version, limit=1000)
    difference = await knowledge.diff(question)
    kinds: dict[str, set[str]] = {"added": set(), "changed": set(), "removed": set()}
    for change in difference.changes:
        kinds[change["change"]].add(next(name for id_, name in names.items() if str(id_) == change["id"]))
    assert {kind: len(members) for kind, members in kinds.items()} == difference.counts
    return kinds


def expected_changes(base: State, version: State) -> dict[str, set[str]]:
    was, now = alive(base), alive(version)
    return {
        "added": now.keys() - was.keys(),
        "changed": {name for name in now.keys() & was.keys() if now[name] != was[name]},
        "removed": was.keys() - now.keys(),
    }


async def assert_reads_as_remembered(knowledge: KnowledgeService, model: Model, number: int) -> None:
    """A version's listing, stamps and all, and its number of documents."""
    incidents = await all_incidents(knowledge, model.story, number)
    told = {i["external_id"]: ((i["number"], i["title"]), i["source_updated_at"], i["changed_in"]) for i in incidents}
    remembered = {
        external_id: (known.content, to_wire(known.stamp), known.changed_in)
        for external_id, known in model.versions[number].items()
        if known.content is not None
    }
    assert told == remembered
    assert [(i["number"], i["id"]) for i in incidents] == sorted((i["number"], i["id"]) for i in incidents)
    assert (await knowledge.version(model.story.dataset_id, number))["documents"] == len(incidents)


async def assert_is_found_as_remembered(search: SearchService, model: Model, number: int) -> None:
    """Who looks for a word in a version finds what has it there."""
    for title in TITLES:
        found = await search.search(Question(query=title, dataset_id=model.story.dataset_id, version=number))
        having = {one for one, content in alive(model.versions[number]).items() if content[1] == title}
        assert {hit["id"] for hit in found.hits} == {str(model.story.id(one)) for one in having}


async def assert_history_is_remembered(knowledge: KnowledgeService, model: Model) -> None:
    """Every change of every incident, also of those that are gone."""
    dataset_id = model.story.dataset_id
    for external_id in model.head:
        _, listing = await knowledge.history(
            str(model.story.id(external_id)), dataset_id=dataset_id, version=None, before=None, limit=50
        )
        assert [entry["version"] for entry in listing.items] == model.history_of(external_id)


@settings(max_examples=60 if FULL else 15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES)
async def test_every_version_reads_back_as_it_was_written(
    knowledge: KnowledgeService, sessions: Sessions, history: list[tuple[dict[str, Wish], Ending]]
) -> None:
    model, search = Model(await begin_story(sessions)), SearchService(sessions=sessions)

    await model.live_through(history)

    for number in model.published:
        await assert_reads_as_remembered(knowledge, model, number)
        await assert_is_found_as_remembered(search, model, number)
        for base in (0, *model.published):
            assert await all_changes(knowledge, model.story, base, number) == expected_changes(
                model.versions[base], model.versions[number]
            )
    await assert_history_is_remembered(knowledge, model)
    dataset = await knowledge.dataset(model.story.dataset_id)
    live = len(alive(model.head))
    assert (dataset["documents"], dataset["tombstones"]) == (live, len(model.head) - live)
    await assert_counts_are_exact(sessions, model.story.dataset_id)
