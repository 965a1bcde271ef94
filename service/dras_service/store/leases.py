"""How workers own jobs: by a lease that they renew while they work, and a fence that every write checks.

Used by workers only, who serve every tenant: a job is claimed across tenants, and from then on its claim
says whose it is. A worker that was taken for dead finds its fence passed and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, insert, select

from dras_model.results.study import Stage, StudyResult
from dras_service.api.jobs import RUNNING, STATE_OF_STAGE, JobState
from dras_service.api.queues import AFTER, STATE_IN, JobQueue
from dras_service.store.changes import NO_LEASE, change, hint, requeued
from dras_service.store.database import Database
from dras_service.store.errors import Cancelled, LeaseLost
from dras_service.store.rows import Claim, Embeddings, Job, Outputs
from dras_service.store.schema import artifact, embedding, job, result

_TRIES = 20  # to take the next job, where others are always faster
_BEGUN_FIRST = tuple(reversed(JobQueue))  # of equal priority, what is nearest its end


class Leases:
    """Takes jobs and writes how they go. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self,
        *,
        owner: str,
        lease_s: float,
        queues: Sequence[JobQueue] = (JobQueue.STUDY,),
        like: Claim | None = None,
    ) -> Claim | None:
        """Take the next job of any queue and raise its attempts, before any work begins; None where none waits.

        The next one is the oldest of the highest priority, in the latest stage that has one. With `like` it is of
        the same bundle, and at its first attempt. A hint says that some job waits, not which.
        """
        for _ in range(_TRIES):
            found = self._next(queues, like)
            if found is None:
                return None
            job_id, tenant, queue = found
            claim = self._take(job_id, tenant, queue=queue, owner=owner, lease_s=lease_s)
            if claim is not None:
                return claim
        return None

    def advance(self, claim: Claim, stage: Stage, *, progress: float, lease_s: float) -> None:
        """Say where the work is and renew the lease. Raises LeaseLost, Cancelled."""
        now = self._database.now()
        with self._database.write("advance", tenant=claim.tenant) as connection:
            held = self._hold(
                connection,
                claim,
                state=STATE_OF_STAGE[stage],
                stage=stage,
                progress=progress,
                lease_until=now + lease_s,
            )
        if held.cancel_requested_at is not None:
            raise Cancelled(claim.job_id)

    def hand_over(self, claim: Claim, *, draft_key: str, progress: float) -> None:
        """Let the job wait for its next stage, with what this one leaves for it. Raises LeaseLost, Cancelled.

        The attempts are counted anew: each stage has its own.
        """
        now = self._database.now()
        with self._database.write("hand_over", tenant=claim.tenant) as connection:
            values = requeued(now) | {"progress": progress, "attempts": 0}
            waiting = self._hold(connection, claim, queue=AFTER[claim.queue], draft_key=draft_key, **values)
            if waiting.cancel_requested_at is not None:  # leaving by an error takes the change back
                raise Cancelled(claim.job_id)
            hint(connection, waiting, not_before=now, now=now)

    def commit(
        self, claim: Claim, found: StudyResult, *, outputs: Outputs, embeddings: Embeddings | None = None
    ) -> None:
        """Write the result, what it is found by and the end of the job. Raises LeaseLost, Cancelled."""
        with self._database.write("commit_result", tenant=claim.tenant) as connection:
            held = self._hold(
                connection, claim, state=JobState(found.status), stage=None, progress=1.0, **NO_LEASE
            )
            if held.cancel_requested_at is not None:  # leaving by an error takes the change back
                raise Cancelled(claim.job_id)
            connection.execute(
                insert(result).values(
                    job_id=claim.job_id,
                    document=found.model_dump_json(),
                    outputs_key=outputs.key,
                    created_at=self._database.now(),
                )
            )
            rows = [asdict(file) | {"job_id": claim.job_id} for file in outputs.artifacts]
            if rows:
                connection.execute(insert(artifact), rows)
            if embeddings is not None and embeddings.regions:
                own = {"job_id": claim.job_id, "tenant": claim.tenant, "space": embeddings.space}
                connection.execute(insert(embedding), [asdict(each) | own for each in embeddings.regions])

    def reject(self, claim: Claim, *, code: str, message: str) -> None:
        """End the job: the study is refused. Raises LeaseLost."""
        with self._database.write("reject", tenant=claim.tenant) as connection:
            self._hold(connection, claim, state=JobState.REJECTED, code=code, message=message, **NO_LEASE)

    def fail(self, claim: Claim, *, code: str, message: str) -> None:
        """End the job: the set-up or the service is at fault. Raises LeaseLost."""
        with self._database.write("fail", tenant=claim.tenant) as connection:
            self._hold(connection, claim, state=JobState.FAILED, code=code, message=message, **NO_LEASE)

    def end_cancelled(self, claim: Claim) -> None:
        """End the job: it was cancelled, and the work on it has stopped. Raises LeaseLost."""
        with self._database.write("end_cancelled", tenant=claim.tenant) as connection:
            self._hold(connection, claim, state=JobState.CANCELLED, stage=None, **NO_LEASE)

    def give_back(self, claim: Claim, *, delay_s: float, counts: bool = True) -> None:
        """Return the job to the queue for another attempt after `delay_s`. Raises LeaseLost.

        An attempt that was ended for no fault of the job's does not count.
        """
        now = self._database.now()
        attempts = claim.attempt if counts else claim.attempt - 1
        with self._database.write("give_back", tenant=claim.tenant) as connection:
            waiting = self._hold(connection, claim, attempts=attempts, **requeued(now + delay_s))
            hint(connection, waiting, not_before=now + delay_s, now=now)

    def _next(self, queues: Sequence[JobQueue], like: Claim | None) -> tuple[str, str, JobQueue] | None:
        """Return the id, the tenant and the queue of the next job; each queue has an index to find its own by."""
        alike = () if like is None else (job.c.bundle.is_not_distinct_from(like.bundle), job.c.attempts == 0)
        best: tuple[int, str, str, JobQueue] | None = None
        with self._database.read() as connection:
            for queue in _BEGUN_FIRST:
                if queue not in queues:
                    continue
                found = connection.execute(
                    select(job.c.priority, job.c.id, job.c.tenant)
                    .where(*self._waits(queue), *alike)
                    .order_by(job.c.priority.desc(), job.c.created_at, job.c.id)
                    .limit(1)
                ).one_or_none()
                if found is not None and (best is None or found.priority > best[0]):
                    best = (found.priority, found.id, found.tenant, queue)
        return None if best is None else best[1:]

    def _waits(self, queue: JobQueue) -> tuple[Any, ...]:
        return (
            job.c.queue == queue,
            job.c.state == JobState.QUEUED,
            job.c.not_before <= self._database.now(),
        )

    def _take(self, job_id: str, tenant: str, *, queue: JobQueue, owner: str, lease_s: float) -> Claim | None:
        now = self._database.now()
        with self._database.write("claim", tenant=tenant) as connection:
            taken = change(
                connection,
                job_id,
                *self._waits(queue),
                now=now,
                state=STATE_IN[queue],
                stage=None,
                attempts=job.c.attempts + 1,
                fence=job.c.fence + 1,
                lease_owner=owner,
                lease_until=now + lease_s,
            )
            if taken is None:
                return None
            held = select(job.c.fence, job.c.draft_key, job.c.trace).where(job.c.id == job_id)
            fence, draft_key, trace = connection.execute(held).one()
        return Claim(
            job_id=job_id,
            tenant=tenant,
            study_key=taken.study_key,
            series_uid=taken.series_uid,
            attempt=taken.attempts,
            fence=fence,
            bundle=taken.bundle,
            options=taken.options or {},
            draft_key=draft_key,
            trace=trace,
            queue=queue,
        )

    def _hold(self, connection: Connection, claim: Claim, **values: Any) -> Job:
        """Change the job the claim holds; LeaseLost where it holds it no longer."""
        mine = (job.c.tenant == claim.tenant, job.c.fence == claim.fence, job.c.state.in_(RUNNING))
        held = change(connection, claim.job_id, *mine, now=self._database.now(), **values)
        if held is None:
            raise LeaseLost(f"job {claim.job_id} is no longer held by attempt {claim.attempt}")
        return held
