"""What makes up for lost workers and lost hints. Used by the sweeper only, and looks at every tenant.

Each job is given back in a transaction of its own, under its tenant's lock: so no two wait for each other.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, insert, select

from dras_service.api.jobs import RUNNING, TERMINAL, JobState
from dras_service.store.changes import NO_LEASE, change, hint, quarantined, requeued
from dras_service.store.database import EVERYBODY, Database
from dras_service.store.rows import Swept
from dras_service.store.schema import event, idempotency, job, outbox, workitem

MOST_DUE = 1000  # hints per sweep; the rest waits for the next one
MOST_DOUBLINGS = 4  # of the time between two hints: a long queue must not flood its own broker


def _may_live(_holder: str) -> bool:
    return False


class Sweeping:
    """Finds what nobody looks after. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sweep(
        self, *, max_attempts: int, retry_delay_s: float, is_gone: Callable[[str], bool] = _may_live
    ) -> Swept:
        """Give lost jobs back to the queue, or set them aside after `max_attempts`.

        Lost is a job whose lease ran out, or whose holder `is_gone`.
        """
        now = self._database.now()
        with self._database.read() as connection:
            held = connection.execute(
                select(job.c.id, job.c.tenant, job.c.fence, job.c.lease_owner, job.c.lease_until)
                .where(job.c.state.in_(RUNNING))
                .order_by(job.c.lease_until)
            ).all()
        ended: dict[JobState, list[str]] = {}
        for row in held:
            conditions = [job.c.state.in_(RUNNING), job.c.fence == row.fence]
            if not is_gone(row.lease_owner or ""):
                if row.lease_until >= now:
                    continue
                conditions.append(job.c.lease_until < now)  # its worker may only have been slow
            state = self._give_back(
                row.id, row.tenant, *conditions, max_attempts=max_attempts, retry_delay_s=retry_delay_s
            )
            if state is not None:
                ended.setdefault(state, []).append(row.id)
        wanted = (JobState.QUEUED, JobState.QUARANTINED, JobState.CANCELLED)
        return Swept(*(tuple(ended.get(state, ())) for state in wanted))

    def rehint(self, *, again_after_s: float) -> int:
        """Write another hint for jobs that wait though theirs was sent long ago; return how many."""
        now = self._database.now()
        pending = exists().where(
            outbox.c.job_id == job.c.id, outbox.c.topic == "hint", outbox.c.done_at.is_(None)
        )
        with self._database.read() as connection:
            waiting = connection.execute(
                select(job.c.id, job.c.tenant, job.c.queue, job.c.hints, job.c.hinted_at)
                .where(job.c.state == JobState.QUEUED, job.c.not_before <= now, ~pending)
                .order_by(job.c.created_at)
            ).all()
        due = [
            row for row in waiting if _is_due(row.hints, row.hinted_at, now=now, again_after_s=again_after_s)
        ][:MOST_DUE]
        if due:
            with self._database.write("rehint", tenant=EVERYBODY) as connection:
                connection.execute(
                    insert(outbox),
                    [
                        {
                            "topic": "hint",
                            "tenant": row.tenant,
                            "job_id": row.id,
                            "target": row.queue,
                            "not_before": now,
                            "attempts": 0,
                            "created_at": now,
                        }
                        for row in due
                    ],
                )
        return len(due)

    def prune(self, *, older_than_s: float) -> int:
        """Forget sent letters, old Idempotency-Keys, work items and events of ended jobs; return how many rows."""
        limit = self._database.now() - older_than_s
        ended = select(job.c.id).where(job.c.state.in_(TERMINAL), job.c.updated_at < limit)
        statements = (
            delete(outbox).where(outbox.c.done_at < limit),
            delete(idempotency).where(idempotency.c.created_at < limit),
            delete(workitem).where(workitem.c.created_at < limit, workitem.c.job_id.in_(ended)),
            delete(event).where(event.c.at < limit, event.c.job_id.in_(ended)),
        )
        with self._database.write("prune", tenant=EVERYBODY) as connection:
            return sum(connection.execute(statement).rowcount for statement in statements)

    def _give_back(
        self,
        job_id: str,
        tenant: str,
        *conditions: ColumnElement[bool],
        max_attempts: int,
        retry_delay_s: float,
    ) -> JobState | None:
        now = self._database.now()
        with self._database.write("sweep_lease", tenant=tenant) as connection:
            row = connection.execute(
                select(job.c.attempts, job.c.lease_until, job.c.cancel_requested_at).where(
                    job.c.id == job_id, *conditions
                )
            ).one_or_none()
            if row is None:  # its worker goes on, or another sweeper was faster
                return None
            # Counted from when the lease ended: the wait for this sweep is part of the delay.
            not_before = min(row.lease_until, now) + retry_delay_s * 2 ** (row.attempts - 1)
            values: dict[str, Any] = requeued(not_before)
            if row.cancel_requested_at is not None:
                values = NO_LEASE | {"state": JobState.CANCELLED, "stage": None}
            elif row.attempts >= max_attempts:
                values = quarantined()
            changed = change(connection, job_id, *conditions, now=now, **values)
            if changed is None:
                return None
            if changed.state is JobState.QUEUED:
                hint(connection, changed, not_before=not_before, now=now)
        return changed.state


def _is_due(hints: int, hinted_at: float | None, *, now: float, again_after_s: float) -> bool:
    if hinted_at is None:
        return True
    return bool(hinted_at + again_after_s * 2 ** min(hints - 1, MOST_DOUBLINGS) <= now)
