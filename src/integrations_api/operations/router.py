"""`/metrics`: for Prometheus, with a token of its own."""

from typing import Annotated

from fastapi import Depends, Response

from integrations_api.api.components import component
from integrations_api.api.openapi import errors
from integrations_api.api.routes import Router
from integrations_api.operations.dependencies import OFF, MetricsToken
from integrations_api.operations.exposition import CONTENT_TYPE, Exposition
from integrations_api.operations.metrics_token import REFUSED

router = Router(tags=["health"], dependencies=[Depends(MetricsToken())])

_EXAMPLE = "# HELP integrations_streams_open Event streams that clients hold open.\n" + (
    "# TYPE integrations_streams_open gauge\nintegrations_streams_open 3.0\n"
)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Prometheus's text format.", "content": {"text/plain": {"example": _EXAMPLE}}},
        **errors(401, 404, m401=REFUSED, m404=OFF),
    },
)
async def metrics(exposition: Annotated[Exposition, Depends(component(Exposition))]) -> Response:
    """What this process counted since it began, and what the database says of all of them."""
    return Response(await exposition.render(), media_type=CONTENT_TYPE)
