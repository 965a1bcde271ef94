"""The gateway put together from its parts. Importing this starts nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from dras_model import __version__
from dras_model.results.study import NOTICE
from dras_service.api.problems import ProblemCode
from dras_service.gateway.lookup import Lookup
from dras_service.gateway.openapi import add_openapi
from dras_service.gateway.problems import add_problem_handlers, responses
from dras_service.gateway.routes.bundles import bundles_router
from dras_service.gateway.routes.health import health_router
from dras_service.gateway.routes.jobs import jobs_router
from dras_service.gateway.routes.results import results_router
from dras_service.gateway.routes.studies import studies_router
from dras_service.gateway.uploads import Intake
from dras_service.queue.hints import Hints
from dras_service.queue.sweeper import Sweeper
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.jobs import JobStore

_DESCRIPTION = f"""Anatomy-indexed features and emphysema scores from chest CT. {NOTICE}

Upload a study, ask for its job until the state is final, then get its result and files. Every error is
an RFC 9457 problem document whose `code` is stable."""


def create_app(*, store: JobStore, blobs: BlobStore, hints: Hints, settings: Settings) -> FastAPI:
    """Make the gateway. The sweeper runs in a thread for as long as the application lives."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sweeper = Sweeper(store=store, blobs=blobs, publish=hints.publish, settings=settings)
        sweeper.start()
        yield
        sweeper.stop()

    app = FastAPI(
        title="dras",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere; a hospital's browser must not
        redoc_url=None,
        redirect_slashes=False,
        responses=responses(ProblemCode.INTERNAL),
    )
    add_problem_handlers(app)
    add_openapi(app)
    intake = Intake(store=store, blobs=blobs, publish=hints.publish, limits=settings.gateway)
    lookup = Lookup(store, retry_after_s=settings.gateway.retry_after_s)
    v1 = APIRouter(prefix="/v1")
    v1.include_router(studies_router(intake))
    v1.include_router(jobs_router(lookup))
    v1.include_router(results_router(lookup, blobs))
    v1.include_router(bundles_router(store))
    app.include_router(v1)
    app.include_router(health_router(store=store, blobs=blobs, hints=hints))
    return app
