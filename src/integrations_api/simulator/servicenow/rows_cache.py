"""Serialised rows, kept until the row changes."""

from .display import Look
from .table import Row

MOST_BYTES = 400_000_000


class RowsCache:
    """Bytes per look and row.

    When it is full it keeps what it has: a scan that repeats then still finds its first part.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._looks: dict[Look, dict[str, bytes]] = {}
        self._bytes = 0

    def of(self, look: Look) -> dict[str, bytes]:
        return self._looks.setdefault(look, {})

    def keep(self, kept: dict[str, bytes], row: Row, written: bytes) -> None:
        if self._bytes + len(written) <= self.most_bytes:
            kept[row.key] = written
            self._bytes += len(written)

    def forget(self, table: str, key: str) -> None:
        for look, kept in self._looks.items():
            if look.table == table:
                self._bytes -= len(kept.pop(key, b""))

    def clear(self) -> None:
        self._looks.clear()
        self._bytes = 0
