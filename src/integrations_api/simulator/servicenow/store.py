"""What an instance holds and how it is read: tables, clock, users, toggles."""

import threading
from collections.abc import Iterable, Iterator
from random import Random
from typing import Literal, Self
from zoneinfo import ZoneInfo

from integrations_api.simulator.common.clock import Clock, WallClock, stamp
from integrations_api.simulator.common.dice import hex_id_for as sys_id_for
from integrations_api.simulator.company import people
from integrations_api.simulator.company.catalogue import THEMES

from .access import Client, Door, User
from .columns import CHOICES, TABLE_LABELS, TABLES, Column, Kind, display_column
from .incidents import GENERATED_UNTIL, IncidentGenerator
from .journals import JournalTable
from .query import Query, parse
from .rows_cache import RowsCache
from .selection import Reading, Selection
from .table import Row, Table

INCIDENT = "incident"


class Store:
    """The state of an instance. Whoever reads or changes it while a server runs holds `lock`."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        users: Iterable[User] | None = None,
        clients: Iterable[Client] | None = None,
    ) -> None:
        self.clock: Clock = clock or WallClock()
        self.lock = threading.RLock()
        self.door = Door(
            self.clock,
            list(users) if users is not None else [User()],
            list(clients) if clients is not None else [Client()],
        )
        self.tables = {name: Table(name, columns) for name, columns in TABLES.items()}
        self.tables["sys_journal_field"] = JournalTable(TABLES["sys_journal_field"], self.tables[INCIDENT])
        self.cache = RowsCache()
        self.hidden: set[str] = set()
        self.blank: set[str] = set()
        self.hidden_fields: set[str] = set()
        self.hidden_fields_are: Literal["empty", "missing", "forbidden"] = "empty"
        self.invalid_query_returns_no_rows = False
        self.aggregates_count_hidden_rows = True
        self.shuffles_ties = False
        self._names: dict[tuple[str, str], str] = {}
        self._deleted: dict[str, Row] = {}
        self._created = 0
        self._last_number = 10_000
        self._fill_reference_tables()

    @classmethod
    def with_incidents(
        cls,
        count: int,
        *,
        seed: int = 1,
        until: str = GENERATED_UNTIL,
        clock: Clock | None = None,
        users: Iterable[User] | None = None,
        clients: Iterable[Client] | None = None,
    ) -> Self:
        """An instance with generated incidents whose last change lies before `until` (UTC)."""
        instance = cls(clock=clock, users=users, clients=clients)
        generator = IncidentGenerator(count, seed, until)
        instance.tables[INCIDENT].add_all(_generated(generator, index) for index in range(count))
        instance._last_number += count
        return instance

    def _fill_reference_tables(self) -> None:
        rows = {
            "sys_user": people.PEOPLE,
            "sys_user_group": people.GROUP_ROWS,
            "cmdb_ci_service": people.SERVICE_ROWS,
            "cmdb_ci": people.HOST_ROWS,
            "cmn_location": people.LOCATION_ROWS,
            "problem": tuple(_problems()),
            "sys_choice": tuple(_choices()),
            "sys_db_object": tuple(
                {"sys_id": sys_id_for("db", name), "name": name, "label": TABLE_LABELS.get(name, name)}
                for name in TABLES
            ),
        }
        born = {"sys_created_on": "2024-01-08 08:00:00", "sys_updated_on": "2024-01-08 08:00:00", "sys_mod_count": "0"}
        for name, table_rows in rows.items():
            self.tables[name].add_all(Row({**born, **values}) for values in table_rows)

    @property
    def incidents(self) -> Table:
        return self.tables[INCIDENT]

    def find_column(self, table: str, path: str) -> Column | None:
        """The column at the end of a dot-walked path, or None."""
        name, _, rest = path.partition(".")
        column = self.tables[table].columns.get(name) if table in self.tables else None
        if not rest or column is None:
            return column
        return self.find_column(column.reference, rest) if column.kind is Kind.REFERENCE else None

    def read(self, table: str, row: Row, path: str) -> str:
        """The raw value at the end of a dot-walked path; empty where a reference on the way is."""
        name, _, rest = path.partition(".")
        value = row.get(name)
        if not rest:
            return value
        target = self.tables[table].columns[name].reference
        other = self.tables[target].find(value) if value and target in self.tables else None
        return self.read(target, other, rest) if other else ""

    def display_of(self, table: str, sys_id: str) -> str:
        key = (table, sys_id)
        if key not in self._names:
            row = self.tables[table].find(sys_id) if table in self.tables else None
            # What cannot be found (`global`, `glide.maint`, a deleted user) is displayed as it is stored.
            self._names[key] = row.get(display_column(table)) if row else sys_id
        return self._names[key]

    def parse(self, table: str, text: str) -> Query:
        query = parse(text, lambda path: self.find_column(table, path))
        if query.dropped and self.invalid_query_returns_no_rows:
            query.impossible = True
        return query

    def select(self, table: str, query: Query, *, literal_zone: str | None = None) -> Selection:
        reading = Reading(
            read=(lambda row, path: self.read(table, row, path) if "." in path else row.get(path)),
            find_column=lambda path: self.find_column(table, path),
            literal_zone=ZoneInfo(literal_zone) if literal_zone else None,
            shuffle=Random() if self.shuffles_ties else None,
        )
        return Selection(self.tables[table], query, reading)

    def row(self, sys_id: str, table: str = INCIDENT) -> Row:
        """Raises KeyError when there is no such row."""
        row = self.tables[table].find(sys_id)
        if row is None:
            raise KeyError(f"{table} holds no {sys_id}")
        return row

    def counts(self) -> dict[str, int]:
        """Rows by table, of those that have any."""
        return {name: len(table) for name, table in self.tables.items() if len(table)}

    def sys_ids(self, table: str = INCIDENT) -> list[str]:
        """All ids, in order."""
        with self.lock:
            return [self.tables[table].rows[key].sys_id for key in self.tables[table].order]


def _generated(generator: IncidentGenerator, index: int) -> Row:
    created, updated = generator.times(index)
    core = {
        "sys_id": generator.sys_id(index),
        "number": generator.number(index),
        "sys_created_on": stamp(created),
        "sys_updated_on": stamp(updated),
    }
    return Row.generated(generator, index, core)


def _problems() -> Iterator[dict[str, str]]:
    problems = [problem for theme in THEMES for problem in theme.problems]
    for position, problem in enumerate(problems, start=1):
        number = f"PRB{40_000 + position:07d}"
        title = problem.titles[1].partition("{")[0].strip(" '") or number
        yield {
            "sys_id": sys_id_for("problem", problem.titles[0]),
            "number": number,
            "short_description": title,
            "state": "101",
        }


def _choices() -> Iterator[dict[str, str]]:
    for element, labels in CHOICES.items():
        for sequence, (value, label) in enumerate(labels.items()):
            yield {
                "sys_id": sys_id_for("sys_choice", element, value),
                "name": INCIDENT,
                "element": element,
                "value": value,
                "label": label,
                "sequence": str(sequence),
                "inactive": "false",
                "language": "en",
            }
