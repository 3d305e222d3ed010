"""What the demo remembers between two starts, in private files under the data folder."""

import json
import os
from pathlib import Path
from typing import Any, Self

from msgspec import Struct, field
from msgspec.structs import asdict

from integrations_api.errors import ApplicationError


class Change(Struct):
    """Some time that has passed at the simulated source: what happened, repeatable."""

    at: int
    """Seconds since the epoch."""
    steps: int
    seed: int


class SourceMemory(Struct):
    """One simulated source: made again from this at every start, so that its history goes on."""

    path: Path
    incidents: int
    service: str = "servicenow"
    port: int | None = None
    integration_id: str | None = None
    changes: list[Change] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path, *, incidents: int, service: str = "servicenow") -> Self:
        """What is known of the source with that many incidents; a fresh memory when nothing is."""
        path = folder / f"{service}-{incidents}.json"
        kept = read_json(path)
        try:
            changes = [Change(**change) for change in kept.get("changes", ())]
            return cls(path, incidents, service, kept.get("port"), kept.get("integration_id"), changes)
        except TypeError:
            raise _damaged(path) from None

    def save(self) -> None:
        """Writes it down."""
        write_private(
            self.path,
            {
                "port": self.port,
                "integration_id": self.integration_id,
                "changes": [asdict(change) for change in self.changes],
            },
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file; empty when there is none. Raises `ApplicationError` for anything else."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise _damaged(path) from None
    if not isinstance(kept, dict):
        raise _damaged(path)
    return kept


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Writes the file whole or not at all, readable for its owner alone."""
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)
    draft.replace(path)


def _damaged(path: Path) -> ApplicationError:
    return ApplicationError(f"The demo's file {path} cannot be read: remove it, and the demo begins anew")
