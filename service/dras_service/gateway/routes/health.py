"""`/healthz` and `/readyz`: whether the gateway lives, and whether it can take work."""

from collections.abc import Callable

from fastapi import APIRouter

from dras_model import __version__
from dras_service.api.health import Health, Readiness
from dras_service.api.problems import ProblemCode
from dras_service.gateway.door import Door
from dras_service.gateway.problems import ProblemRaised, responses
from dras_service.queue.hints import BrokerUnreachable, Hints
from dras_service.settings import ObservabilitySettings
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import StoreError
from dras_service.store.store import Store

_RETRY_AFTER_S = 5.0
_MISSED_BEACONS = 4


def health_router(
    *, store: Store, blobs: BlobStore, hints: Hints, door: Door, settings: ObservabilitySettings
) -> APIRouter:
    """Make the routes over what the gateway needs, and whether it is about to stop."""
    router = APIRouter(tags=["health"])
    checks = {"database": store.check, "blobs": blobs.check, "broker": hints.check}
    lately_s = _MISSED_BEACONS * settings.beacon_s

    @router.get("/healthz", summary="Ask whether the gateway lives")
    async def get_health() -> Health:
        return Health(version=__version__)

    @router.get(
        "/readyz",
        summary="Ask whether the gateway can take work",
        responses=responses(ProblemCode.NOT_READY, ProblemCode.DRAINING),
    )
    def get_readiness() -> Readiness:
        if door.is_shut:
            raise ProblemRaised(ProblemCode.DRAINING, retry_after_s=_RETRY_AFTER_S)
        missing = [name for name, check in checks.items() if not _passes(check)]
        if missing:
            raise ProblemRaised(
                ProblemCode.NOT_READY, retry_after_s=_RETRY_AFTER_S, missing=", ".join(missing)
            )
        # What is taken is kept: a gateway whose workers are away goes on taking work, and says so.
        return Readiness(
            ready=True, database=True, blobs=True, broker=True, worker=store.numbers.seen_within(lately_s)
        )

    return router


def _passes(check: Callable[[], None]) -> bool:
    try:
        check()
    except (StoreError, BrokerUnreachable, OSError):
        return False
    return True
