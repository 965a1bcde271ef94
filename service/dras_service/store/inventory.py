"""Every row that speaks of a file, for comparing with the files there are; and what a repair writes.

Used by `fsck` alone, which serves the operator and looks at every tenant.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, exists, select, update

from dras_service.api.jobs import FAULT_SENTENCES, RUNNING, TERMINAL, WITH_RESULT, Fault, JobState
from dras_service.api.queues import JobQueue
from dras_service.store.changes import change, hint, requeued
from dras_service.store.database import Database
from dras_service.store.rows import Artifact, Outputs
from dras_service.store.schema import artifact, job, result, study

_BLOCK = 500


@dataclass(frozen=True, slots=True)
class KnownStudy:
    """A study that is said to be there."""

    key: str
    tenant: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class KnownResult:
    """A job that is said to have a result; without outputs where no row says which."""

    job_id: str
    tenant: str
    outputs: Outputs | None


@dataclass(frozen=True, slots=True)
class KnownDraft:
    """What a stage of a job is said to have left for the next."""

    job_id: str
    tenant: str
    key: str


class Inventory:
    """Lists rows in blocks, so that memory stays flat. Raises StoreUnavailable and StorageFull."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def studies(self) -> Iterator[KnownStudy]:
        """Yield the studies that are not purged, by key."""
        columns = [study.c[name] for name in KnownStudy.__dataclass_fields__]
        last = ""
        while True:
            with self._database.read() as connection:
                rows = connection.execute(
                    select(*columns)
                    .where(study.c.purged_at.is_(None), study.c.key > last)
                    .order_by(study.c.key)
                    .limit(_BLOCK)
                ).all()
            yield from (KnownStudy(*row) for row in rows)
            if len(rows) < _BLOCK:
                return
            last = rows[-1].key

    def results(self) -> Iterator[KnownResult]:
        """Yield the jobs that ended well and are not purged, by id."""
        last = ""
        while True:
            with self._database.read() as connection:
                rows = connection.execute(
                    select(job.c.id, job.c.tenant, result.c.outputs_key)
                    .outerjoin(result, result.c.job_id == job.c.id)
                    .where(job.c.state.in_(WITH_RESULT), job.c.purged_at.is_(None), job.c.id > last)
                    .order_by(job.c.id)
                    .limit(_BLOCK)
                ).all()
                found = [
                    KnownResult(row.id, row.tenant, self._outputs(connection, row.id, row.outputs_key))
                    for row in rows
                ]
            yield from found
            if len(rows) < _BLOCK:
                return
            last = rows[-1].id

    def knows_study(self, key: str) -> bool:
        """Whether the study at `key` is said to be there."""
        with self._database.read() as connection:
            found = select(study.c.key).where(study.c.key == key, study.c.purged_at.is_(None))
            return connection.execute(found).first() is not None

    def knows_outputs(self, key: str, *, job_id: str) -> bool:
        """Whether the outputs at `key` are some result's, or those of a job that is being worked on."""
        with self._database.read() as connection:
            of_result = connection.execute(select(result.c.job_id).where(result.c.outputs_key == key)).first()
            working = select(job.c.id).where(job.c.id == job_id, job.c.state.in_(RUNNING))
            return of_result is not None or connection.execute(working).first() is not None

    def drafts(self) -> Iterator[KnownDraft]:
        """Yield the drafts that jobs are to go on from."""
        columns = [job.c.id.label("job_id"), job.c.tenant, job.c.draft_key.label("key")]
        with self._database.read() as connection:
            rows = connection.execute(
                select(*columns).where(job.c.state.not_in(TERMINAL), job.c.draft_key.is_not(None))
            ).all()
        yield from (KnownDraft(*row) for row in rows)

    def prepare_again(self, draft: KnownDraft) -> bool:
        """Let a job that waits for a draft that is gone begin anew; False where it waits for it no more."""
        now = self._database.now()
        waits = (job.c.state == JobState.QUEUED, job.c.draft_key == draft.key)
        values = requeued(now) | {"queue": JobQueue.PREPARE, "draft_key": None, "attempts": 0}
        with self._database.write("prepare_again", tenant=draft.tenant) as connection:
            waiting = change(connection, draft.job_id, *waits, now=now, **values)
            if waiting is not None:
                hint(connection, waiting, not_before=now, now=now)
        return waiting is not None

    def forget_study(self, key: str, *, tenant: str) -> None:
        """Write that the study is gone; jobs that wait for it fail, and the next upload of it keeps it again."""
        now = self._database.now()
        waiting = select(job.c.id).where(job.c.study_key == key, job.c.state == JobState.QUEUED)
        with self._database.write("purge_study", tenant=tenant) as connection:
            for job_id in connection.execute(waiting).scalars().all():
                change(
                    connection,
                    job_id,
                    job.c.state == JobState.QUEUED,
                    now=now,
                    state=JobState.FAILED,
                    code=Fault.INTERNAL,
                    message=FAULT_SENTENCES[Fault.INTERNAL],
                )
            connection.execute(update(study).where(study.c.key == key).values(purged_at=now))

    def has_running(self, study_key: str) -> bool:
        """Whether a worker holds a job of the study just now."""
        with self._database.read() as connection:
            held = exists().where(job.c.study_key == study_key, job.c.state.in_(RUNNING))
            return bool(connection.execute(select(held)).scalar_one())

    def _outputs(self, connection: Connection, job_id: str, key: str | None) -> Outputs | None:
        if key is None:
            return None
        columns = [artifact.c[name] for name in Artifact.__dataclass_fields__]
        rows = connection.execute(select(*columns).where(artifact.c.job_id == job_id)).all()
        return Outputs(key, tuple(Artifact(*row) for row in rows))
