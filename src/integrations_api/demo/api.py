"""The service as anybody sees it: a small client of the public HTTP API."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import httpx
from msgspec import Struct

from integrations_api.errors import ApplicationError

READY_SECONDS = 60.0
SILENCE_SECONDS = 60.0
"""A stream pings every 15 seconds: this long without a byte means that it is lost."""


class StreamEvent(Struct, frozen=True):
    """One Server-Sent Event with its JSON."""

    name: str
    data: dict[str, Any]


class Api:
    """A client of one service; every refusal becomes an `ApplicationError` with the service's words."""

    def __init__(self, base_url: str) -> None:
        self.token = ""
        # A proxy of the environment has no business between two processes of this machine.
        self._client = httpx.Client(base_url=base_url, timeout=30, trust_env=False)

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def wait_until_ready(self, check_alive: Callable[[], None]) -> None:
        """Returns when database, schema and a worker are there; `check_alive` raises when waiting is in vain."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            check_alive()
            with suppress(httpx.TransportError):
                if self._client.get("/readyz").status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
        raise ApplicationError(f"The service was not ready after {READY_SECONDS:.0f} seconds")

    def sign_in(self, email: str, password: str) -> str:
        """A bearer token, used from here on."""
        answer = self._client.post("/auth/token", data={"username": email, "password": password})
        token: str = self._read(answer)["access_token"]
        self.token = token
        return token

    def find_integration(self, integration_id: str) -> dict[str, Any] | None:
        """The integration, or None when there is none of that id."""
        answer = self._client.get(f"/integrations/id/{integration_id}", headers=self._headers)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._integration(answer)

    def create_integration(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """A new integration."""
        return self._integration(self._client.post("/integrations/create", json=wanted, headers=self._headers))

    def update_integration(self, integration_id: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """The integration with other content."""
        path = f"/integrations/update/{integration_id}"
        return self._integration(self._client.put(path, json=wanted, headers=self._headers))

    def first_number(self, integration_id: str) -> str | None:
        """The number of an incident that the published dataset holds."""
        dataset = self._get(f"/knowledge/datasets/{integration_id}")["dataset"]
        if dataset["head"] is None:
            return None
        incidents = self._get(f"/knowledge/datasets/{integration_id}/versions/{dataset['head']}/incidents", limit=1)[
            "incidents"
        ]
        return incidents[0]["number"] if incidents else None

    def sync(self, integration_id: str, *, mode: str = "incremental") -> Iterator[StreamEvent]:
        """Starts a sync and gives its events as they come, to the last."""
        timeout = httpx.Timeout(30, read=SILENCE_SECONDS)
        path, params = f"/integrations/sync/{integration_id}", {"mode": mode}
        with self._client.stream("POST", path, params=params, headers=self._headers, timeout=timeout) as answer:
            if answer.status_code != httpx.codes.OK:
                answer.read()
                self._read(answer)
            yield from read_events(answer.iter_lines())

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def _get(self, path: str, **params: int) -> dict[str, Any]:
        return self._read(self._client.get(path, params=params, headers=self._headers))

    def _integration(self, answer: httpx.Response) -> dict[str, Any]:
        integration: dict[str, Any] = self._read(answer)["integration"]
        return integration

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            content: dict[str, Any] = answer.json()
        except ValueError:
            content = {}
        if not answer.is_success:
            raise ApplicationError(
                f"{answer.request.method} {answer.request.url.path} was answered with {answer.status_code}: "
                f"{content.get('message', 'no reason given')}"
            )
        return content


def read_events(lines: Iterable[str]) -> Iterator[StreamEvent]:
    """The events of a stream of lines; ids, comments and what is unknown are passed over."""
    name, data = "message", ""
    for line in lines:
        key, _, value = line.partition(":")
        if key == "event":
            name = value.strip()
        elif key == "data":
            data += value.removeprefix(" ")
        elif not line and data:
            yield StreamEvent(name, json.loads(data))
            name, data = "message", ""
