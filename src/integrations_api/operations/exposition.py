"""All metrics of a process as one text: what it counted itself, and what the database says."""

import asyncio
from collections.abc import Iterable, Sequence

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.metrics import REGISTRY
from integrations_api.operations.gauges import ask_database, pool_gauges
from integrations_api.version import __version__

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class _Families(Struct, frozen=True):
    """What Prometheus's writer takes for a collector."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


class Exposition:
    """Writes the metrics of this process; one scrape at a time, so that scrapes never hold more than one connection."""

    def __init__(self, *, engine: AsyncEngine) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()

    async def families(self) -> list[Metric]:
        """Every metric as it stands."""
        pool = list(pool_gauges(self._engine))  # Before our own question takes a connection.
        async with self._turn:
            asked = await ask_database(self._engine)
        build = GaugeMetricFamily("integrations_build_info", "Always 1, for the version that runs.", labels=["version"])
        build.add_metric([__version__], 1)
        return [build, *REGISTRY.collect(), *pool, *asked]

    async def render(self) -> bytes:
        """The same in Prometheus's text format."""
        return generate_latest(_Families(await self.families()))
