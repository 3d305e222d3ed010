"""What the run log says: the contract's events, to the byte. Pure builders over values.

Keys stand in the contract's order; fields of our own come after them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from integrations_api.json_lines import on_one_line

EventName = Literal["progress", "complete", "error"]
TERMINAL: frozenset[str] = frozenset({"complete", "error"})


class NewEvent(Struct, frozen=True):
    """An event before it is written down: `payload` is compact JSON on one line."""

    event: EventName
    payload: str


class LoggedEvent(Struct, frozen=True):
    """An event as it stands in the run log."""

    seq: int
    event: str
    payload: str

    @property
    def is_terminal(self) -> bool:
        """Whether the run's stream ends with it."""
        return self.event in TERMINAL


def _event(name: EventName, data: Mapping[str, Any]) -> NewEvent:
    return NewEvent(event=name, payload=on_one_line(data).decode())


def progress(message: str) -> NewEvent:
    """Progress before the batches are known."""
    return _event("progress", {"batch": 0, "totalBatches": 0, "message": message})


def fetching(service: str, noun: str) -> NewEvent:
    """The first event of a run."""
    return progress(f"Fetching {noun} from {service}...")


def ingesting(*, incidents: int, batch_size: int, noun: str) -> NewEvent:
    """The totals, before the first batch."""
    batches = count_batches(incidents, batch_size)
    message = f"Ingesting {incidents} {noun} in {batches} batch(es)..."
    return _event("progress", {"batch": 0, "totalBatches": batches, "totalIncidents": incidents, "message": message})


def count_batches(incidents: int, batch_size: int) -> int:
    """How many batches that many incidents make; the last is the remainder."""
    return -(-incidents // batch_size)


def batches(numbers: Sequence[str], *, done: int, total: int, batch_size: int, noun: str) -> Iterator[NewEvent]:
    """One event for each batch of the numbers just committed, of which `done` came before.

    Chunks end where batches end, so only the very last batch may be short.
    """
    total_batches = count_batches(total, batch_size)
    for offset in range(0, len(numbers), batch_size):
        batch = numbers[offset : offset + batch_size]
        index = (done + offset) // batch_size + 1
        yield _event(
            "progress",
            {
                "batch": index,
                "totalBatches": total_batches,
                "incidents": batch,
                "totalIncidents": total,
                "message": f"Batch {index} of {total_batches} processed ({len(batch)} {noun})",
            },
        )


def complete(*, integration: Mapping[str, Any], stats: Mapping[str, Any], **more: Any) -> NewEvent:
    """The run has succeeded; `stats` begin with added, total, last_synced."""
    return _event("complete", {"success": True, "integration": integration, "stats": stats, **more})


def remapped(incidents: int, *, noun: str, version: int | None) -> NewEvent:
    """The end of a run that only maps anew what is stored."""
    message = f"The mapping has changed: {incidents} stored {noun} read otherwise now"
    stats = {"added": 0, "total": incidents, "updated": incidents, "version": version}
    return _event("complete", {"success": True, "message": message, "stats": stats})


def error(message: str) -> NewEvent:
    """The run, or the wish for one, has failed."""
    return _event("error", {"success": False, "message": message})
