"""A site as its operator has it: real processes over one database, asked over HTTP and by commands."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
from httpx_sse import connect_sse

from integrations_api.simulator.servicenow import AfterPage, SimulatorServer
from tests.support.applications import PASSWORD
from tests.support.processes import PATIENCE, Running, run_to_end, running, wait_for

ADA = "ada@example.com"


@dataclass
class Site:
    """Commands with the settings of one site; `code` is the environment that makes them another release's."""

    folder: Path
    settings: dict[str, str]
    token: str = ""
    _homes: int = field(default=0)

    def command(self, *arguments: str, code: Mapping[str, str] | None = None, typed: str = "") -> str:
        """What a command that must go well says."""
        done = run_to_end(self._home(), *arguments, settings={**self.settings, **(code or {})}, typed=typed)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def process(self, *arguments: str, code: Mapping[str, str] | None = None) -> Iterator[Running]:
        """`serve` or `worker` while the context lasts."""
        with running(self._home(), *arguments, settings={**self.settings, **(code or {})}) as process:
            if arguments[0] == "worker":
                process.wait_to_say("worker.started")
            yield process

    @contextmanager
    def api(self, *, code: Mapping[str, str] | None = None) -> Iterator["Asking"]:
        """A `serve` without a worker, and a client who is signed in."""
        with self.process("serve", "--port", "0", "--no-worker", code=code) as serve:
            url = serve.wait_to_say(r"serve\.started .*\burl=(\S+)")[1]
            headers = {"Authorization": f"Bearer {self.token}"}
            with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE, trust_env=False) as client:
                yield Asking(client)

    def sign_in(self, *, code: Mapping[str, str] | None = None) -> None:
        """Makes Ada and a token of hers."""
        self.command("users", "create", ADA, "--role", "admin", "--password-stdin", code=code, typed=f"{PASSWORD}\n")
        self.token = self.command("token", ADA, "--hours", "2", code=code).strip()

    def _home(self) -> Path:
        self._homes += 1
        home = self.folder / f"process{self._homes}"
        home.mkdir()
        return home


@dataclass
class Asking:
    """What somebody asks of one API process."""

    client: httpx.Client

    def get(self, path: str) -> httpx.Response:
        answer = self.client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer

    def connect(self, source: SimulatorServer) -> str:
        """The id of a new integration with this source."""
        config = {"url": source.url, "username": "integration", "password": "simulator-password"}
        body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": config, "is_active": True}
        identity: str = self.client.post("/integrations/create", json=body).json()["integration"]["id"]
        return identity

    def sync(self, integration: str, mode: str = "incremental") -> dict[str, Any]:
        """The stats of a sync that must go well, from its stream."""
        with connect_sse(self.client, "POST", f"/integrations/sync/{integration}", params={"mode": mode}) as stream:
            *_, last = stream.iter_sse()
        assert last.event == "complete", last.data
        stats: dict[str, Any] = last.json()["stats"]
        return stats

    def begin(self, integration: str, mode: str = "incremental") -> str:
        """The id of a run, once it has told of itself."""
        with connect_sse(self.client, "POST", f"/integrations/sync/{integration}", params={"mode": mode}) as stream:
            return next(stream.iter_sse()).id.partition(":")[0]

    def ended(self, run_id: str) -> dict[str, Any]:
        """A run, once it is over."""

        def look() -> dict[str, Any] | None:
            run: dict[str, Any] = self.get(f"/integrations/runs/{run_id}").json()["run"]
            return run if run["state"] in {"succeeded", "failed", "cancelled", "held"} else None

        return wait_for(look, f"the end of run {run_id}")

    def exports(self, integration: str) -> dict[int, str]:
        """Every version's number, and all that it says."""
        versions = f"/knowledge/datasets/{integration}/versions"
        listed = self.get(versions).json()["versions"]
        return {one["number"]: self.get(f"{versions}/{one['number']}/export").text for one in listed}


@contextmanager
def read_all_the_time(asking: Asking, *paths: str) -> Iterator[list[str]]:
    """Somebody reads these paths, one after another, while the context lasts; at least once each. What went wrong."""
    stop, wrong = Event(), list[str]()

    def read() -> None:
        while True:
            for path in paths:
                answer = asking.client.get(path)
                if answer.status_code != 200:
                    wrong.append(f"{path}: {answer.status_code} {answer.text[:300]}")
            if stop.wait(0.2):  # Others work on this machine, too.
                return

    reader = Thread(target=read)
    reader.start()
    try:
        yield wrong
    finally:
        stop.set()
        reader.join()


@contextmanager
def held_after_page(source: SimulatorServer, number: int) -> Iterator[Event]:
    """The source answers no further than this page while the context lasts; set once it is asked for it."""
    reached, go_on = Event(), Event()

    def hold(page: int) -> None:
        if page >= number:
            reached.set()
            go_on.wait(PATIENCE)

    source.add_fault(AfterPage(hold))
    try:
        yield reached
    finally:
        source.faults.clear()
        go_on.set()
