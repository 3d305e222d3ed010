"""What this process counts and measures for Prometheus. Like a logger: declared once, told from anywhere.

Every label is bounded: route templates, known methods and services, the fixed words below; never what a client or a
source chose. What the database knows (queue, runs, staleness) is asked for at each scrape: `operations/gauges.py`.
"""

from collections.abc import Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

# Otherwise each counter brings a second series, which says when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
"""Our own: what libraries put into the global one is not ours to promise."""

ProcessCollector(registry=REGISTRY)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def method_label(method: str) -> str:
    """An HTTP method as a label: a client may make up as many as it likes."""
    return method if method in _METHODS else "other"


def _counter(name: str, description: str, label: str = "", values: Sequence[str] = ()) -> Counter:
    """A counter; with all its series at zero where their labels are known, so that a first event is a change."""
    counter = Counter(name, description, [label] if label else [], registry=REGISTRY)
    for value in values:
        counter.labels(value)
    return counter


HTTP_REQUESTS = Counter(
    "integrations_http_requests",
    "Requests answered, by method, route template and status; 'none' where the client left before an answer.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
HTTP_SECONDS = Histogram(
    "integrations_http_answer_seconds",
    "Seconds until an answer begins, by route template.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)


@cache
def seconds_of(route: str) -> Histogram:
    """The series of a route: to find it takes longer than to count in it."""
    return HTTP_SECONDS.labels(route)


@cache
def requests_of(method: str, route: str, status: int | str) -> Counter:
    """The same of requests; `method` is a `method_label`."""
    return HTTP_REQUESTS.labels(method, route, status)


STREAMS_OPEN = Gauge("integrations_streams_open", "Event streams that clients hold open.", registry=REGISTRY)

RUN_ENDS = ("succeeded", "failed", "cancelled", "held")
SYNC_RUNS_ENDED = _counter("integrations_sync_runs_ended", "Sync runs that ended here, by state.", "state", RUN_ENDS)
SYNC_PHASE_SECONDS = Histogram(
    "integrations_sync_phase_seconds",
    "Seconds that an attempt spent in a phase of a sync.",
    ["phase"],
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400),
    registry=REGISTRY,
)
RECORDS_FETCHED = Counter(
    "integrations_sync_records_fetched", "Records read and committed, by service.", ["service"], registry=REGISTRY
)
CHANGES_INGESTED = Counter(
    "integrations_sync_changes_ingested", "Changes written into versions, by service.", ["service"], registry=REGISTRY
)
RECORDS_REJECTED = Counter(
    "integrations_sync_records_rejected",
    "Records a sync found that cannot be mapped, by service; one that stays so counts in each sync.",
    ["service"],
    registry=REGISTRY,
)

WAIT_CAUSES = ("rate_limit", "overload", "failure", "slot", "database")
SYNC_WAITS = _counter(
    "integrations_sync_waits",
    "Waits of syncs: asked for by the source (rate_limit, overload), before another try (failure), for a turn at the "
    "host (slot), for the database.",
    "cause",
    WAIT_CAUSES,
)
SYNC_WAIT_SECONDS = _counter("integrations_sync_wait_seconds", "Seconds of these waits.", "cause", WAIT_CAUSES)

VAULT_REASONS = ("unknown_key", "damaged", "not_authentic")
VAULT_REFUSALS = _counter("integrations_vault_refusals", "Secrets that did not open.", "reason", VAULT_REASONS)
EGRESS_REFUSALS = _counter("integrations_egress_refusals", "Requests and URLs that the egress guard refused.")


def waited(cause: str, seconds: float) -> None:
    """Counts one wait of a sync; `cause` is one of `WAIT_CAUSES`."""
    SYNC_WAITS.labels(cause).inc()
    SYNC_WAIT_SECONDS.labels(cause).inc(seconds)
