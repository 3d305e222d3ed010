"""The event stream over real sockets: bytes, joining, leaving, resuming."""

import asyncio
import json
from contextlib import aclosing
from datetime import timedelta
from inspect import getsource
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sse_starlette import EventSourceResponse

from integrations_api.connectors.errors import Retryable
from integrations_api.connectors.records import Wait
from integrations_api.sync import duties, events, repository, run_log, stream
from integrations_api.sync.control import RunControl
from integrations_api.sync.models import SyncRun
from integrations_api.sync.stream import PARCEL, Frame, RunStreams, parcels
from tests.support.served import served
from tests.support.syncing import ADMIN, PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio


def streams_of(b: Bench) -> RunStreams:
    return RunStreams(sessions=b.sessions, ping=timedelta(seconds=15), most_of_user=9)


async def test_the_stream_is_the_contracts_to_the_byte(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(6)
        integration = await b.integration()

        answer = await api.client.post(f"/integrations/sync/{integration}")

        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        body = "".join(line for line in answer.text.splitlines(keepends=True) if not line.startswith(("id:", ":")))
        fixed, last = body.rsplit("event: complete\n", 1)
        assert fixed == (
            'event: progress\ndata: {"batch":0,"totalBatches":0,"message":"Fetching incidents from ServiceNow..."}\n\n'
            'event: progress\ndata: {"batch":0,"totalBatches":2,"totalIncidents":6,'
            '"message":"Ingesting 6 incidents in 2 batch(es)..."}\n\n'
            'event: progress\ndata: {"batch":1,"totalBatches":2,'
            '"incidents":["INC00001","INC00002","INC00003","INC00004","INC00005"],"totalIncidents":6,'
            '"message":"Batch 1 of 2 processed (5 incidents)"}\n\n'
            'event: progress\ndata: {"batch":2,"totalBatches":2,"incidents":["INC00006"],"totalIncidents":6,'
            '"message":"Batch 2 of 2 processed (1 incidents)"}\n\n'
        )
        shown = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        at = shown["last_synced_at"]
        assert last.startswith(
            f'data: {{"success":true,"integration":{{"id":"{integration}","service_name":"ServiceNow",'
            '"auth_type":"basic_auth","config":{"url":"https://dev1.service-now.com","username":"admin",'
            f'"password":"********","lastSynced":"{at}"}},"is_active":true,"last_synced_at":"{at}",'
            f'"last_sync_status":"success","last_sync_error":null,"updated_at":"{at}","user_id":'
        )
        assert f'"stats":{{"added":6,"total":6,"last_synced":"{at}",' in last
        assert last.endswith("}\n\n")


async def test_what_cannot_begin_is_one_error_event_of_a_200(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        integration = await b.integration()
        stored = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        disabled = {key: stored[key] for key in ("service_name", "auth_type", "config")} | {"is_active": False}
        await api.client.put(f"/integrations/update/{integration}", json=disabled)

        for path, message in (
            (f"/integrations/sync/{uuid4()}", "Integration not found"),
            ("/integrations/sync/not-an-id", "Integration not found"),
            (f"/integrations/sync/{integration}", "Integration is disabled"),
            (f"/integrations/sync/{integration}?mode=sideways", "mode: must be incremental or full"),
        ):
            answer = await api.client.post(path)

            assert (answer.status_code, answer.text) == (
                200,
                f'event: error\ndata: {{"success":false,"message":"{message}"}}\n\n',
            )


async def test_a_second_post_joins_the_running_sync_from_its_first_event(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(12)
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        path = f"/integrations/sync/{integration}"
        first = asyncio.create_task(api.watch("POST", path))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        second = asyncio.create_task(api.watch("POST", path))
        b.source.gate.set()

        assert [e.data for e in await first] == [e.data for e in await second]
        runs = (await api.client.get(f"{path}/runs")).json()["runs"]
        assert [run["state"] for run in runs] == ["succeeded"]


async def test_a_full_sync_does_not_join_an_incremental_one(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        path = f"/integrations/sync/{integration}"
        await api.watch("POST", path)
        b.source.gate = asyncio.Event()
        b.source.reached.clear()
        running = asyncio.create_task(api.watch("POST", path))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        refused = await api.watch("POST", f"{path}?mode=full")

        message = "An incremental sync is going on: ask for the full one when it has ended"
        assert [json.loads(event.data)["message"] for event in refused] == [message]
        b.source.gate.set()
        assert (await running)[-1].event == "complete"


async def test_fifty_posts_at_once_start_one_run(database_url: str) -> None:
    async with bench(database_url, workers=2, database_pool_size=20) as b, served(b) as api:
        b.source.fill(20)
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        path = f"/integrations/sync/{integration}"

        posts = [asyncio.create_task(api.watch("POST", path)) for _ in range(50)]
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        b.source.gate.set()
        streams = await asyncio.gather(*posts)

        assert len({json.dumps([e.data for e in stream]) for stream in streams}) == 1
        assert len((await api.client.get(f"{path}/runs")).json()["runs"]) == 1


async def test_a_client_that_leaves_does_not_stop_the_sync(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.page_size = 5
        b.source.fill(23)
        integration = await b.integration()

        seen = await api.watch("POST", f"/integrations/sync/{integration}", stop_after=2)

        run = await b.finished(_run_of(seen[0].id))
        assert (run.state, run.added) == ("succeeded", 23)
        assert len(await b.titles(integration)) == 23


async def test_a_stream_is_resumed_after_the_last_event_seen(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(18)
        integration = await b.integration()
        path = f"/integrations/sync/{integration}"
        seen = await api.watch("POST", path)

        rest = await api.watch("POST", path, headers={"Last-Event-ID": seen[2].id})
        over = await api.watch("POST", path, headers={"Last-Event-ID": seen[-1].id})

        assert [e.id for e in rest] == [e.id for e in seen[3:]]
        assert over == []
        assert len((await api.client.get(f"{path}/runs")).json()["runs"]) == 1


async def test_a_client_that_says_it_has_seen_more_than_there_is_misses_nothing_and_holds_nobody_up(
    database_url: str,
) -> None:
    async with bench(database_url, stream_ping=timedelta(hours=1)) as b, served(b) as api:
        b.source.page_size = 5
        b.source.fill(12)
        b.source.gate = asyncio.Event()
        run_id = await b.start(await b.integration())
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        path = f"/integrations/runs/{run_id}/events"
        boasting = asyncio.create_task(api.watch("GET", path, headers={"Last-Event-ID": f"{run_id}:999999"}))
        await _watched(b.components[RunStreams])

        following = asyncio.create_task(api.watch("GET", path, stop_after=2))
        await _let_pages_through(b, 2)

        assert json.loads((await following)[1].data)["message"] == "Fetched 10 incidents..."
        b.source.gate.set()
        assert [int(event.id.partition(":")[2]) for event in await boasting] == list(range(2, 9))


async def _watched(streams: RunStreams) -> None:
    async with asyncio.timeout(PATIENCE):
        while not streams._tails:  # noqa: ASYNC110 - a stream that has nothing to say tells nobody that it is open
            await asyncio.sleep(0.01)


async def _let_pages_through(b: Bench, count: int) -> None:
    assert b.source.gate is not None
    async with asyncio.timeout(PATIENCE):
        while b.source.pages_read < count:
            b.source.gate.set()
            b.source.gate.clear()
            await asyncio.sleep(0.01)


async def test_a_batch_event_is_news_of_a_commit(database_url: str) -> None:
    async with bench(database_url, sync_chunk_size=5) as b, served(b) as api:
        b.source.fill(11)
        integration = await b.integration()
        listed: list[tuple[list[str], set[str]]] = []
        async with api.client.stream("POST", f"/integrations/sync/{integration}") as stream:
            async for line in stream.aiter_lines():
                if '"incidents":' in line and '"batch"' in line:
                    page = await api.client.get(f"/knowledge/datasets/{integration}/versions/1/incidents")
                    readable = {incident["number"] for incident in page.json()["incidents"]}
                    listed.append((json.loads(line.removeprefix("data: "))["incidents"], readable))

        assert len(listed) == 3
        for named, readable in listed:
            assert set(named) <= readable


async def test_what_the_source_makes_us_wait_for_is_told(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(2)
        b.source.waits.append(Wait(seconds=30, reason="ServiceNow asks to wait 30 s (rate limit)"))
        integration = await b.integration()

        seen = await api.watch("POST", f"/integrations/sync/{integration}")

        messages = [json.loads(event.data).get("message") for event in seen]
        assert messages[1] == "ServiceNow asks to wait 30 s (rate limit)"


async def test_a_sync_that_waits_for_a_worker_says_so(database_url: str) -> None:
    async with bench(database_url, workers=0) as b, served(b) as api:
        b.source.fill(1)
        integration = await b.integration()

        seen = await api.watch("POST", f"/integrations/sync/{integration}", stop_after=1)

        assert json.loads(seen[0].data) == {
            "batch": 0,
            "totalBatches": 0,
            "message": "Waiting for a worker: the sync is queued...",
        }


@pytest.mark.parametrize("otherwise", ["state = 'running'", "last_event = 1"])
async def test_a_sync_that_is_begun_or_has_said_something_does_not_say_that_it_waits(
    database_url: str, otherwise: str
) -> None:
    async with bench(database_url, workers=0) as b:
        run_id = await b.start(await b.integration())
        await b.change(f"UPDATE sync_runs SET {otherwise}")

        async with b.sessions.begin() as session:
            await repository.write_first_event(session, run_id=run_id, event=events.progress(stream.IN_QUEUE))

        assert await b.events(run_id) == []


async def test_the_events_of_a_run_come_in_order_to_a_reader_far_behind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations_api.sync.stream.WINDOW", 3)
    monkeypatch.setattr("integrations_api.sync.stream.CHUNK", 4)
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(100)
        integration = await b.integration()

        seen = await api.watch("POST", f"/integrations/sync/{integration}")

        assert [int(event.id.partition(":")[2]) for event in seen] == list(range(1, 24))


async def test_deleting_the_integration_ends_the_stream_with_an_error(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        watching = asyncio.create_task(api.watch("POST", f"/integrations/sync/{integration}"))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        await api.client.delete(f"/integrations/delete/{integration}")

        assert json.loads((await watching)[-1].data) == {"success": False, "message": "Integration was deleted"}


async def test_a_stream_ends_when_its_run_is_purged_with_the_integration(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        watching = asyncio.create_task(api.watch("POST", f"/integrations/sync/{integration}"))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        purged = await api.client.delete(f"/integrations/delete/{integration}?purge=true")

        assert purged.status_code == 200
        assert json.loads((await watching)[-1].data) == {"success": False, "message": stream.RUN_GONE}


async def test_a_log_that_was_pruned_says_so_instead_of_hanging(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        run = await b.sync(integration)
        await b.change("UPDATE sync_runs SET finished_at = now() - interval '31 days'")
        await b.change("UPDATE sync_events SET at = now() - interval '31 days'")
        await b.duties().forget_old_events()

        path = f"/integrations/runs/{run.id}/events"
        seen = await api.watch("GET", path)
        again = await api.client.get(path, headers={"Last-Event-ID": seen[-1].id})

        assert json.loads(seen[0].data)["message"].startswith("The events of this run are no longer kept")
        assert again.status_code == 204


async def test_however_many_runs_have_ended_the_logs_of_all_are_forgotten(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "AT_ONCE", 2)
    async with bench(database_url) as b:
        integration = await b.integration()
        runs = [await b.sync(integration) for _ in range(5)]
        await b.change("UPDATE sync_events SET at = now() - interval '31 days'")
        await b.change("UPDATE sync_runs SET finished_at = now() - interval '31 days' WHERE id <> :id", id=runs[2].id)

        asked: list[str] = []
        engine = b.components[AsyncEngine].sync_engine
        event.listen(engine, "before_cursor_execute", lambda _, __, statement, *___: asked.append(statement))

        await b.duties().forget_old_events()

        assert len([one for one in asked if "DISTINCT run_id FROM sync_events" in one]) == 1  # Not for each some.
        left = await b.rows("SELECT DISTINCT run_id FROM sync_events")
        assert [row.run_id for row in left] == [runs[2].id]


async def test_the_log_of_a_run_that_is_resumed_while_old_ones_are_looked_for_is_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_before_that = text("SELECT id FROM sync_runs WHERE CAST(:before AS timestamptz) IS NOT NULL")
    monkeypatch.setattr(duties, "_WITH_OLD_EVENTS", found_before_that)
    async with bench(database_url, workers=0) as b:
        run_id = await b.start(await b.integration())
        await b.change("UPDATE sync_runs SET last_event = 1")
        await b.change(
            "INSERT INTO sync_events (run_id, seq, event, payload) SELECT id, 1, 'progress', '{}' FROM sync_runs"
        )

        await b.duties().forget_old_events()

        assert await b.events(run_id) == [("progress", {})]


async def test_a_stream_on_which_nothing_happens_is_kept_open_by_comments(database_url: str) -> None:
    async with bench(database_url, stream_ping=timedelta(seconds=0.1)) as b, served(b) as api:
        b.source.fill(3)
        b.source.gate = asyncio.Event()
        integration = await b.integration()

        comments = 0
        async with asyncio.timeout(PATIENCE), api.client.stream("POST", f"/integrations/sync/{integration}") as stream:
            async for line in stream.aiter_lines():
                comments += line.startswith(": ")
                if comments == 2:
                    b.source.gate.set()

        assert line == ""
        assert comments >= 2


def test_the_library_still_sends_by_what_our_streams_replace() -> None:
    sends = getsource(EventSourceResponse._stream_response)

    assert "self._send_with_timeout(" in sends
    assert stream._Stream._send_with_timeout is not EventSourceResponse._send_with_timeout


async def test_streams_end_with_a_hint_to_come_back_when_the_process_is_asked_to_end(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        asking = asyncio.create_task(api.client.post(f"/integrations/sync/{integration}"))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        b.components[RunStreams].close()

        assert (await asking).text.endswith(": restarting: come back with Last-Event-ID\nretry: 1000\n\n")
        b.source.gate.set()


def _run_of(event_id: str) -> UUID:
    return UUID(event_id.partition(":")[0])


def _frames(count: int, size: int) -> list[Frame]:
    return [Frame(seq=i, is_terminal=i == count, data=b"%d" % (i % 10) * size) for i in range(1, count + 1)]


def test_frames_are_sent_together_but_not_more_than_a_parcel_holds() -> None:
    small, large = _frames(5, 10), _frames(5, PARCEL // 2)

    one, some = list(parcels(small)), list(parcels(large))

    assert [(frame.seq, frame.is_terminal) for frame in one] == [(5, True)]
    assert [(frame.seq, frame.is_terminal) for frame in some] == [(2, False), (4, False), (5, True)]
    for joined, single in ((one, small), (some, large)):
        assert b"".join(frame.data for frame in joined) == b"".join(frame.data for frame in single)


async def test_a_run_that_is_over_is_told_again_from_any_place_without_a_tail(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        run = await b.sync(integration)
        path = f"/integrations/sync/{integration}"

        whole = await api.watch("POST", path, headers={"Last-Event-ID": f"{run.id}:0"})
        rest = await api.watch("POST", path, headers={"Last-Event-ID": f"{run.id}:3"})

        assert [event.id for event in whole] == [f"{run.id}:{seq}" for seq in range(1, run.last_event + 1)]
        assert [event.data for event in rest] == [event.data for event in whole[3:]]
        assert whole[-1].event == "complete"


async def test_a_run_that_is_over_is_answered_whole_if_short_and_else_by_pieces(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        run = await b.sync(integration)

        async def told() -> httpx.Response:
            return await api.client.post(f"/integrations/sync/{integration}", headers={"Last-Event-ID": f"{run.id}:0"})

        whole = await told()
        monkeypatch.setattr("integrations_api.sync.stream.CHUNK", 2)
        by_pieces = await told()

        assert "content-length" in whole.headers
        assert by_pieces.headers["transfer-encoding"] == "chunked"
        assert whole.headers["content-type"] == by_pieces.headers["content-type"]
        assert whole.content == by_pieces.content


async def test_a_failed_run_that_was_resumed_meanwhile_is_followed_to_its_new_end(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(12)
        run = await b.sync(await b.integration())
        await b.change("DELETE FROM sync_events WHERE run_id = :run AND seq > 3", run=run.id)
        await b.change("UPDATE sync_runs SET state = 'running', last_event = 3 WHERE id = :run", run=run.id)
        streams = streams_of(b)
        replayed = streams.replay(run.id)
        first = await anext(replayed)

        async with b.sessions.begin() as session:
            await repository.finish(session, run_id=run.id, event=events.error("It ended again"), state="failed")
        rest = b"".join([data async for data in replayed])

        assert first.count(b"event: ") == 3
        assert rest.count(b"event: ") == 1
        assert b"It ended again" in rest


async def test_a_stream_goes_on_after_whatever_error_of_the_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.05)
    async with bench(database_url) as b:
        b.source.fill(12)
        run = await b.sync(await b.integration())
        await b.change("DELETE FROM sync_events WHERE run_id = :run AND seq > 3", run=run.id)
        await b.change("UPDATE sync_runs SET state = 'running', last_event = 3 WHERE id = :run", run=run.id)
        async with aclosing(streams_of(b).watch(run.id)) as watched:
            first = await anext(watched)
            await b.change("ALTER TABLE sync_events RENAME TO restored_soon")
            following = asyncio.create_task(anext(watched))
            await asyncio.sleep(0.5)
            await b.change("ALTER TABLE restored_soon RENAME TO sync_events")
            async with b.sessions.begin() as session:
                await repository.finish(session, run_id=run.id, event=events.error("It ended"), state="failed")
            rest = await asyncio.wait_for(following, PATIENCE)

        assert first.count(b"event: ") == 3
        assert b"It ended" in rest


async def test_who_still_reads_the_first_end_of_a_run_does_not_keep_others_from_its_new_one(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(12)
        b.source.fail_at_page, b.source.failure = 0, Retryable("Connection timeout")
        integration = await b.integration()
        failed = await b.sync(integration)
        streams = b.components[RunStreams]
        async with aclosing(streams.watch(failed.id)) as slow:
            assert b"event: error" in await anext(slow)
            b.source.failure, b.source.gate = None, asyncio.Event()
            b.source.reached.clear()
            await b.components[RunControl].resume(failed.id, principal=ADMIN)
            await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

            following = asyncio.create_task(_all_of(streams, failed.id))
            await asyncio.sleep(0)
            b.source.gate.set()
            seen = await asyncio.wait_for(following, PATIENCE)

        assert (seen.count(b"event: error"), seen.count(b"event: complete")) == (0, 1)
        assert streams._tails == {}


async def _all_of(streams: RunStreams, run_id: UUID) -> bytes:
    async with aclosing(streams.watch(run_id)) as watched:
        return b"".join([data async for data in watched])


async def test_a_run_whose_log_a_failover_has_set_back_ends_as_it_ended_and_not_as_one_that_is_not_kept(
    database_url: str,
) -> None:
    async with bench(database_url, workers=0) as b:
        run_id = await b.start(await b.integration())
        async with b.sessions.begin() as session:
            told = [events.progress(f"Step {n}") for n in range(5)]
            await run_log.tell(session, SyncRun.id == run_id, events=told)

        async with aclosing(streams_of(b).watch(run_id)) as watched:
            assert (await anext(watched)).count(b"event: ") == 5
            await b.change("DELETE FROM sync_events WHERE seq > 2")
            await b.change("UPDATE sync_runs SET last_event = 2")
            async with b.sessions.begin() as session:
                await repository.finish(session, run_id=run_id, event=events.error("It ended"), state="failed")
            last = await asyncio.wait_for(anext(watched), PATIENCE)

        assert b"It ended" in last
        assert f"id: {run_id}:3".encode() in last
