"""`/metrics`: the numbers of the whole service, for whoever holds the scope `metrics`."""

from fastapi import APIRouter
from fastapi.responses import Response

from dras_service.gateway.auth.callers import AUTHENTICATION_PROBLEMS, Scraper
from dras_service.gateway.problems import Responses, responses
from dras_service.observability.metrics import CONTENT_TYPE, Metrics

_TEXT: Responses = {
    200: {
        "description": "Prometheus' text format",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


def metrics_router(metrics: Metrics) -> APIRouter:
    """Make the route over `metrics`."""
    router = APIRouter(tags=["operations"], responses=responses(*AUTHENTICATION_PROBLEMS))

    @router.get("/metrics", summary="Read the service's metrics", response_class=Response, responses=_TEXT)
    def get_metrics(_principal: Scraper) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return router
