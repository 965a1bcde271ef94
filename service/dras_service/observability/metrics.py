"""What Prometheus reads from a gateway: HTTP of this process, and the service as its database shows it.

Queue, leases, stage times and workers come from the database, so that workers need no port and no shared
memory, whichever machine they run on. Every gateway of a service shows the same of these: take one, or the
maximum, never the sum. Labels are closed sets of ours; nothing that a client sends becomes one.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from dras_model import __version__
from dras_service.observability.stages import StageTimes
from dras_service.store.errors import StoreError
from dras_service.store.numbers import Beacon, QueueNumbers
from dras_service.store.rows import JobEvent

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BLOCK = 5000
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)


class Numbers(Protocol):
    """What the store knows of the whole service."""

    def queue(self) -> QueueNumbers:
        """Count jobs, leases and letters."""

    def workers(self) -> tuple[Beacon, ...]:
        """Return the last sign of life of every worker."""

    def last_event(self) -> int:
        """Return the id of the latest event."""

    def events_after(self, last_id: int, *, limit: int) -> tuple[JobEvent, ...]:
        """Return the first events after `last_id`, of all tenants."""


class HttpMetrics:
    """Counters of one gateway process; `observability.http` feeds them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        route = ["method", "route"]
        self.requests = Counter(
            "dras_http_requests", "Requests answered", [*route, "status"], registry=registry
        )
        self.seconds = Histogram(
            "dras_http_request_seconds",
            "Time to the end of the answer",
            route,
            registry=registry,
            buckets=_SECONDS,
        )
        self.received = Counter(
            "dras_http_received_bytes", "Bytes of request bodies", route, registry=registry
        )
        self.sent = Counter("dras_http_sent_bytes", "Bytes of answers' bodies", route, registry=registry)
        self.under_way = Gauge("dras_http_under_way", "Requests being answered", registry=registry)
        self.uploads = Counter("dras_uploads", "Uploads by how they ended", ["outcome"], registry=registry)
        self.refused = Counter(
            "dras_authentication_failures", "Callers that were not let in", ["kind"], registry=registry
        )
        # An increase is seen only of a number that is there: what alerts ask for begins at 0.
        for outcome in ("full", "not_ready", "throttled"):
            self.uploads.labels(outcome)
        self.refused.labels("unknown")


class Metrics:
    """All numbers of a gateway. One an application; its registry is its own, so that two share nothing."""

    def __init__(self, numbers: Numbers, *, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self._numbers = numbers
        self._lock = threading.Lock()
        self._last_event: int | None = None
        # Collected in the order of registration: the events are folded before what they are folded into is read.
        self.registry.register(ServiceCollector(numbers, catch_up=self.catch_up, clock=clock))
        self._stages = StageTimes(self.registry)
        self.http = HttpMetrics(self.registry)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Gauge("dras_build", "The version that runs", ["version"], registry=self.registry).labels(
            __version__
        ).set(1)

    def catch_up(self) -> None:
        """Fold the events since the last time; the first time only notes where they end."""
        with self._lock:
            if self._last_event is None:
                self._last_event = self._numbers.last_event()
            while events := self._numbers.events_after(self._last_event, limit=_BLOCK):
                self._stages.fold(events)
                self._last_event = events[-1].id
                if len(events) < _BLOCK:
                    break

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format; what the database cannot say now is left out."""
        return generate_latest(self.registry)


class ServiceCollector:
    """Reads the database whenever it is asked."""

    def __init__(self, numbers: Numbers, *, catch_up: Callable[[], None], clock: Callable[[], float]) -> None:
        self._numbers = numbers
        self._catch_up = catch_up
        self._now = clock

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; only `dras_database_up` where the database is away."""
        up = GaugeMetricFamily("dras_database_up", "Whether the database answers")
        try:
            self._catch_up()
            queue, beacons = self._numbers.queue(), self._numbers.workers()
        except StoreError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _queue_gauges(queue)
        yield from _worker_gauges(beacons, now=self._now())

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that registering asks no database."""
        yield from ()


def _queue_gauges(queue: QueueNumbers) -> Iterator[Metric]:
    depth = GaugeMetricFamily("dras_jobs", "Jobs there are", labels=["queue", "state"])
    age = GaugeMetricFamily("dras_oldest_job_seconds", "Age of the oldest", labels=["queue", "state"])
    for group in queue.groups:
        depth.add_metric([group.queue, group.state], group.n_jobs)
        age.add_metric([group.queue, group.state], group.oldest_s)
    yield depth
    yield age
    for name, text, value in (
        ("dras_leases", "Jobs that a worker holds", queue.n_leases),
        ("dras_leases_expired", "Jobs whose worker is overdue", queue.n_expired),
        ("dras_letters_waiting", "Hints and webhooks to be sent", queue.n_letters),
        ("dras_stored_bytes", "Bytes of the studies kept", queue.stored_bytes),
    ):
        yield GaugeMetricFamily(name, text, value=value)


def _worker_gauges(beacons: tuple[Beacon, ...], *, now: float) -> Iterator[Metric]:
    seen = GaugeMetricFamily(
        "dras_worker_seen_seconds", "Since a worker's last sign of life", labels=["worker"]
    )
    families: dict[str, GaugeMetricFamily] = {}
    for beacon in beacons:
        seen.add_metric([beacon.id], max(0.0, now - beacon.seen_at))
        for name, value in sorted(beacon.gauges.items()):
            metric, _, device = name.partition("@")
            family = families.setdefault(
                metric,
                GaugeMetricFamily(
                    f"dras_worker_{metric}", metric.replace("_", " "), labels=["worker", "device"]
                ),
            )
            family.add_metric([beacon.id, device], value)
    yield seen
    yield from families.values()
