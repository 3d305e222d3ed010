"""The faults of the matrix by name, as the simulator's command line spells them."""

from dataclasses import dataclass
from typing import Any

import pytest

from integrations_api.simulator.common.faults import Fault
from integrations_api.simulator.servicenow import SimulatorServer, parse_fault
from integrations_api.simulator.servicenow.faults.bodies import SHAPES
from integrations_api.simulator.servicenow.faults.data import OnAttach
from tests.support.long import FULL


@dataclass(frozen=True)
class Case:
    """Faults that come together. `is_kept`: `make test` has it too, not only `make test-faults`."""

    name: str
    faults: tuple[str, ...]
    is_kept: bool = False
    page_size: int = 10
    words: str = ""
    """For what must fail: a part of the run's error."""
    remedy: str = ""

    def strike(self, server: SimulatorServer) -> list[Fault[Any, Any]]:
        """Puts the faults in force; gives those that count their hits."""
        faults = [server.add_fault(parse_fault(text)) for text in self.faults]
        return [fault for fault in faults if not isinstance(fault, OnAttach)]


def kept(name: str, *faults: str, **more: Any) -> Case:
    """A case that `make test` has too, in pages of twenty: half as many as in the long matrix take half as long."""
    return Case(name, faults, is_kept=True, **{"page_size": 20, **more})


def case(name: str, *faults: str, **more: Any) -> Case:
    """A case of the long matrix alone."""
    return Case(name, faults, **more)


def each(*cases: Case) -> pytest.MarkDecorator:
    """Parametrizes a test with those of the cases that are wanted."""
    chosen = [one for one in cases if one.is_kept or FULL]
    return pytest.mark.parametrize("case", chosen, ids=[one.name for one in chosen])


SCAN = [
    kept(
        "rows change, appear and vanish after every page",
        "mutate_during_scan:updates=3,creates=2,deletes=2",
        page_size=10,
    ),
    case("rows change, one lane", "mutate_during_scan:updates=9,creates=3,deletes=1", page_size=40),
    case("many rows vanish after every page", "mutate_during_scan:updates=0,creates=0,deletes=4"),
    kept("rows are committed late", "late_rows:count=20,lag=120,on=any,skip=4"),
    case("rows are committed later still", "late_rows:count=20,lag=290,on=any,skip=4"),
    kept("a slow first answer", "slow_first_answer:clock_seconds=240,updates=20"),
]
DATA = [
    kept("records with the same number", "duplicate_number:pairs=3"),
    kept("odd text in every field", "odd_text:every=4"),
    kept("a description of 1 MB", "huge_description:count=1,megabytes=1"),
    case("a description of 5 MB", "huge_description:count=1,megabytes=5"),
    kept("a stale line in the delete log", "stale_delete_log:count=5"),
]
BUSY = [
    kept(
        "429 in all its forms, ten in a row of each",
        *(f"rate_limited:kind={kind},wait=5,times=10" for kind in ("seconds", "date", "reset", "bare")),
    ),
    case("429 with Retry-After in seconds", "rate_limited:kind=seconds,wait=30,times=10"),
    case("429 with Retry-After as a date", "rate_limited:kind=date,wait=30,times=10"),
    case("429 with X-RateLimit headers only", "rate_limited:kind=reset,wait=30,times=10"),
    case("429 bare", "rate_limited:kind=bare,times=10"),
    case("429 in the middle", "rate_limited:kind=seconds,wait=5,times=5,on=page,skip=3"),
    case("too many at once", "too_many_at_once:most=1", "latency:milliseconds=20"),
    kept(
        "500, 502, 503 and 202, one after another",
        "server_error:status=500,times=2",
        "server_error:status=502,form=html,times=3,on=page",
        "server_error:status=503,times=2,on=probe",
        "accepted_202:times=3,on=page",
    ),
]
BROKEN = [
    kept(
        "connections are reset in mid-body",
        "reset_mid_body:share=0.5,times=2",
        "reset_mid_body:at_byte=0,times=1,skip=3",
        "reset_mid_body:at_byte=1,times=1,on=probe",
    ),
    kept(
        "JSON is cut off, from nothing to all but whole",
        *(f"truncated_json:at_byte={at},times=1,skip={2 * i}" for i, at in enumerate((0, 1, 11, 500, -1, -2))),
    ),
    case("JSON is cut off in every small answer", "truncated_json:share=0.9,times=4,on=any"),
    kept("the quota rule ends what is over three rows", "quota_timeout:most_rows=3"),
    case("answers hold seven rows at most", "fewer_rows:most=7"),
    case("the quota rule leaves garbage", "quota_timeout:most_rows=5,shape=garbage_tail"),
    kept(
        "every broken 200, one after another",
        *(f"broken_200:shape={shape},at_row={i % 4},times=1,skip={2 * i}" for i, shape in enumerate(SHAPES)),
    ),
    *(
        case(f"a broken 200: {shape} at row {at}", f"broken_200:shape={shape},at_row={at},times=3,skip=1")
        for shape in SHAPES
        for at in (0, 1, 5, "none")
    ),
    *(
        case(f"a broken 200 in any answer: {shape}", f"broken_200:shape={shape},times=6,on=any,skip=1")
        for shape in SHAPES
    ),
]
TOGETHER = [
    kept(
        "many at once",
        "mutate_during_scan:updates=2,creates=1,deletes=1",
        "truncated_json:times=2,skip=1",
        "rate_limited:times=2,skip=5",
        "late_rows:count=6,on=any,skip=3",
        "odd_text:every=9",
        page_size=10,
    ),
]
PASSING = [*SCAN, *DATA, *BUSY, *BROKEN, *TOGETHER]

HIDING = [
    kept("rows are hidden, and a long run of neighbours", "hidden_rows:percent=20,run=35"),
    case("rows are hidden, one lane", "hidden_rows:percent=50", page_size=40),
    kept("rows come as {}", "empty_rows:every=4"),
]
BLINDING = [
    kept("fields are hidden: missing", "hidden_fields:fields=description+work_notes,how=missing"),
    case("fields are hidden: empty", "hidden_fields:fields=description+close_notes,how=empty"),
    kept("fields are null, missing or of another type", "odd_fields:every=5"),
]
CLOCKS = [
    kept("15 minutes ahead", "clock_skew:seconds=900"),
    case("15 minutes behind", "clock_skew:seconds=-900"),
    kept("jumping between requests", "clock_jumps"),
]

_ACL = {"remedy": "Give the user a role that passes the query ACLs"}
_SLEEP = {"words": "hibernating", "remedy": "developer.servicenow.com"}
REFUSING = [
    kept("the cursor's term is ignored", "ignored_term:column=sys_id,operator=>", words="sys_id", **_ACL),
    kept("a query ACL drops the sort", "query_acl_drops_sort:column=sys_id", words="order by sys_id", **_ACL),
    case("a query ACL drops sort and range", "query_range:column=sys_id,how=drop", words="sys_id", **_ACL),
    case("a query ACL refuses sort and range", "query_range:column=sys_id,how=refuse", words="query", **_ACL),
    kept("it hibernates", "hibernating", **_SLEEP),
    case("it hibernates, elsewhere", "hibernating_redirect:times=none", **_SLEEP),
    kept("it redirects", "redirect:times=none", words="redirects", remedy="URL"),
    case("the table may not be read", "forbidden:times=none", words="403", remedy="sn_incident_read"),
    kept("it stays broken", "server_error:status=503,times=none", words="503"),
]
STALE = [
    kept("the time bound is ignored", "ignored_term:column=sys_updated_on", words="sys_updated_on", **_ACL),
    case("a query ACL drops the time bound", "query_range:column=sys_updated_on,how=drop", words="sys_", **_ACL),
]
