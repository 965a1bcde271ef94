"""`GET /v1/bundles`: which weights a job may choose."""

from fastapi import APIRouter

from dras_service.api.bundles import BundleList
from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import responses
from dras_service.store.bundles import Bundles


def bundles_router(bundles: Bundles) -> APIRouter:
    """Make the route over what the workers have proven."""
    router = APIRouter(tags=["bundles"], responses=responses(ProblemCode.NOT_READY))

    @router.get("/bundles", summary="List the model bundles that a job may choose")
    def list_bundles() -> BundleList:
        return BundleList(bundles=bundles.offered())

    return router
