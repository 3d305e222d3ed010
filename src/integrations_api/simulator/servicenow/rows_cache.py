"""Serialised rows, kept until the row changes."""

from .display import Look

Written = bytes | memoryview
MOST_BYTES = 300_000_000


class RowsCache:
    """Written rows per look.

    When it is full it keeps what it has: a scan that repeats then still finds its first part.
    """

    def __init__(self) -> None:
        self._looks: dict[Look, dict[str, Written]] = {}
        self._bytes = 0

    def of(self, look: Look) -> dict[str, Written]:
        return self._looks.setdefault(look, {})

    def keep(self, kept: dict[str, Written], rows: list[tuple[str, bytes]]) -> None:
        """Keeps rows (by case-folded sys_id) that were written together."""
        if self._bytes >= MOST_BYTES:
            return
        # One block for all of them: one by one, between the serialiser's buffers, they take three times the room.
        block = memoryview(b"".join([text for _, text in rows]))
        start = 0
        for key, text in rows:
            kept[key] = block[start : start + len(text)]
            start += len(text)
        self._bytes += start

    def forget(self, table: str, key: str) -> None:
        for look, kept in self._looks.items():
            if look.table == table:
                self._bytes -= len(kept.pop(key, b""))

    def clear(self) -> None:
        self._looks.clear()
        self._bytes = 0
