"""What ends a job from outside: a client that cancels or purges it, and time that runs out.

A queued job is cancelled at once; one that runs is asked to stop, and its worker says when it has. A
purge takes three steps, each of which can be repeated: the row says so, the files go, the result's rows go.
"""

from collections.abc import Callable

from sqlalchemy import delete, exists, select, update

from dras_service.api.jobs import RUNNING, TERMINAL, JobState
from dras_service.store.changes import JOB_COLUMNS, NO_LEASE, change, job_of
from dras_service.store.database import Database
from dras_service.store.rows import Job
from dras_service.store.schema import artifact, embedding, job, result, study

MOST_AT_ONCE = 200  # of a kind in one sweep; the rest waits for the next one


class Ending:
    """Ends and purges. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cancel(self, job_id: str, *, tenant: str) -> Job | None:
        """Cancel a job that waits, ask one that runs to stop; return it as it is then, None where it is not."""
        now = self._database.now()
        mine = job.c.tenant == tenant
        with self._database.write("cancel", tenant=tenant) as connection:
            waiting = mine & (job.c.state == JobState.QUEUED)
            running = mine & job.c.state.in_(RUNNING) & job.c.cancel_requested_at.is_(None)
            cancelled = change(
                connection, job_id, waiting, now=now, state=JobState.CANCELLED, cancel_requested_at=now
            )
            # A job that is to stop stands for its request no longer: the same upload again is a new job.
            return (
                cancelled
                or change(connection, job_id, running, now=now, cancel_requested_at=now, dedupe_key=None)
                or _find(
                    connection.execute(select(*JOB_COLUMNS).where(mine, job.c.id == job_id)).one_or_none()
                )
            )

    def purge(self, job_id: str, *, tenant: str) -> bool:
        """Mark an ended job as purged: its result is not there any more. False where it has not ended or is not."""
        now = self._database.now()
        with self._database.write("purge_job", tenant=tenant) as connection:
            marked = connection.execute(
                update(job)
                .where(job.c.tenant == tenant, job.c.id == job_id, job.c.state.in_(TERMINAL))
                .values(purged_at=now, updated_at=now)
            )
            return marked.rowcount == 1

    # What the sweeper does: these look at every tenant.

    def expire(self) -> tuple[str, ...]:
        """Give up jobs that waited past their time, and mark ended ones past theirs as purged; return the ids."""
        now = self._database.now()
        with self._database.read() as connection:
            due = connection.execute(
                select(job.c.id, job.c.tenant, job.c.state)
                .where(job.c.expires_at <= now, job.c.purged_at.is_(None), job.c.state.not_in(RUNNING))
                .order_by(job.c.expires_at)
                .limit(MOST_AT_ONCE)
            ).all()
        ended = []
        for job_id, tenant, state in due:
            if state in TERMINAL:
                if self.purge(job_id, tenant=tenant):
                    ended.append(job_id)
                continue
            waiting = job.c.state == JobState.QUEUED
            with self._database.write("expire", tenant=tenant) as connection:
                if change(connection, job_id, waiting, now=now, state=JobState.EXPIRED, **NO_LEASE):
                    ended.append(job_id)
        return tuple(ended)

    def clear_outputs(self, remove: Callable[[str], None]) -> int:
        """Call `remove` with the outputs' key of each purged job, then forget the result; return how many."""
        with self._database.read() as connection:
            purged = connection.execute(
                select(job.c.id, job.c.tenant, result.c.outputs_key)
                .join(result)
                .where(job.c.purged_at.is_not(None))
                .limit(MOST_AT_ONCE)
            ).all()
        for job_id, tenant, outputs_key in purged:
            remove(outputs_key)
            with self._database.write("forget_outputs", tenant=tenant) as connection:
                connection.execute(delete(embedding).where(embedding.c.job_id == job_id))
                connection.execute(delete(artifact).where(artifact.c.job_id == job_id))
                connection.execute(delete(result).where(result.c.job_id == job_id))
        return len(purged)

    def clear_studies(self, remove: Callable[[str], None]) -> int:
        """Call `remove` with the key of each study that only purged jobs speak of; return how many.

        `remove` runs while nobody can submit the study: it must be quick, and may be repeated.
        """
        needed = exists().where(job.c.study_key == study.c.key, job.c.purged_at.is_(None))
        idle = (study.c.purged_at.is_(None), ~needed)
        with self._database.read() as connection:
            found = connection.execute(
                select(study.c.key, study.c.tenant).where(*idle).limit(MOST_AT_ONCE)
            ).all()
        n_cleared = 0
        for key, tenant in found:
            with self._database.write("purge_study", tenant=tenant) as connection:
                marked = connection.execute(
                    update(study).where(study.c.key == key, *idle).values(purged_at=self._database.now())
                )
                if marked.rowcount == 1:
                    remove(key)
                    n_cleared += 1
        return n_cleared


def _find(row: object) -> Job | None:
    return None if row is None else job_of(row)  # type: ignore[arg-type]
