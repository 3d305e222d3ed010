"""What is measured before the first page: the source's clock, its newest rows, and what a time in a query means."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from integrations_api.connectors.merge import together
from integrations_api.connectors.servicenow.client import Row, Rows, ServiceNowClient
from integrations_api.connectors.servicenow.mapping import cell
from integrations_api.connectors.servicenow.query import ORDER, Condition, joined, quoted, read_stamp, stamp
from integrations_api.connectors.servicenow.times import measured_zone
from integrations_api.connectors.servicenow.verify import ignored, no_condition_may_be_ignored, sys_id_of

_SAMPLE = 10
_WIDER_SAMPLE = 500
_TRIES = 3
_SECOND = timedelta(seconds=1)
_BEYOND_ALL_ZONES = timedelta(days=2)
_CLOCKS_DIFFER = timedelta(seconds=5)
_MORE_CLOCKS = 6

_DAYLIGHT_MARGIN = timedelta(hours=1)
_AT_UTC_FOR_A_SEASON = ("Europe/London", "Africa/Casablanca")
"""Zones whose times are UTC's in one season and not in the other, one for each day on which such clocks change: those
of the Azores, say, do so with London's."""


class Moment(Struct, frozen=True):
    """The state of the source when it was asked: its clock, its newest change, how many rows it has."""

    now: datetime
    newest: datetime | None
    """Greatest `sys_updated_on` that can be seen; None when no row or no stamp can."""
    total: int | None
    """Rows of the filter, before access rules."""
    rows: Sequence[Row]
    """The most recently changed rows, newest first: sys_id, sys_updated_on, class; values and display values."""


class TimeLiteral(Struct, frozen=True):
    """What a time in a query means: `shift` moves it so that it means the UTC time it is made from.

    That was proved for a row that was changed `at`; for another day daylight saving may have been different.
    """

    shift: timedelta
    at: datetime

    def margin(self, moment: datetime) -> timedelta:
        """How far from it the literal of another moment may lie, where it is read in the session's zone."""
        may_be_off = self.shift or any(
            moment.astimezone(zone).utcoffset() != self.at.astimezone(zone).utcoffset()
            for zone in map(ZoneInfo, _AT_UTC_FOR_A_SEASON)
        )
        return _DAYLIGHT_MARGIN if may_be_off else timedelta(0)


async def measure(client: ServiceNowClient, table: str, filter_text: str, conditions: Sequence[Condition]) -> Moment:
    """One small request, more where it brings no row. Raises `Refused` for a filter that cannot hold."""
    columns = list(dict.fromkeys(condition.column for condition in conditions))
    answer = await _newest(client, table, filter_text, columns, _SAMPLE)
    seen = [row for row in answer.rows if sys_id_of(row)]
    if not seen and answer.total != 0:
        wider = await _newest(client, table, filter_text, columns, _WIDER_SAMPLE)
        seen = [row for row in wider.rows if sys_id_of(row)]
    # A source may also answer a condition that it cannot hold with nothing; then any row tells its columns.
    known = seen or not columns or (await _newest(client, table, "", columns, _SAMPLE)).rows
    no_condition_may_be_ignored(known if isinstance(known, list) else [], columns)
    stamps = [moment for row in seen if (moment := read_stamp(cell(row.get("sys_updated_on"))[0]))]
    # The clock is that of the first answer: nothing that the second one saw may be skipped.
    now = answer.date or client.patience.time.now()
    return Moment(now, max(stamps, default=None), answer.total, seen)


async def _newest(client: ServiceNowClient, table: str, filter_text: str, columns: Sequence[str], limit: int) -> Rows:
    return await client.ask(
        table,
        joined(filter_text, "ORDERBYDESCsys_updated_on"),
        fields=["sys_id", "sys_updated_on", "sys_created_on", "sys_class_name", *columns],
        limit=limit,
        labels=True,
        count=True,
        shrinks=True,
    )


async def time_literal(client: ServiceNowClient, table: str, rows: Sequence[Row]) -> TimeLiteral | None:
    """What a time in a query means; None where it cannot be proved.

    Proved with the operator that is used: `sys_updated_on>=T` must find the row that was changed at T, and with one
    second more must not. Rows change while we ask, so the older ones of the sample are taken, and tried again.
    """
    for row in list(reversed(rows))[:_TRIES]:
        value, shown = cell(row.get("sys_updated_on"))
        moment = read_stamp(value)
        if moment is None:
            continue
        for shift in _candidates(value, shown):
            if await _finds(client, table, sys_id_of(row), moment, shift):
                return TimeLiteral(shift, moment)
        await _must_heed(client, table, sys_id_of(row), moment)
    return None


async def _must_heed(client: ServiceNowClient, table: str, sys_id: str, moment: datetime) -> None:
    """Raises `Refused` when a bound that no zone can explain still finds the row: the condition is ignored."""
    query = f"sys_id={quoted(sys_id)}^sys_updated_on>={stamp(moment + _BEYOND_ALL_ZONES)}"
    found = await client.ask(table, query, fields=["sys_id", "sys_updated_on"], limit=1)
    for row in found.rows:
        if sys_id_of(row) == sys_id and cell(row.get("sys_updated_on"))[0] == stamp(moment):
            raise ignored("sys_updated_on")


async def clock_spread(client: ServiceNowClient, table: str) -> timedelta:
    """How far the clocks of the source's nodes lie apart, zero if they agree; more are asked once two differ."""
    if client.clocks_read < 2:
        await client.ask(table, ORDER, fields=["sys_id"], limit=1)
    if client.clock_spread < _CLOCKS_DIFFER:
        return timedelta(0)
    for _ in range(_MORE_CLOCKS):
        await client.ask(table, ORDER, fields=["sys_id"], limit=1)
    return client.clock_spread


def _candidates(value: str, shown: str) -> list[timedelta]:
    """UTC first; then what this session's display time says."""
    zone = measured_zone([(value, shown)])
    shift = zone.offsets[0][1] if zone is not None else timedelta(0)
    return [timedelta(0), shift] if shift else [timedelta(0)]


async def _finds(client: ServiceNowClient, table: str, sys_id: str, moment: datetime, shift: timedelta) -> bool:
    row = f"sys_id={quoted(sys_id)}"
    at, later = await together(
        client.ask(table, f"{row}^sys_updated_on>={stamp(bound, shift)}", fields=["sys_id"], limit=1)
        for bound in (moment, moment + _SECOND)
    )
    return any(sys_id_of(found) == sys_id for found in at.rows) and not later.rows
