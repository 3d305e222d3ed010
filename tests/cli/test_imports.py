"""What a start imports and builds: it is most of it."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from integrations_api.cli import answering, starting
from integrations_api.cli.child import WORKER_BESIDE
from tests.cli.conftest import Run
from tests.support.starts import ANSWERING, WORKING

NOT_YET = [
    "alembic",
    "cryptography.x509",
    "httpcore",
    "httpx",
    "integrations_api.connectors.github.connector",
    "integrations_api.connectors.github.mapping",
    "integrations_api.connectors.http",
    "integrations_api.connectors.jira.connector",
    "integrations_api.connectors.jira.mapping",
    "integrations_api.connectors.servicenow.connector",
    "integrations_api.connectors.servicenow.mapping",
    "jose",
    "passlib",
    "pydantic.v1",
    "pygments",
    "rich",
]

_TELLING = """
import json, sys
from pydantic import BaseModel
told = {"modules": [name for name, module in sys.modules.items() if module]}
def below(model):
    return [model, *(one for child in model.__subclasses__() for one in below(child))]
models = below(BaseModel)[1:]
told["models"] = len(models)
told["models built"] = [f"{one.__module__}.{one.__name__}" for one in models if one.__pydantic_complete__]
"""

_OF_THE_API = """
import asyncio
from integrations_api.access.passwords import Passwords
async def assemble():
    return Passwords()
asyncio.run(assemble())
told["imported by parts"] = sorted({"anyio._backends._asyncio", "passlib"} & {*sys.modules})
from integrations_api.app import ROUTERS
routes = [route for each in ROUTERS for route in each.routes]
told["routes"] = len(routes)
told["routes built"] = [route.path for route in routes if "dependant" in vars(route)]
for route in routes:
    route.build()
    if route.body_field:
        route.body_field.validate({}, loc=())
told["Pydantic 1 then"] = sys.modules["pydantic.v1"]
print(json.dumps(told))
"""

_OF_A_WORKER = """
import gc
from integrations_api.cli import loops
told["collects at first"] = gc.isenabled()
loops.spare_what_is_there()
told["collects then"] = gc.isenabled() and gc.get_freeze_count() > 1000
gc.disable()
life.close()
told["left"] = [gc.isenabled(), BaseModel.model_config, "rich" in sys.modules]
print(json.dumps(told))
"""

_OPENING = """
import json, sys
from importlib import import_module
from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.registry import CONNECTORS, services
from integrations_api.egress.guard import EgressPolicy
for module in CONNECTORS:
    import_module(module)
caught_up = {*sys.modules}
config = {"url": "http://desk.example.com", "api_token": "token", "owner": "octo-org"}
context = ConnectorContext(page_size=1, concurrency=1, overlap_seconds=0, retry_budget_seconds=0)
policy = EgressPolicy(allowed_hosts=("desk.example.com",))
opened = [service.open("api_token", config, context, policy) for service in services()]
imported = {name for name in {*sys.modules} - caught_up if not name.startswith("pydantic.")}
print(json.dumps({"opened": len(opened), "imported": sorted(imported)}))
"""


def told_by(program: str) -> Any:
    """What a program tells as JSON, and nothing else: no warning either."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def api() -> Any:
    """The API's process by the time it answers."""
    return told_by(ANSWERING + _TELLING + _OF_THE_API)


@pytest.fixture(scope="module")
def worker() -> Any:
    """A worker's process by the time it works."""
    return told_by(WORKING + _TELLING + _OF_A_WORKER)


def test_the_api_imports_nothing_that_it_needs_later_or_only_a_worker_needs(api: Any) -> None:
    modules = set(api["modules"])

    assert {"integrations_api.sync.service", "fastapi"} <= modules
    assert modules & {*NOT_YET, "croniter", "pgqueuer", "integrations_api.sync.engine"} == set()


def test_nothing_is_imported_for_passwords_before_there_is_one(api: Any) -> None:
    assert api["imported by parts"] == []


def test_a_worker_imports_nothing_that_it_needs_later_or_only_the_api_needs(worker: Any) -> None:
    modules = set(worker["modules"])

    assert {"integrations_api.sync.engine", "integrations_api.queue.worker"} <= modules
    assert modules & {*NOT_YET, "pgqueuer", "fastapi", "starlette", "uvicorn", "h11", "sse_starlette", "typer"} == set()
    only_answering = {"answering_wiring", "integrations.service", "search.service"}
    assert modules & {f"integrations_api.{name}" for name in only_answering} == set()


@pytest.mark.parametrize("module", answering._IMPORTED_LATER)
def test_what_is_imported_later_is_there(module: str) -> None:
    assert import_module(module)


def test_a_source_is_opened_without_an_import_once_a_process_has_caught_up() -> None:
    assert told_by(WORKING + _OPENING) == {"opened": 3, "imported": []}


def test_nothing_is_imported_in_a_thread_beside_what_imports_on_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "told_by_whom.py").write_text("import threading; thread = threading.current_thread()")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(starting, "_UNDISTURBED", 0)

    asyncio.run(starting.catch_up("told_by_whom"))

    assert sys.modules.pop("told_by_whom").thread is threading.main_thread()


def test_routes_are_not_built_at_the_start(api: Any) -> None:
    assert api["routes"] > 50
    assert api["routes built"] == []


def test_what_checks_and_writes_a_model_is_not_built_at_the_start(api: Any) -> None:
    assert api["models"] > 100
    assert [name for name in api["models built"] if not name.startswith("fastapi.openapi.models.")] == []
    # FastAPI asks for three of its own, and our routes for how one signs in.
    assert len(api["models built"]) < 10


def test_nobody_imports_pydantic_1_to_ask_whether_a_model_is_one_of_it(api: Any) -> None:
    assert api["Pydantic 1 then"] is None


def test_the_collector_begins_when_everything_is_there(worker: Any) -> None:
    assert (worker["collects at first"], worker["collects then"]) == (False, True)


def test_a_process_that_could_not_start_leaves_nothing_put_off(worker: Any) -> None:
    assert worker["left"] == [True, {}, False]


def test_a_worker_that_still_imports_its_parts_is_ended_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    program = import_module("integrations_api.cli.main")
    monkeypatch.setattr(program, "_work_beside", lambda: found.append(signal.getsignal(signal.SIGTERM)))

    run(*WORKER_BESIDE)

    assert found == [signal.SIG_DFL]
