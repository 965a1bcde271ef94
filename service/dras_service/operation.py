"""What a gateway's process does around serving: it says that it starts and stops, and opens traces and metrics.

Used by `serve` as a context, so that an end by an error is recorded as well.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prometheus_client import start_http_server

from dras_model import __version__
from dras_service.errors import CannotServe
from dras_service.observability.metrics import Metrics
from dras_service.security.actions import Action, Outcome
from dras_service.settings import ObservabilitySettings
from dras_service.store.database import EVERYBODY
from dras_service.store.errors import StoreError
from dras_service.store.store import Store

_SYSTEM = "system"
_log = logging.getLogger(__name__)


@contextmanager
def recorded(store: Store) -> Iterator[None]:
    """Record in the audit log that a gateway starts and stops. Raises StoreError when it cannot start so."""
    _record(store, Action.SERVICE_START, Outcome.SUCCESS)
    try:
        yield
    except BaseException:
        with suppress(StoreError):
            _record(store, Action.SERVICE_STOP, Outcome.FAILED)
        raise
    with suppress(StoreError):
        _record(store, Action.SERVICE_STOP, Outcome.SUCCESS)


@contextmanager
def metrics_port(metrics: Metrics, settings: ObservabilitySettings) -> Iterator[None]:
    """Serve the metrics on a port of their own where the settings name one. Raises CannotServe."""
    if settings.metrics_port is None:
        yield
        return
    try:
        server, thread = start_http_server(
            settings.metrics_port, settings.metrics_host, registry=metrics.registry
        )
    except OSError as error:
        raise CannotServe(
            "ADDRESS_IN_USE", f"Port {settings.metrics_port} for metrics cannot be taken; choose another."
        ) from error
    try:
        _log.info("metrics are at port %d", server.server_port)
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _record(store: Store, action: Action, outcome: Outcome) -> None:
    store.audit.append(
        action, "gateway", tenant=EVERYBODY, actor=_SYSTEM, outcome=outcome, detail={"version": __version__}
    )
