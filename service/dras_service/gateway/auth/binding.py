"""Which addresses a service may be reached by: without authentication only this machine's loopback."""

from starlette.types import ASGIApp

from dras_service.errors import CannotServe
from dras_service.gateway.auth.hosts import LoopbackOnly, is_loopback
from dras_service.settings import Settings


def check_binding(settings: Settings) -> None:
    """Refuse an address that would let nobody known in. Raises CannotServe: INSECURE_BIND."""
    host = settings.gateway.host
    if not settings.authentication.is_on and not is_loopback(host):
        raise CannotServe(
            "INSECURE_BIND",
            f"Without authentication only a loopback address is served, not {host}; set"
            " DRAS_AUTHENTICATION__REQUIRED=true and make keys with `dras keys create`.",
        )
    observability = settings.observability
    if observability.metrics_port is not None and not is_loopback(observability.metrics_host):
        raise CannotServe(
            "INSECURE_BIND",
            "The port of metrics asks for no key and is served on a loopback address only; elsewhere use"
            " /metrics with a key of the scope `metrics`.",
        )


def guarded(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Return what to serve: without authentication, only to those who name this machine as the host."""
    return app if settings.authentication.is_on else LoopbackOnly(app)
