"""Jobs and results in SQL: every transaction of the service is a method here, and nowhere else.

The database is the queue. A worker owns a job by a lease that it renews while it works; the fence in
its claim is checked by every write, so that a worker that was taken for dead changes nothing.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, Row, Update, delete, insert, literal, select, update

from dras_model.results.study import Stage, StudyResult
from dras_service.api.bundles import BundleView
from dras_service.api.jobs import FAULT_SENTENCES, RUNNING, STATE_OF_STAGE, Fault, JobState
from dras_service.store.errors import LeaseLost, translated
from dras_service.store.rows import Artifact, Claim, Job, Outputs, StoredStudy, Swept
from dras_service.store.schema import (
    READS_ONLY,
    add_missing_columns,
    artifact,
    job,
    metadata,
    result,
    study,
)
from dras_service.store.schema import bundle as bundle_

MOST_DUE = 1000  # hints per sweep; the rest waits for the next one
MOST_DOUBLINGS = 4  # of the time between two hints: a long queue must not flood its own broker

_JOB_COLUMNS = [job.c[name] for name in Job.__dataclass_fields__]
_NO_LEASE: dict[str, None] = {"lease_owner": None, "lease_until": None}


class JobStore:
    """All transactions over one engine. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READS_ONLY: True})
        self._now = clock

    def create_tables(self) -> None:
        """Create the tables and columns that are not there yet."""
        with self._write() as connection:
            metadata.create_all(connection)
            add_missing_columns(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def check(self) -> None:
        """Read one value."""
        with self._read() as connection:
            connection.execute(select(literal(1)))

    # What the gateway does

    def submit(self, stored: StoredStudy, *, series_uid: str | None = None, bundle: str | None = None) -> Job:
        """Write the study, unless it is known, and a queued job for it; `bundle` names its weights."""
        now = self._now()
        job_id = str(uuid.uuid4())
        with self._write() as connection:
            known = connection.execute(select(study.c.key).where(study.c.key == stored.key)).first()
            if known is None:
                connection.execute(
                    insert(study).values(
                        key=stored.key,
                        sha256=stored.sha256,
                        size_bytes=stored.size_bytes,
                        n_files=stored.n_files,
                        created_at=now,
                    )
                )
            connection.execute(
                insert(job).values(
                    id=job_id,
                    study_key=stored.key,
                    series_uid=series_uid,
                    bundle=bundle,
                    state=JobState.QUEUED,
                    progress=0.0,
                    attempts=0,
                    fence=0,
                    not_before=now,
                    hints=0,
                    created_at=now,
                    updated_at=now,
                )
            )
            row = connection.execute(select(*_JOB_COLUMNS).where(job.c.id == job_id)).one()
        return _job_of(row)

    def knows_study(self, key: str) -> bool:
        """Whether any job was ever made for the blob at `key`."""
        with self._read() as connection:
            return connection.execute(select(study.c.key).where(study.c.key == key)).first() is not None

    def offered(self) -> tuple[BundleView, ...]:
        """Return the bundles that the workers have proven, in their order; none before the first has started."""
        with self._read() as connection:
            documents = (
                connection.execute(select(bundle_.c.document).order_by(bundle_.c.place)).scalars().all()
            )
        return tuple(BundleView.model_validate_json(document) for document in documents)

    def find(self, job_id: str) -> Job | None:
        """Return the job, or None."""
        with self._read() as connection:
            row = connection.execute(select(*_JOB_COLUMNS).where(job.c.id == job_id)).one_or_none()
        return None if row is None else _job_of(row)

    def document(self, job_id: str) -> str | None:
        """Return the job's StudyResult as JSON text, or None."""
        with self._read() as connection:
            text: str | None = connection.execute(
                select(result.c.document).where(result.c.job_id == job_id)
            ).scalar_one_or_none()
        return text

    def outputs(self, job_id: str) -> Outputs | None:
        """Return where the job's files lie and what they are called, or None."""
        with self._read() as connection:
            key = connection.execute(
                select(result.c.outputs_key).where(result.c.job_id == job_id)
            ).scalar_one_or_none()
            columns = [artifact.c[name] for name in Artifact.__dataclass_fields__]
            rows = connection.execute(
                select(*columns).where(artifact.c.job_id == job_id).order_by(artifact.c.name)
            ).all()
        return None if key is None else Outputs(key, tuple(Artifact(*row) for row in rows))

    # What a worker does

    def offer(self, proven: tuple[BundleView, ...]) -> None:
        """Write which bundles a job may choose, in the place of those offered before."""
        now = self._now()
        rows = [
            {"name": view.name, "place": place, "document": view.model_dump_json(), "proven_at": now}
            for place, view in enumerate(proven)
        ]
        with self._write() as connection:
            connection.execute(delete(bundle_))
            connection.execute(insert(bundle_), rows)

    def claim(self, job_id: str, *, owner: str, lease_s: float) -> Claim | None:
        """Take a queued job and raise its attempts; None where there is nothing to take."""
        now = self._now()
        with self._write() as connection:
            taken = connection.execute(
                update(job)
                .where(job.c.id == job_id, job.c.state == JobState.QUEUED, job.c.not_before <= now)
                .values(
                    state=JobState.PREPARING,
                    stage=None,
                    progress=0.0,
                    attempts=job.c.attempts + 1,
                    fence=job.c.fence + 1,
                    lease_owner=owner,
                    lease_until=now + lease_s,
                    updated_at=now,
                )
            )
            if taken.rowcount == 0:
                return None
            held = (job.c.id, job.c.study_key, job.c.series_uid, job.c.attempts, job.c.fence, job.c.bundle)
            row = connection.execute(select(*held).where(job.c.id == job_id)).one()
        return Claim(*row)

    def advance(self, claim: Claim, stage: Stage, *, progress: float, lease_s: float) -> None:
        """Say where the work is and renew the lease. Raises LeaseLost."""
        now = self._now()
        with self._write() as connection:
            self._hold(
                connection,
                claim,
                state=STATE_OF_STAGE[stage],
                stage=stage,
                progress=progress,
                lease_until=now + lease_s,
            )

    def commit(self, claim: Claim, found: StudyResult, *, outputs: Outputs) -> None:
        """Write the result, the index of its files and the end of the job. Raises LeaseLost."""
        with self._write() as connection:
            self._hold(connection, claim, state=JobState(found.status), stage=None, progress=1.0, **_NO_LEASE)
            connection.execute(
                insert(result).values(
                    job_id=claim.job_id,
                    document=found.model_dump_json(),
                    outputs_key=outputs.key,
                    created_at=self._now(),
                )
            )
            rows = [asdict(file) | {"job_id": claim.job_id} for file in outputs.artifacts]
            if rows:
                connection.execute(insert(artifact), rows)

    def reject(self, claim: Claim, *, code: str, message: str) -> None:
        """End the job: the study is refused. Raises LeaseLost."""
        with self._write() as connection:
            self._hold(connection, claim, state=JobState.REJECTED, code=code, message=message, **_NO_LEASE)

    def fail(self, claim: Claim, *, code: str, message: str) -> None:
        """End the job: the set-up or the service is at fault. Raises LeaseLost."""
        with self._write() as connection:
            self._hold(connection, claim, state=JobState.FAILED, code=code, message=message, **_NO_LEASE)

    def give_back(self, claim: Claim, *, delay_s: float) -> None:
        """Return the job to the queue for another attempt after `delay_s`. Raises LeaseLost."""
        with self._write() as connection:
            self._hold(connection, claim, **_queued(self._now() + delay_s))

    # What the sweeper does

    def sweep(self, *, max_attempts: int, retry_delay_s: float) -> Swept:
        """Give jobs whose lease ran out back to the queue, or set them aside after `max_attempts`."""
        requeued: list[str] = []
        quarantined: list[str] = []
        now = self._now()
        with self._write() as connection:
            lost = connection.execute(
                select(job.c.id, job.c.attempts).where(job.c.state.in_(RUNNING), job.c.lease_until < now)
            ).all()
            for job_id, attempts in lost:
                if attempts < max_attempts:
                    values = _queued(now + retry_delay_s * 2 ** (attempts - 1))
                    requeued.append(job_id)
                else:
                    values = _quarantined()
                    quarantined.append(job_id)
                connection.execute(update(job).where(job.c.id == job_id).values(updated_at=now, **values))
        return Swept(tuple(requeued), tuple(quarantined))

    def due_hints(self, *, again_after_s: float) -> tuple[str, ...]:
        """Return queued jobs that no message may be on its way for, oldest first."""
        now = self._now()
        with self._read() as connection:
            queued = connection.execute(
                select(job.c.id, job.c.hints, job.c.hinted_at)
                .where(job.c.state == JobState.QUEUED, job.c.not_before <= now)
                .order_by(job.c.created_at)
            ).all()
        due = (
            job_id
            for job_id, hints, hinted_at in queued
            if hinted_at is None or hinted_at + again_after_s * 2 ** min(hints - 1, MOST_DOUBLINGS) <= now
        )
        return tuple(due)[:MOST_DUE]

    def hinted(self, job_id: str) -> None:
        """Note that a message for the job was sent."""
        with self._write() as connection:
            connection.execute(
                update(job).where(job.c.id == job_id).values(hints=job.c.hints + 1, hinted_at=self._now())
            )

    # How

    def _hold(self, connection: Connection, claim: Claim, **values: Any) -> None:
        """Change the job the claim holds; LeaseLost where it holds it no longer."""
        if connection.execute(self._fenced(claim).values(**values)).rowcount == 0:
            raise LeaseLost(f"job {claim.job_id} is no longer held by attempt {claim.attempt}")

    def _fenced(self, claim: Claim) -> Update:
        held = update(job).where(
            job.c.id == claim.job_id, job.c.fence == claim.fence, job.c.state.in_(RUNNING)
        )
        return held.values(updated_at=self._now())

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with translated(), self._reader.begin() as connection:
            yield connection


def _job_of(row: Row[Any]) -> Job:
    values = row._asdict()
    return Job(**values | {"state": JobState(values["state"])})


def _queued(not_before: float) -> dict[str, Any]:
    return _NO_LEASE | {
        "state": JobState.QUEUED,
        "stage": None,
        "progress": 0.0,
        "not_before": not_before,
        "hints": 0,
        "hinted_at": None,
    }


def _quarantined() -> dict[str, Any]:
    return _NO_LEASE | {
        "state": JobState.QUARANTINED,
        "code": Fault.WORKER_LOST,
        "message": FAULT_SENTENCES[Fault.WORKER_LOST],
    }
