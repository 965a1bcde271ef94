"""`/healthz` and `/readyz`: whether the gateway lives, and whether it can take work."""

from collections.abc import Callable

from fastapi import APIRouter

from dras_model import __version__
from dras_service.api.health import Health, Readiness
from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import ProblemRaised, responses
from dras_service.queue.hints import BrokerUnreachable, Hints
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import StoreError
from dras_service.store.jobs import JobStore

_RETRY_AFTER_S = 5.0


def health_router(*, store: JobStore, blobs: BlobStore, hints: Hints) -> APIRouter:
    """Make the routes over what the gateway needs."""
    router = APIRouter(tags=["health"])
    checks = {"database": store.check, "blobs": blobs.check, "broker": hints.check}

    @router.get("/healthz", summary="Ask whether the gateway lives")
    async def get_health() -> Health:
        return Health(version=__version__)

    @router.get(
        "/readyz",
        summary="Ask whether the gateway can take work",
        responses=responses(ProblemCode.NOT_READY),
    )
    def get_readiness() -> Readiness:
        missing = [name for name, check in checks.items() if not _passes(check)]
        if missing:
            raise ProblemRaised(
                ProblemCode.NOT_READY, retry_after_s=_RETRY_AFTER_S, missing=", ".join(missing)
            )
        return Readiness(ready=True, database=True, blobs=True, broker=True)

    return router


def _passes(check: Callable[[], None]) -> bool:
    try:
        check()
    except (StoreError, BrokerUnreachable, OSError):
        return False
    return True
