"""The demo's steps, one after another, and its end."""

import asyncio
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.access.service import AccessService
from integrations_api.cli.setup import opened_database
from integrations_api.cli.signals import HANDLED, Signals
from integrations_api.cli.sockets import base_url, check_port
from integrations_api.db.revisions import head_revision
from integrations_api.demo.admin import Admin, ensure_admin
from integrations_api.demo.api import Api
from integrations_api.demo.keeping import SourceMemory
from integrations_api.demo.screen import Screen
from integrations_api.demo.service import Service
from integrations_api.demo.source import DemoSource
from integrations_api.demo.worlds import KINDS
from integrations_api.errors import ApplicationError, Conflict
from integrations_api.logs import configure_logging
from integrations_api.settings import Settings, load_settings
from integrations_api.wiring import assemble

TOKEN_MINUTES = 24 * 60
CHANGES = 18
_ENDED = {128 + number for number in HANDLED}

_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)


def run_demo(*, once: bool, port: int, incidents: int, service: str = "servicenow") -> None:
    """Runs the demo; returns when all of it is gone. Raises `ApplicationError` for what goes wrong."""
    Signals()
    # A DATABASE_URL that is set belongs to something real: the demo never touches it.
    settings = load_settings(database_url=None, port=port)
    configure_logging(log_format=settings.log_format, level="ERROR")
    screen = Screen()
    with ExitStack() as stack:
        demo = _Demo(settings, screen, stack, incidents=incidents, service=service)
        demo.start()
        demo.sync()
        if once:
            demo.say_how_to_sign_in()
            return
        demo.go_on()
        try:
            demo.stay()
        except SystemExit as asked:
            if asked.code not in _ENDED:
                raise
            screen.title("Stopping: API, worker, simulator, PostgreSQL ...")
    screen.say("Stopped. The data is kept for the next start.")


class _Demo:
    """What has been started; `stack` ends it in the reverse order."""

    def __init__(self, settings: Settings, screen: Screen, stack: ExitStack, *, incidents: int, service: str) -> None:
        self._settings = settings
        self._screen = screen
        self._stack = stack
        self._incidents = incidents
        self._kind = KINDS[service]
        self._service_word = service
        self._folder = settings.data_dir.absolute() / "demo"
        self._url = base_url(settings.host, settings.port)

    def start(self) -> None:
        """Everything up to an integration that can be synced."""
        check_port(self._settings.host, self._settings.port)
        self._screen.title("Integrations API: the whole system on this machine")
        self._admin = self._open_database()
        self._memory = SourceMemory.load(self._folder, incidents=self._incidents, service=self._service_word)
        is_known = self._memory.integration_id is not None
        self._source = self._stack.enter_context(DemoSource(self._memory, preferred_port=self._settings.port + 1))
        news = f", {self._source.let_time_pass(CHANGES)} changes since the last start" if is_known else ""
        where = f"{self._source.incidents:,} {self._kind.noun} at {self._source.url}"
        self._screen.fact(self._kind.name, f"simulated, {where}{news}")
        self._open_service()
        self._integration_id = self._ensure_integration()

    def _open_database(self) -> Admin:
        url = self._stack.enter_context(opened_database(self._settings))
        self._folder.mkdir(mode=0o700, exist_ok=True)
        admin = asyncio.run(_prepare(self._settings, url, self._folder))
        where = _short(self._settings.data_dir / "postgres")
        self._screen.fact("PostgreSQL", f"in {where}, schema {head_revision()}")
        return admin

    def _open_service(self) -> None:
        self._service = self._stack.enter_context(
            Service(settings=self._settings_of_service(), log=self._folder / "serve.log")
        )
        self._api = self._stack.enter_context(Api(self._url))
        self._api.wait_until_ready(self._service.check)
        self._token = self._api.sign_in(self._admin.email, self._admin.password)
        self._screen.fact("API, worker", f"at {self._url}, log in {_short(self._folder / 'serve.log')}")

    def _settings_of_service(self) -> dict[str, str]:
        mine = {
            "DATABASE_URL": "",
            "HOST": self._settings.host,
            "PORT": str(self._settings.port),
            "EGRESS_ALLOWED_HOSTS": self._source.address,
            "EGRESS_NO_PROXY": ",".join([*self._settings.egress_no_proxy, self._source.address]),
        }
        if "access_token_minutes" not in self._settings.model_fields_set:
            mine["ACCESS_TOKEN_MINUTES"] = str(TOKEN_MINUTES)
        return mine

    def _ensure_integration(self) -> str:
        """The integration of the last start, pointing to where the simulator is now; or a new one."""
        wanted = self._wanted(f"{self._kind.name} ({self._incidents:,} simulated {self._kind.noun})")
        known = self._memory.integration_id and self._api.find_integration(self._memory.integration_id)
        if not known:
            integration = self._api.create_integration(wanted)
            self._memory.integration_id = str(integration["id"])
            self._memory.save()
            self._screen.fact("Integration", f"{self._memory.integration_id} created")
            return self._memory.integration_id
        if known["config"].get("url") != self._source.url or not known["is_active"]:
            self._api.update_integration(known["id"], wanted)
        self._screen.fact("Integration", f"{known['id']} found again")
        return str(known["id"])

    def _wanted(self, name: str) -> dict[str, Any]:
        config = {"url": self._source.url, **self._kind.sign_in}
        return {"service_name": name, "auth_type": self._kind.auth_type, "config": config, "is_active": True}

    def sync(self) -> None:
        """One sync, shown as it goes on. Raises `ApplicationError` unless it ends complete."""
        self._screen.title(f"POST {self._sync_url}")
        began = time.monotonic()
        stats = self._screen.follow(self._api.sync(self._integration_id, mode=self._kind.mode))["stats"]
        seconds = time.monotonic() - began
        counts = ", ".join(f"{name} {stats[name]:,}" for name in ("added", "updated", "unchanged", "deleted"))
        self._screen.fact("Result", f"total {stats['total']:,} ({counts}) in {seconds:.1f} s")
        version = stats["version"]
        self._screen.fact("Version", f"{version} published" if version else "none made, for nothing has changed")
        verdict = stats["verdict"]
        self._screen.fact("Verdict", _in_words(verdict))
        if verdict["state"] != "complete":
            raise ApplicationError(f"The sync is not complete: {verdict['why']}")

    @property
    def _sync_url(self) -> str:
        mode = "" if self._kind.mode == "incremental" else f"?mode={self._kind.mode}"
        return f"{self._url}/integrations/sync/{self._integration_id}{mode}"

    def say_how_to_sign_in(self) -> None:
        """Where it is, and as whom."""
        self._screen.title("Sign in")
        self._screen.fact("Base URL", self._url)
        self._screen.fact("Docs", f"{self._url}/docs")
        self._screen.fact("E-mail", self._admin.email)
        self._screen.fact("Password", self._admin.password)

    def go_on(self) -> None:
        """What can be tried while it stays up."""
        self.say_how_to_sign_in()
        self._screen.fact("Token", self._token)
        self._screen.title("Paste any of these into another terminal")
        for about, line in self._curl_lines():
            self._screen.say(f"\n  {about}:\n  {line}")
        changes = self._source.let_time_pass(CHANGES)
        self._screen.title(
            f"{changes} changes have just been made at the simulated {self._kind.name}: sync again to see them."
        )
        self._screen.say("Ctrl-C ends all of it, PostgreSQL included.")

    def _curl_lines(self) -> list[tuple[str, str]]:
        signed = f"-H 'Authorization: Bearer {self._token}'"
        body = json.dumps(self._wanted(f"{self._kind.name} Second"), separators=(",", ":"))
        number = self._api.first_number(self._integration_id) or "none"
        incident = f"{self._url}/knowledge/incidents/{number}?integration={self._integration_id}"
        create = f"{self._url}/integrations/create"
        return [
            ("List the integrations", f"curl -s {signed} {self._url}/integrations/all"),
            ("Create another", f"curl -s {signed} -H 'Content-Type: application/json' -d '{body}' {create}"),
            ("Sync, and watch", f"curl -N -s -X POST {signed} -H 'Accept: text/event-stream' '{self._sync_url}'"),
            ("One incident by number", f"curl -s {signed} '{incident}'"),
        ]

    def stay(self) -> None:
        """Until a signal; raises `ApplicationError` if the service ends by itself."""
        while True:
            self._service.check()
            time.sleep(0.5)


async def _prepare(settings: Settings, url: str, folder: Path) -> Admin:
    async with assemble(settings, database_url=url) as components:
        async with components[AsyncEngine].connect() as connection:
            if await connection.scalar(_OTHERS):
                raise Conflict(
                    f"The database in {_short(settings.data_dir)} is in use, and another worker would not reach the "
                    "simulated source: end the other demo or service first, or set DATA_DIR to another folder"
                )
        return await ensure_admin(components[AccessService], folder)


def _in_words(verdict: dict[str, Any]) -> str:
    if verdict["source"] is None:
        return f"{verdict['state']}: {verdict['why']}"
    return f"{verdict['state']}: the source says {verdict['source']:,}, the dataset holds {verdict['stored']:,}"


def _short(path: Path) -> str:
    """Relative to where we are, if it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
