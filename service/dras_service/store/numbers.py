"""What the service is doing as a whole, in numbers: for metrics, readiness and the operator's tools.

Looks at every tenant, and gives out counts, times and ids of jobs alone. Workers write a sign of life of
their own here, with gauges of the machine that they are on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select

from dras_service.api.jobs import RUNNING, JobState
from dras_service.store.database import EVERYBODY, Database
from dras_service.store.rows import JobEvent
from dras_service.store.schema import event, job, outbox, study, worker

_EVENT_COLUMNS = [event.c[name] for name in JobEvent.__dataclass_fields__]
_SETTLED_S = 1.0  # events of several tenants may be committed in another order than they are numbered in
_FORGOTTEN_S = 86_400.0


@dataclass(frozen=True, slots=True)
class JobGroup:
    """The jobs of one queue in one state."""

    queue: str
    state: str
    n_jobs: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class QueueNumbers:
    """How much there is to do, and who does it."""

    groups: tuple[JobGroup, ...]
    n_leases: int
    n_expired: int
    n_letters: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Beacon:
    """A worker's last sign of life. A gauge of one device among several is called `name@device`."""

    id: str
    started_at: float
    seen_at: float
    gauges: Mapping[str, float]


class Numbers:
    """Counts. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(self) -> QueueNumbers:
        """Count jobs that have not ended by queue and state, their leases, and letters to be sent."""
        now = self._database.now()
        held = job.c.state.in_(RUNNING)
        with self._database.read() as connection:
            groups = connection.execute(
                select(job.c.queue, job.c.state, func.count(), func.min(job.c.created_at))
                .where(job.c.state.in_((JobState.QUEUED, JobState.QUARANTINED, *RUNNING)))
                .group_by(job.c.queue, job.c.state)
                .order_by(job.c.queue, job.c.state)
            ).all()
            n_leases, n_expired = (
                connection.execute(select(func.count()).select_from(job).where(held, condition)).scalar_one()
                for condition in (job.c.lease_until >= now, job.c.lease_until < now)
            )
            waiting = select(func.count()).select_from(outbox).where(outbox.c.done_at.is_(None))
            kept = select(func.coalesce(func.sum(study.c.size_bytes), 0)).where(study.c.purged_at.is_(None))
            return QueueNumbers(
                groups=tuple(
                    JobGroup(queue, state, count, max(0.0, now - oldest))
                    for queue, state, count, oldest in groups
                ),
                n_leases=n_leases,
                n_expired=n_expired,
                n_letters=connection.execute(waiting).scalar_one(),
                stored_bytes=int(connection.execute(kept).scalar_one()),
            )

    def last_event(self) -> int:
        """Return the id of the latest event of any tenant, 0 where there is none."""
        with self._database.read() as connection:
            last: int = connection.execute(select(func.coalesce(func.max(event.c.id), 0))).scalar_one()
        return last

    def events_after(self, last_id: int, *, limit: int) -> tuple[JobEvent, ...]:
        """Return the first events after `last_id`, of all tenants; the last second's are not settled yet."""
        settled = self._database.now() - _SETTLED_S
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_EVENT_COLUMNS)
                .where(event.c.id > last_id, event.c.at <= settled)
                .order_by(event.c.id)
                .limit(limit)
            ).all()
        return tuple(JobEvent(**row._asdict() | {"state": JobState(row.state)}) for row in rows)

    # Workers

    def workers(self) -> tuple[Beacon, ...]:
        """Return the last sign of life of every worker that was seen within a day."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(worker.c.id, worker.c.started_at, worker.c.seen_at, worker.c.gauges)
                .where(worker.c.seen_at >= self._database.now() - _FORGOTTEN_S)
                .order_by(worker.c.id)
            ).all()
        return tuple(Beacon(*row) for row in rows)

    def seen_within(self, age_s: float, *, host: str | None = None) -> bool:
        """Whether any worker, or any of one host, has been seen in the last `age_s`."""
        latest = select(func.max(worker.c.seen_at))
        if host is not None:
            latest = latest.where(worker.c.id.startswith(f"{host}:", autoescape=True))
        with self._database.read() as connection:
            last = connection.execute(latest).scalar_one()
        return last is not None and self._database.now() - last <= age_s

    def seen(self, worker_id: str, *, started_at: float, gauges: Mapping[str, float]) -> None:
        """Write a worker's sign of life, and forget those that were last seen long ago."""
        now = self._database.now()
        mine = {"id": worker_id, "started_at": started_at, "seen_at": now, "gauges": dict(gauges)}
        stale = (worker.c.id == worker_id) | (worker.c.seen_at < now - _FORGOTTEN_S)
        with self._database.write("beacon", tenant=EVERYBODY) as connection:
            connection.execute(delete(worker).where(stale))
            connection.execute(worker.insert().values(**mine))

    def gone(self, worker_id: str) -> None:
        """Note that a worker has ended of its own will."""
        with self._database.write("beacon", tenant=EVERYBODY) as connection:
            connection.execute(delete(worker).where(worker.c.id == worker_id))
