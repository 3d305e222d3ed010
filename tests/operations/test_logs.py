"""Lines of the log: each names the request, run and integration it belongs to, and nothing is written twice."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sse_starlette import EventSourceResponse
from structlog.dev import ConsoleRenderer

from integrations_api.api.routes import PUBLIC, Router
from integrations_api.cli.quiet_server import QuietServer, config_for
from integrations_api.cli.sockets import listen
from integrations_api.logs import AlreadyLogged, bind, bound, configure_logging, get_logger
from integrations_api.queue.jobs import enqueue
from integrations_api.worker_wiring import build_worker
from tests.support.applications import bare_app, settings_for
from tests.support.logged import Logged, logged
from tests.support.served import served
from tests.support.syncing import PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio

DEFECT = "planted defect"


@pytest.fixture
def log() -> Iterator[Logged]:
    with logged() as lines:
        yield lines


def ids_of(line: dict[str, Any]) -> tuple[Any, Any]:
    return line.get("run_id"), line.get("integration_id")


async def test_a_requests_line_names_the_run_and_the_integration_it_was_about(database_url: str, log: Logged) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(7)
        integration = str(await b.integration())
        stream = await api.watch("POST", f"/integrations/sync/{integration}")
        run = stream[0].id.partition(":")[0]
        for path in (f"runs/{run}", f"runs/{run}/events", f"id/{integration}", f"sync/{integration}/events"):
            (await api.client.get(f"/integrations/{path}")).raise_for_status()
        await api.client.get("/healthz")
        await api.client.get("/integrations/id/not-an-id")

    lines = [(line["route"].rpartition("/integrations/")[2], *ids_of(line)) for line in log.events("request")]
    assert lines == [
        ("sync/{integration_id}", run, integration),
        ("runs/{run_id}", run, integration),
        ("runs/{run_id}/events", run, integration),
        ("id/{integration_id}", None, integration),
        ("sync/{integration_id}/events", run, integration),
        ("/healthz", None, None),
        ("id/{integration_id}", None, None),
    ]
    assert "not-an-id" not in str(log.lines)


async def test_every_line_of_a_run_names_it_and_no_request(database_url: str, log: Logged) -> None:
    async with bench(database_url) as b, served(b) as api:
        integration = str(await b.integration())
        stream = await api.watch("POST", f"/integrations/sync/{integration}")

    of_runs = [line for line in log.lines if line["event"].startswith("sync.")]
    assert len(of_runs) == 2
    assert {ids_of(line) for line in of_runs} == {(stream[0].id.partition(":")[0], integration)}
    assert not [line for line in of_runs if "request_id" in line]


def broken_app() -> FastAPI:
    """Fails before an answer, in the middle of one, and in the middle of an event stream."""
    app = bare_app()
    router = Router(dependencies=[PUBLIC])

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError(DEFECT)

    @router.get("/before")
    async def before() -> None:
        raise RuntimeError(DEFECT)

    @router.get("/amid")
    async def amid() -> StreamingResponse:
        return StreamingResponse(pieces())

    @router.get("/amid-events")
    async def amid_events() -> EventSourceResponse:
        return EventSourceResponse(pieces())

    app.include_router(router)
    return app


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The application under the server that `serve` has."""
    with closing(listen("127.0.0.1", 0)) as listener:
        server = QuietServer(config_for(app, settings_for("postgresql://nobody@127.0.0.1:1/nothing")))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as client:
            yield client
        server.should_exit = True
        await running


@pytest.mark.parametrize("route", ["/before", "/amid", "/amid-events"])
async def test_a_route_that_fails_is_told_once_and_the_connection_cut(log: Logged, route: str) -> None:
    async with serving(broken_app()) as client:
        try:
            status = (await client.get(route)).status_code
        except httpx.RemoteProtocolError:
            status = None

    assert status == (500 if route == "/before" else None)
    assert [line["event"] for line in log.lines] == ["request.failed", "request"]
    assert [line["event"] for line in log.telling(DEFECT)] == ["request.failed"]
    assert len({line["request_id"] for line in log.lines}) == 1


async def test_a_sync_that_breaks_is_told_once_with_its_ids(database_url: str, log: Logged) -> None:
    async with bench(database_url) as b:
        b.source.fill(7)
        b.source.fail_at_page, b.source.failure = 0, RuntimeError(DEFECT)  # type: ignore[assignment]
        run = await b.sync(await b.integration())

    assert run.state == "failed"
    assert [line["event"] for line in log.telling(DEFECT)] == ["sync.attempt_broke"]
    assert ids_of(log.telling(DEFECT)[0]) == (str(run.id), str(run.integration_id))
    assert [line["event"] for line in log.lines if line["level"] in {"warning", "error"}] == [
        "sync.attempt_broke",
        "sync.failed",
    ]


async def test_a_job_and_a_duty_that_fail_are_told_once_each(database_url: str, log: Logged) -> None:
    failed: asyncio.Queue[str] = asyncio.Queue()

    async def job(key: str) -> None:
        failed.put_nowait(key)
        raise RuntimeError(f"{DEFECT} of the job")

    async def duty() -> None:
        failed.put_nowait("duty")
        raise RuntimeError(f"{DEFECT} of the duty")

    async with bench(database_url, workers=0) as b:
        await _work_until_both_failed(b, job, duty, failed)

    assert [line["logger"] for line in log.telling(f"{DEFECT} of the job")] == ["pgqueuer"]
    assert [line["event"] for line in log.telling(f"{DEFECT} of the duty")] == ["worker.duty_failed"]


async def _work_until_both_failed(b: Bench, job: Any, duty: Any, failed: "asyncio.Queue[str]") -> None:
    worker = build_worker(b.components)
    worker.handlers["planted"] = job
    worker.duties.append(("planted", timedelta(days=1), duty))
    async with b.sessions.begin() as session:
        await enqueue(session, entrypoint="planted", keys=["1"])
    stopping = asyncio.Event()
    running = asyncio.create_task(worker.run(stopping))
    async with asyncio.timeout(PATIENCE):
        assert {await failed.get(), await failed.get()} == {"1", "duty"}
    stopping.set()
    await running


@pytest.mark.parametrize(("level", "heard"), [("INFO", []), ("DEBUG", ["pgqueuer"])])
def test_libraries_are_heard_when_something_is_wrong(level: str, heard: list[str]) -> None:
    names = ["httpx", "passlib.registry", "pgqueuer", "asyncio", "alembic.runtime.plugins"]
    with logged(level) as log:
        for name in names:
            logging.getLogger(name).info("all is well")
            logging.getLogger(name).warning("something is wrong")
        told = log.lines

    assert [line["logger"] for line in told if line["level"] == "info"] == heard
    assert [line["logger"] for line in told if line["level"] == "warning"] == names


def test_what_is_bound_meanwhile_is_let_go_and_an_events_own_facts_come_first(log: Logged) -> None:
    told = get_logger("tests")
    with bound(a=1, b=1):
        with bound(b=2):
            bind(c=3)
            told.info("inside", a=0)
        told.info("after")
    told.info("outside")

    facts = [{name: line[name] for name in "abc" if name in line} for line in log.lines]
    assert facts == [{"a": 0, "b": 2, "c": 3}, {"a": 1, "b": 1}, {}]


@pytest.mark.parametrize(
    "value", ["plain", "two words", "a=b", "it's", 'say "so"', "tab\there", "ä", "", None, True, 3, 1.5, [1, "x y"], {}]
)
def test_a_line_of_text_is_as_structlog_would_write_it(value: Any) -> None:
    configure_logging(log_format="text", level="INFO")
    (handler,) = logging.getLogger().handlers
    (ours,) = handler.renderers  # type: ignore[attr-defined]
    event = {"timestamp": "2026-03-01T10:30:00Z", "level": "info", "event": value, "logger": "room", "b": value, "a": 1}

    assert ours(None, "info", dict(event)) == ConsoleRenderer(colors=False)(None, "info", dict(event))


def test_our_own_events_keep_to_the_level_and_to_what_was_not_told_yet() -> None:
    own = get_logger("integrations_api.made_up")
    with logged("INFO") as log:
        own.debug("unheard")
        for error in (AlreadyLogged(), RuntimeError(DEFECT)):
            try:
                raise error
            except Exception:
                own.exception("heard")
        told = log.lines

    assert [(line["event"], line["logger"], line["level"]) for line in told] == [
        ("heard", "integrations_api.made_up", "error")
    ]
    assert DEFECT in told[0]["exception"]


def test_a_line_that_cannot_be_written_is_no_trouble_of_who_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    with logged() as log:
        log.close()
        get_logger("integrations_api.made_up").info("untold")

    assert "untold" in capsys.readouterr().err
