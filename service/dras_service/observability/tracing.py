"""Traces by configuration: spans of gateway and worker under one id, joined by way of the job's row.

Off by default, and then nothing of OpenTelemetry's SDK is imported. Spans carry route templates, ids and codes of
ours, never a path, a query or a header. Leaves out metrics and logs, which do not go by OTLP here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from dras_service.errors import CannotServe
from dras_service.settings import ObservabilitySettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OtelSpan

Headers = list[tuple[bytes, bytes]]  # as ASGI gives them
_CONTEXT = "traceparent"  # W3C Trace Context, 3.2; tracestate is somebody else's text and is not kept


class Span(Protocol):
    """Something that takes time."""

    def set(self, name: str, value: str | float) -> None:
        """Say something about it."""


class Tracing(Protocol):
    """Opens spans."""

    def serving(self, name: str, headers: Headers) -> Any:
        """Open the span of a request, under the caller's where it sent one."""

    def working(self, name: str, parent: str | None) -> Any:
        """Open the span of a piece of work, under the one whose `context` is `parent`."""

    def context(self) -> str | None:
        """Return the span under way as a traceparent, to be carried in a job's row."""

    def close(self) -> None:
        """Send what has not been sent."""


class _Silence(Span):
    def set(self, name: str, value: str | float) -> None:
        """Do nothing."""


class NoTracing(Tracing):
    """Traces are off."""

    @contextmanager
    def serving(self, name: str, headers: Headers) -> Iterator[Span]:  # noqa: ARG002
        """Open nothing."""
        yield _Silence()

    @contextmanager
    def working(self, name: str, parent: str | None) -> Iterator[Span]:  # noqa: ARG002
        """Open nothing."""
        yield _Silence()

    def context(self) -> str | None:
        """Return nothing to be carried."""
        return None

    def close(self) -> None:
        """Do nothing."""


class OtelTracing(Tracing):
    """Spans by OpenTelemetry's SDK."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace  # noqa: PLC0415 - only where traces are on
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._provider = provider
        self._tracer = provider.get_tracer("dras")
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = trace.SpanKind

    @contextmanager
    def serving(self, name: str, headers: Headers) -> Iterator[Span]:
        """Open the span of a request, under the caller's where it sent one."""
        sent = next((value for key, value in headers if key == _CONTEXT.encode()), None)
        with self._open(name, None if sent is None else sent.decode("latin-1"), self._kinds.SERVER) as span:
            yield span

    @contextmanager
    def working(self, name: str, parent: str | None) -> Iterator[Span]:
        """Open the span of a piece of work, under the one whose `context` is `parent`."""
        with self._open(name, parent, self._kinds.CONSUMER) as span:
            yield span

    def context(self) -> str | None:
        """Return the span under way as a traceparent."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get(_CONTEXT)

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()

    @contextmanager
    def _open(self, name: str, parent: str | None, kind: Any) -> Iterator[Span]:
        carrier = {} if parent is None else {_CONTEXT: parent}
        # An error's text might quote a study: the span keeps its type alone.
        with self._tracer.start_as_current_span(
            name,
            context=self._propagator.extract(carrier),
            kind=kind,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _OtelSpan(span)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                raise


class _OtelSpan(Span):
    def __init__(self, span: "OtelSpan") -> None:
        self._span = span

    def set(self, name: str, value: str | float) -> None:
        """Say something about it."""
        self._span.set_attribute(name, value)


def open_tracing(
    settings: ObservabilitySettings, *, service: str, exporter: "SpanExporter | None" = None
) -> Tracing:
    """Return what the settings ask for; `exporter` replaces the network, for tests. Raises CannotServe."""
    if settings.otlp_endpoint is None:
        return NoTracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - see the top
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415
    except ImportError as error:
        raise CannotServe(
            "TRACING_NOT_INSTALLED", "Traces need the extra `otel`: pip install 'dras[otel]'."
        ) from error
    provider = TracerProvider(
        resource=Resource({"service.name": service}),
        sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
    )
    sending = exporter or OTLPSpanExporter(endpoint=settings.otlp_endpoint)
    provider.add_span_processor(BatchSpanProcessor(sending))
    return OtelTracing(provider)
