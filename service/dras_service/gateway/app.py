"""The gateway put together from its parts. Importing this starts nothing."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import APIRouter, Depends, FastAPI

from dras_model import __version__
from dras_model.results.study import NOTICE
from dras_service.api.problems import ProblemCode
from dras_service.gateway.admission import Admission, Standing
from dras_service.gateway.auth.callers import AUTHENTICATION_PROBLEMS, authenticated
from dras_service.gateway.auth.guards import add_guards
from dras_service.gateway.background import Background
from dras_service.gateway.dicomweb.results import Results
from dras_service.gateway.dicomweb.workitems import WorkItems
from dras_service.gateway.door import Door
from dras_service.gateway.events import EventHub
from dras_service.gateway.lookup import Lookup
from dras_service.gateway.openapi import add_openapi
from dras_service.gateway.page import page_router
from dras_service.gateway.problems import add_problem_handlers, responses
from dras_service.gateway.routes.bundles import bundles_router
from dras_service.gateway.routes.dicomweb import PREFIX, DicomWeb, results_of_router, storing_router
from dras_service.gateway.routes.events import events_router
from dras_service.gateway.routes.health import health_router
from dras_service.gateway.routes.jobs import jobs_router
from dras_service.gateway.routes.results import results_router
from dras_service.gateway.routes.similar import similar_router
from dras_service.gateway.routes.studies import studies_router
from dras_service.gateway.routes.webhooks import webhooks_router
from dras_service.gateway.routes.workitems import workitems_router
from dras_service.gateway.small_bodies import SmallBodies
from dras_service.gateway.turnstile import Turnstile
from dras_service.gateway.uploads import Intake
from dras_service.gateway.validation import Inspector
from dras_service.observability.tracing import NoTracing, Tracing
from dras_service.queue.hints import Hints
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.store import Store

_DESCRIPTION = f"""Anatomy-indexed features and emphysema scores from chest CT. {NOTICE}

Upload a study, follow its job until the state is final, then get its result and files. Every error is
an RFC 9457 problem document whose `code` is stable."""


class _Uploads:
    """The addresses whose bodies are studies."""

    def __contains__(self, path: object) -> bool:
        return path in ("/v1/studies", "/v1/validate") or str(path).startswith(f"{PREFIX}/studies")


_UPLOADS = _Uploads()


def create_app(
    *, store: Store, blobs: BlobStore, hints: Hints, settings: Settings, tracing: Tracing | None = None
) -> FastAPI:
    """Make the gateway; what runs beside the requests does so for as long as the application lives.

    `app.state.door` is shut by whoever ends it.
    """
    limits = settings.gateway
    background = Background(store=store, blobs=blobs, hints=hints, settings=settings)
    hub = EventHub(store.events, limits)
    admission = Admission(limits=limits, folder=settings.blob_folder, standing=partial(_standing, store))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        hub.start()
        background.start()
        yield
        await hub.stop()
        background.stop()

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
    app.state.door = door = Door(admission, hub)
    app.add_middleware(SmallBodies, uploads=_UPLOADS)
    add_problem_handlers(app)
    add_openapi(app)
    intake = Intake(
        store=store, blobs=blobs, wake_publisher=background.wake_publisher, admission=admission, limits=limits
    )
    for router in (
        _jobs_by_http(intake, background, hub, store=store, blobs=blobs, settings=settings),
        *_jobs_by_dicomweb(intake, background, store=store, blobs=blobs),
    ):
        app.include_router(router, dependencies=[Depends(authenticated)])
    app.include_router(page_router())
    app.include_router(
        health_router(store=store, blobs=blobs, hints=hints, door=door, settings=settings.observability)
    )
    app.state.metrics = add_guards(app, store=store, settings=settings, tracing=tracing or NoTracing())
    app.add_middleware(Turnstile, uploads=_UPLOADS)
    return app


def _jobs_by_http(
    intake: Intake,
    background: Background,
    hub: EventHub,
    *,
    store: Store,
    blobs: BlobStore,
    settings: Settings,
) -> APIRouter:
    """Return everything under /v1."""
    limits = settings.gateway
    lookup = Lookup(store.jobs, retry_after_s=limits.retry_after_s)
    v1 = APIRouter(prefix="/v1", responses=responses(*AUTHENTICATION_PROBLEMS))
    v1.include_router(studies_router(intake, Inspector(blobs, limits)))
    v1.include_router(jobs_router(lookup, store.ending, wake_sweeper=background.wake_sweeper))
    v1.include_router(results_router(lookup, blobs))
    v1.include_router(similar_router(lookup, store.neighbours))
    v1.include_router(events_router(hub, lookup))
    v1.include_router(webhooks_router(store.webhooks, limits.webhooks))
    v1.include_router(bundles_router(store.bundles))
    return v1


def _jobs_by_dicomweb(
    intake: Intake, background: Background, *, store: Store, blobs: BlobStore
) -> Iterator[APIRouter]:
    """Yield images in, results out, and runs as work items."""
    made = Results(store.jobs, blobs)
    web = DicomWeb(intake, made, lambda: background.room)
    yield storing_router(web)
    yield results_of_router(web)
    yield workitems_router(WorkItems(store.workitems, store.submission, store.jobs, store.ending, made))


def _standing(store: Store, tenant: str) -> Standing:
    found = store.tenants.find(tenant)
    return Standing(store.jobs.n_waiting(), None if found is None else found.uploads_per_minute)
