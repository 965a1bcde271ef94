"""What clients ask for: jobs of their tenant, one or a page of them, and what came of them. Changes nothing."""

import re

from sqlalchemy import ColumnElement, exists, func, select, tuple_

from dras_service.api.jobs import WITH_RESULT, JobState
from dras_service.store.changes import JOB_COLUMNS, job_of
from dras_service.store.database import Database
from dras_service.store.rows import Artifact, Job, JobFilter, Outputs, Page, StoredStudy
from dras_service.store.schema import artifact, job, result, study

# A time and an id: whatever has this form is a place in the list.
CURSOR = r"^[0-9]{1,11}\.[0-9]{7}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_ALL = JobFilter()


class InvalidCursor(ValueError):
    """A cursor that no page has given out."""


class JobLookup:
    """Reads for one tenant at a time; what is another's is not there. Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, job_id: str, *, tenant: str) -> Job | None:
        """Return the job, or None."""
        with self._database.read() as connection:
            row = connection.execute(
                select(*JOB_COLUMNS).where(job.c.tenant == tenant, job.c.id == job_id)
            ).one_or_none()
        return None if row is None else job_of(row)

    def page(self, chosen: JobFilter = _ALL, *, tenant: str, cursor: str | None = None, limit: int) -> Page:
        """Return up to `limit` jobs that are not purged, newest first, after `cursor`. Raises InvalidCursor.

        Ordered by (created_at, id), so that a page neither repeats nor skips a job whatever comes meanwhile.
        """
        conditions = [job.c.tenant == tenant, job.c.purged_at.is_(None), *_conditions(chosen)]
        if cursor is not None:
            conditions.append(tuple_(job.c.created_at, job.c.id) < tuple_(*_decode(cursor)))
        with self._database.read() as connection:
            rows = connection.execute(
                select(*JOB_COLUMNS)
                .where(*conditions)
                .order_by(job.c.created_at.desc(), job.c.id.desc())
                .limit(limit + 1)
            ).all()
        jobs = tuple(job_of(row) for row in rows[:limit])
        return Page(jobs, _encode(jobs[-1]) if len(rows) > limit else None)

    def of_study(
        self, study_uid: str, *, tenant: str, with_result: bool = False, limit: int = 20
    ) -> tuple[Job, ...]:
        """Return the jobs of a study that a DICOM door has taken in, newest first; purged ones are left out."""
        conditions = [job.c.tenant == tenant, job.c.study_uid == study_uid, job.c.purged_at.is_(None)]
        if with_result:
            conditions.append(job.c.state.in_(WITH_RESULT))
        with self._database.read() as connection:
            rows = connection.execute(
                select(*JOB_COLUMNS)
                .where(*conditions)
                .order_by(job.c.created_at.desc(), job.c.id.desc())
                .limit(limit)
            ).all()
        return tuple(map(job_of, rows))

    def studies_with_result(
        self, *, tenant: str, file_suffix: str, limit: int, offset: int = 0
    ) -> tuple[str, ...]:
        """Return the UIDs of studies that have a result with such a file, the latest first."""
        has_file = exists().where(
            artifact.c.job_id == job.c.id, artifact.c.name.endswith(file_suffix, autoescape=True)
        )
        latest = func.max(job.c.created_at)
        with self._database.read() as connection:
            rows = connection.execute(
                select(job.c.study_uid)
                .where(
                    job.c.tenant == tenant,
                    job.c.study_uid.is_not(None),
                    job.c.purged_at.is_(None),
                    job.c.state.in_(WITH_RESULT),
                    has_file,
                )
                .group_by(job.c.study_uid)
                .order_by(latest.desc(), job.c.study_uid)
                .limit(limit)
                .offset(offset)
            ).scalars()
            return tuple(rows)

    def n_waiting(self) -> int:
        """Count the jobs that wait, of every tenant."""
        with self._database.read() as connection:
            waiting = select(func.count()).where(job.c.state == JobState.QUEUED)
            return int(connection.execute(waiting).scalar_one())

    def document(self, job_id: str, *, tenant: str) -> str | None:
        """Return the job's StudyResult as JSON text, or None."""
        with self._database.read() as connection:
            text: str | None = connection.execute(
                select(result.c.document).join(job).where(*_present(tenant, job_id))
            ).scalar_one_or_none()
        return text

    def outputs(self, job_id: str, *, tenant: str) -> Outputs | None:
        """Return where the job's files lie and what they are called, or None."""
        with self._database.read() as connection:
            key = connection.execute(
                select(result.c.outputs_key).join(job).where(*_present(tenant, job_id))
            ).scalar_one_or_none()
            columns = [artifact.c[name] for name in Artifact.__dataclass_fields__]
            rows = connection.execute(
                select(*columns).where(artifact.c.job_id == job_id).order_by(artifact.c.name)
            ).all()
        return None if key is None else Outputs(key, tuple(Artifact(*row) for row in rows))

    def study(self, key: str, *, tenant: str) -> StoredStudy | None:
        """Return the study at `key`, or None; a purged one is not there."""
        columns = [study.c[name] for name in StoredStudy.__dataclass_fields__]
        with self._database.read() as connection:
            row = connection.execute(
                select(*columns).where(
                    study.c.tenant == tenant, study.c.key == key, study.c.purged_at.is_(None)
                )
            ).one_or_none()
        return None if row is None else StoredStudy(*row)


def _present(tenant: str, job_id: str) -> tuple[ColumnElement[bool], ...]:
    return (job.c.tenant == tenant, job.c.id == job_id, job.c.purged_at.is_(None))


def _conditions(chosen: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if chosen.states:
        conditions.append(job.c.state.in_(chosen.states))
    if chosen.code is not None:
        conditions.append(job.c.code == chosen.code)
    if chosen.since is not None:
        conditions.append(job.c.created_at >= chosen.since)
    if chosen.until is not None:
        conditions.append(job.c.created_at < chosen.until)
    return conditions


def _encode(last: Job) -> str:
    return f"{last.created_at:.7f}_{last.id}"


def _decode(cursor: str) -> tuple[float, str]:
    if re.fullmatch(CURSOR, cursor) is None:
        raise InvalidCursor("this cursor was never given out")
    created_at, _, job_id = cursor.partition("_")
    return float(created_at), job_id
