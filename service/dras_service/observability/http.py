"""Counts every request by its route's template, from the outside of the application.

A pure ASGI layer: it sees the bytes go by and never holds them. Queries and headers are not read, and a
path only to find the template that it follows; one that follows none is `other`, whatever it says.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable

from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dras_service.observability.metrics import HttpMetrics
from dras_service.observability.tracing import Tracing

OTHER = "other"
_log = logging.getLogger(__name__)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UPLOAD = ("POST", "/v1/studies")
_BROKEN_OFF = "499"  # the client went away before there was an answer


class Routes:
    """Finds the template that a path follows; the templates are asked for once, at the first request."""

    def __init__(self, templates: Callable[[], Iterable[str]]) -> None:
        self._templates = templates
        self._patterns: list[tuple[re.Pattern[str], str]] | None = None

    def find(self, path: str) -> tuple[str, dict[str, str]]:
        """Return the template and what stands in its braces; OTHER and nothing where there is none."""
        if self._patterns is None:
            self._patterns = [(compile_path(template)[0], template) for template in self._templates()]
        for pattern, template in self._patterns:
            if match := pattern.match(path):
                return template, match.groupdict()
        return OTHER, {}


class HttpMeter:
    """Wraps an application with counters, and with a span where traces are on."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, routes: Routes, tracing: Tracing) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's message stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        count = _Count(self._metrics, method, self._routes.find(scope["path"])[0])
        with self._tracing.serving(f"{method} {count.route}", scope["headers"]) as span:
            scope.setdefault("state", {})["trace"] = self._tracing.context()  # for the job's row
            try:
                await self._app(scope, count.reading(receive), count.writing(send))
            except Exception:
                count.status = "500"  # the layer outside this one answers it
                raise
            finally:
                count.end(scope)
                span.set("http.response.status_code", int(count.status))


class _Count:
    """What is counted of one request."""

    def __init__(self, metrics: HttpMetrics, method: str, route: str) -> None:
        self.route = route
        self.status = _BROKEN_OFF
        self._metrics = metrics
        self._labels = (method, route)
        self._started = time.monotonic()
        metrics.under_way.inc()

    def reading(self, receive: Receive) -> Receive:
        received = self._metrics.received.labels(*self._labels)

        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                received.inc(len(message.get("body", b"")))
            return message

        return counted

    def writing(self, send: Send) -> Send:
        sent = self._metrics.sent.labels(*self._labels)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = str(message["status"])
            elif message["type"] == "http.response.body":
                sent.inc(len(message.get("body", b"")))
            await send(message)

        return counted

    def end(self, scope: Scope) -> None:
        """Write down how the request ended."""
        metrics, seconds = self._metrics, time.monotonic() - self._started
        metrics.under_way.dec()
        metrics.requests.labels(*self._labels, self.status).inc()
        metrics.seconds.labels(*self._labels).observe(seconds)
        method, route = self._labels
        principal = scope.get("state", {}).get("principal")
        fields = {"method": method, "route": route, "status": int(self.status), "seconds": round(seconds, 3)}
        _log.info("request answered", extra={"fields": fields | {"actor": getattr(principal, "actor", None)}})
        if self._labels == _UPLOAD:
            metrics.uploads.labels(_outcome(self.status)).inc()
        if self.status in ("401", "403"):
            metrics.refused.labels("unknown" if self.status == "401" else "scope").inc()


def _outcome(status: str) -> str:
    if status.startswith("2"):
        return "accepted"
    return {"499": "broken_off", "429": "throttled", "503": "not_ready", "507": "full"}.get(status, "refused")
