"""The knowledge base as its users meet it: what changed, how it read before, put it back, look again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from httpx_sse import connect_sse

from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer
from tests.journeys.test_handover import admin_token, client, create_integration
from tests.support.applications import settings_for
from tests.support.processes import as_environment, running


@pytest.fixture
def source() -> Iterator[SimulatorServer]:
    with SimulatorServer(ServiceNowInstance.with_incidents(60, seed=11)) as server:
        yield server


class Reader:
    """What somebody asks of one dataset."""

    def __init__(self, api: httpx.Client, integration: str) -> None:
        self.api = api
        self.integration = integration
        self.versions = f"/knowledge/datasets/{integration}/versions"

    def get(self, path: str, **query: Any) -> Any:
        answer = self.api.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sync(self, mode: str = "incremental") -> dict[str, Any]:
        """The stats of a sync, from its stream."""
        path = f"/integrations/sync/{self.integration}"
        with connect_sse(self.api, "POST", path, params={"mode": mode}) as stream:
            *_, last = stream.iter_sse()
        assert last.event == "complete", last.data
        stats: dict[str, Any] = last.json()["stats"]
        return stats

    def found(self, query: str, version: int | None = None) -> list[str]:
        """Numbers of what a search finds, in a version or in the head."""
        asked = {"version": version} if version else {}
        answer = self.get("/knowledge/search", q=query, integration=self.integration, **asked)
        return [hit["number"] for hit in answer["hits"]]

    def text(self, number: str, version: int | None = None) -> str:
        asked = {"version": version} if version else {}
        return str(
            self.get(f"/knowledge/incidents/{number}", integration=self.integration, **asked)["incident"]["text"]
        )

    def contents(self, version: int) -> dict[str, Any]:
        """number → what a version says of the incident."""
        listed = self.get(f"{self.versions}/{version}/incidents", limit=1000)["incidents"]
        said = ("title", "text", "notes", "attributes", "url")
        return {one["number"]: {name: one[name] for name in said} for one in listed}


def test_compare_look_back_roll_back_and_sync_again(tmp_path: Path, database_url: str, source: SimulatorServer) -> None:
    allowed = source.url.removeprefix("http://")
    settings = as_environment(settings_for(database_url, egress_allowed_hosts=(allowed,)))
    token = anyio.run(admin_token, settings)
    instance = source.instance
    changed, gone = instance.create({"description": "The walrus sleeps."}), instance.create({"description": "Otters."})
    with (
        running(tmp_path, "serve", "--port", "0", settings=settings) as serve,
        client(serve.wait_until_ready(), token) as api,
    ):
        reader = Reader(api, create_integration(api, source))
        empty = reader.get(f"/knowledge/datasets/{reader.integration}")
        assert (empty["dataset"]["head"], empty["message"]) == (
            None,
            f"Nothing is published yet: POST /integrations/sync/{reader.integration}",
        )

        assert reader.sync()["added"] == 62
        walrus = reader.found("walrus")
        otter = reader.found("otters")
        assert (len(walrus), len(otter)) == (1, 1)

        instance.update(changed, {"description": "The zeppelin flies."})
        instance.delete(gone)
        instance.create({"description": "A marmot whistles."})
        stats = reader.sync("full")  # The source keeps its log of deletions to itself.
        assert (stats["added"], stats["updated"], stats["deleted"], stats["version"]) == (1, 1, 1, 2)
        marmot = reader.found("marmot")

        diff = reader.get(f"{reader.versions}/2/diff", base=1)
        assert diff["counts"] == {"added": 1, "changed": 1, "removed": 1}
        kinds = {change["change"]: change for change in diff["changes"]}
        assert [kinds[kind]["number"] for kind in ("added", "changed", "removed")] == marmot + walrus + otter
        (text,) = (field for field in kinds["changed"]["fields"] if field["field"] == "text")
        assert (text["before"], text["after"]) == ("The walrus sleeps.", "The zeppelin flies.")

        def reads_as_of(version: int, **found: list[str]) -> None:
            assert {word: reader.found(word, version) for word in found} == found

        for_ever = {
            1: {"walrus": walrus, "otters": otter, "zeppelin": [], "marmot": []},
            2: {"walrus": [], "otters": [], "zeppelin": walrus, "marmot": marmot},
        }
        for version, found in for_ever.items():
            reads_as_of(version, **found)
        assert (reader.text(walrus[0], 1), reader.text(walrus[0])) == ("The walrus sleeps.", "The zeppelin flies.")

        api.put(f"/integrations/schedule/{reader.integration}", json={"cron": "0 6 * * *"}).raise_for_status()
        undone = api.post(f"{reader.versions}/1/rollback", json={"reason": "the zeppelin was a mistake"}).json()
        assert (undone["version"]["number"], undone["version"]["kind"]) == (3, "rollback")
        assert undone["message"] == (
            "Version 3 now equals version 1. The next sync reads everything from the source. "
            "The schedule is paused until you resume it."
        )
        assert reader.contents(3) == reader.contents(1)
        assert {word: reader.found(word) for word in for_ever[1]} == for_ever[1]
        shown = api.get(f"/integrations/id/{reader.integration}").json()["integration"]
        assert shown["next_sync_at"] is None

        stats = reader.sync()
        assert (stats["added"], stats["updated"], stats["deleted"], stats["version"]) == (1, 1, 1, 4)
        assert stats["verdict"]["state"] == "complete"
        assert reader.contents(4) == reader.contents(2)
        assert reader.get(f"{reader.versions}/4/diff", base=2)["changes"] == []
        for version, found in for_ever.items():
            reads_as_of(version, **found)
        history = reader.get(f"/knowledge/incidents/{walrus[0]}/history")["history"]
        assert [(entry["version"], entry["fields"]) for entry in history] == [
            (4, ["text"]),
            (3, ["text"]),
            (2, ["text"]),
            (1, []),
        ]
        assert api.get("/knowledge/search", params={"q": "walrus", "version": 9}).status_code == 404
