"""How long jobs wait and how long each stage takes, folded from the events that the store keeps anyway.

So it counts for every worker of the service, whichever machine or process it is, and needs no port of
theirs. What was before this process started is not counted; Prometheus takes that for a restart. Leaves
out gauges of the present: `metrics`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

from dras_service.api.jobs import JobState
from dras_service.store.rows import JobEvent

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


@dataclass(slots=True)
class _Open:
    """A job that has not ended: the phase it is in, and since when."""

    phase: str
    since: float
    attempt: int
    first_seen: float


class StageTimes:
    """Counts events once each, in their order."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open: dict[str, _Open] = {}
        self._stage_s = Histogram(
            "dras_stage_seconds",
            "Time in one stage of a study",
            ["stage"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._wait_s = Histogram(
            "dras_queue_wait_seconds", "Time from queued to taken", registry=registry, buckets=_SECONDS
        )
        self._job_s = Histogram(
            "dras_job_seconds", "Time from queued to the end", ["state"], registry=registry, buckets=_SECONDS
        )
        self._ended = Counter(
            "dras_jobs_ended", "Jobs by how they ended", ["state", "code"], registry=registry
        )
        self._retries = Counter("dras_retries", "Attempts after a job's first", registry=registry)

    def fold(self, events: Iterable[JobEvent]) -> None:
        """Count events that follow those folded before."""
        for event in events:
            self._fold(event)

    def _fold(self, event: JobEvent) -> None:
        job = self._open.get(event.job_id)
        if job is None:
            if event.state.is_terminal or event.state is not JobState.QUEUED or event.attempt:
                self._count_end(event)
                return  # began before we did: how long it took is not known
            self._open[event.job_id] = _Open(JobState.QUEUED, event.at, 0, event.at)
            return
        if event.attempt > max(1, job.attempt):
            self._retries.inc()
        job.attempt = max(job.attempt, event.attempt)
        # A job that is refused or fails ends in the stage that it was in.
        ends = event.state.is_terminal
        phase = event.state.value if ends or event.stage is None else event.stage
        if phase == job.phase:
            return
        self._close(job, event.at)
        job.phase, job.since = phase, event.at
        if ends:
            del self._open[event.job_id]
            self._job_s.labels(event.state.value).observe(event.at - job.first_seen)
            self._count_end(event)

    def _close(self, job: _Open, at: float) -> None:
        if job.phase == JobState.QUEUED:
            self._wait_s.observe(max(0.0, at - job.since))
        else:
            self._stage_s.labels(job.phase).observe(max(0.0, at - job.since))

    def _count_end(self, event: JobEvent) -> None:
        if event.state.is_terminal:
            self._ended.labels(event.state.value, event.code or "").inc()
