"""Whatever happens to a dataset, every version reads back, compares and rolls back as a dictionary would."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations_api.db.engine import Sessions
from integrations_api.knowledge.diffing import DiffQuestion
from integrations_api.knowledge.rollback import roll_back
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.knowledge.versions import begin_version, publish, undo_unpublished
from tests.knowledge.conftest import MOST_PAGES
from tests.support.knowledge import EPOCH, Doc, Gone, Story, Touched, begin_story, doc, gone, published_at, touched
from tests.support.long import FULL
from tests.support.terms import assert_counts_are_exact

pytestmark = pytest.mark.anyio

State = dict[str, tuple[str, str]]
"""Number and title of what is live, by external id."""

Wish = Literal["red", "blue", "shared", "gone", "touched"]
ENDINGS = st.one_of(st.sampled_from(["published", "published", "abandoned"]), st.integers(0, 9))
WISHES: st.SearchStrategy[Wish] = st.sampled_from(["red", "blue", "shared", "gone", "touched"])
STEPS = st.dictionaries(st.sampled_from("abcd"), WISHES, max_size=4)
HISTORIES = st.lists(st.tuples(STEPS, ENDINGS), min_size=1, max_size=7)


def wished(external_id: str, wish: Wish, live: State, step: int) -> Doc | Gone | Touched | None:
    """The change that a sync would write for what the source now says; None when it would write nothing."""
    if wish == "gone":
        return gone() if external_id in live else None
    stamp = EPOCH + timedelta(hours=step + 1)
    number = "SHARED" if wish == "shared" else external_id.upper()
    if wish == "touched" or live.get(external_id) == (number, wish):
        return touched(stamp) if external_id in live else None
    return doc(number, title=wish, updated=stamp)


@dataclass
class Model:
    """The same history, remembered in dictionaries."""

    story: Story
    versions: dict[int, State] = field(default_factory=lambda: {0: {}})

    @property
    def head(self) -> State:
        return self.versions[self.story.head or 0]

    async def run(self, wishes: dict[str, Wish], ending: str) -> None:
        """A sync that ends as it is told."""
        live = dict(self.head)
        changes: dict[str, Doc | Gone | Touched] = {}
        for external_id, wish in wishes.items():
            change = wished(external_id, wish, live, self.story.last)
            if change is None:
                continue
            changes[external_id] = change
            if isinstance(change, Doc):
                live[external_id] = (change.number or "", change.title)
            elif isinstance(change, Gone):
                del live[external_id]
        remembered = dict(self.story.live)
        number = await self.story.version(changes, state="published" if ending == "published" else "building")
        if ending == "published":
            self.versions[number] = live
        else:
            async with self.story.sessions() as session, session.begin():
                await undo_unpublished(session, self.story.dataset_id)
            self.story.live = remembered

    async def roll_back(self, choice: int) -> None:
        """A rollback to one of the versions before the head, if there is one."""
        older = sorted(number for number in self.versions if 0 < number < (self.story.head or 0))
        if not older:
            return
        to_version, dataset_id = older[choice % len(older)], self.story.dataset_id
        async with self.story.sessions() as session, session.begin():
            number = await begin_version(session, dataset_id=dataset_id, kind="rollback", run_id=None)
            plan = await roll_back(session, dataset_id=dataset_id, to_version=to_version, new_number=number)
            await publish(session, dataset_id=dataset_id, version=number, plan=plan, at=published_at(number))
        self.story.last = self.story.head = number
        self.versions[number] = dict(self.versions[to_version])
        await self._catch_up()

    async def _catch_up(self) -> None:
        """The story's own memory of what is live, after somebody else has written."""
        for external_id, known in self.story.live.items():
            known.is_tombstone = external_id not in self.head
            known.number = self.head.get(external_id, (known.number, ""))[0]
            found = await self.story.live_content(external_id)
            known.content_id = found


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
    return {
        "added": version.keys() - base.keys(),
        "changed": {name for name in version.keys() & base.keys() if version[name] != base[name]},
        "removed": base.keys() - version.keys(),
    }


@settings(max_examples=60 if FULL else 15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES)
async def test_every_version_reads_back_as_it_was_written(
    knowledge: KnowledgeService, sessions: Sessions, history: list[tuple[dict[str, Wish], str | int]]
) -> None:
    model = Model(await begin_story(sessions))

    for wishes, ending in history:
        if isinstance(ending, int):
            await model.roll_back(ending)
        else:
            await model.run(wishes, ending)

    published = sorted(model.versions.keys() - {0})
    for number in published:
        incidents = await all_incidents(knowledge, model.story, number)
        assert {i["external_id"]: (i["number"], i["title"]) for i in incidents} == model.versions[number]
        assert [(i["number"], i["id"]) for i in incidents] == sorted((i["number"], i["id"]) for i in incidents)
        assert (await knowledge.version(model.story.dataset_id, number))["documents"] == len(incidents)
    for version in published:
        for base in (0, *published):
            assert await all_changes(knowledge, model.story, base, version) == expected_changes(
                model.versions[base], model.versions[version]
            )
    await assert_counts_are_exact(sessions, model.story.dataset_id)
