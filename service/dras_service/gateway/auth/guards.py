"""What stands around the routes, put together from the settings: who may enter, what is recorded and counted."""

from collections.abc import Callable, Iterable

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from dras_service.gateway.auth.callers import add_authentication
from dras_service.gateway.auth.trail import AuditTrail
from dras_service.gateway.routes.metrics import metrics_router
from dras_service.observability.http import HttpMeter, Routes
from dras_service.observability.metrics import Metrics
from dras_service.observability.tracing import Tracing
from dras_service.security.actions import Action, Outcome
from dras_service.security.gatekeeper import Doorkeeper, Failure, Gatekeeper, OpenDoor, RecordFailure
from dras_service.security.jwks import KeySet
from dras_service.security.oidc import TokenReader
from dras_service.security.salt import open_salt, salted
from dras_service.security.throttle import FailureThrottle
from dras_service.settings import Settings
from dras_service.store.database import EVERYBODY
from dras_service.store.store import Store


def add_guards(app: FastAPI, *, store: Store, settings: Settings, tracing: Tracing) -> Metrics:
    """Put authentication, audit trail, metrics and traces around `app`; return its metrics.

    Raises CannotServe where the salt cannot be had.
    """
    metrics = Metrics(store.numbers)
    routes = Routes(_templates(app))
    add_authentication(app, open_gatekeeper(settings, store))
    app.include_router(metrics_router(metrics))
    app.add_middleware(AuditTrail, log=store.audit, routes=routes)
    app.add_middleware(HttpMeter, metrics=metrics.http, routes=routes, tracing=tracing)
    return metrics


def open_gatekeeper(settings: Settings, store: Store) -> Gatekeeper:
    """Return who decides about callers under these settings. Raises CannotServe."""
    chosen = settings.authentication
    if not chosen.is_on:
        return OpenDoor()
    salt = open_salt(settings.salt_file)
    tokens = None
    if chosen.oidc is not None:
        keys = KeySet(chosen.oidc.jwks, cache_s=chosen.oidc.cache_s)
        tokens = TokenReader(chosen.oidc, keys=keys, salt=salt)
    return Doorkeeper(
        keys=store.keys,
        tenants=store.tenants,
        tokens=tokens,
        throttle=FailureThrottle(most=chosen.most_failures, window_s=chosen.failure_window_s),
        record_failure=_recorder(store, salt),
    )


def _recorder(store: Store, salt: bytes) -> RecordFailure:
    def record(failure: Failure) -> None:
        store.audit.append(
            Action.LOGIN_FAIL,
            f"address:{salted(salt, failure.address)}",
            tenant=failure.tenant or EVERYBODY,
            actor=failure.actor,
            outcome=Outcome.DENIED,
            detail={"reason": failure.reason},
        )

    return record


def _templates(app: FastAPI) -> Callable[[], Iterable[str]]:
    """Return all routes' templates when asked, those that the OpenAPI document leaves out as well."""
    return lambda: dict.fromkeys(route.path for route in iter_route_contexts(app.routes) if route.path)
