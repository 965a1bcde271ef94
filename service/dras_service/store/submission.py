"""An upload becomes a study and a queued job, in one transaction with the hint that will tell of it.

Used by whatever lets studies in. The same request again, by its content or by its Idempotency-Key, is
the job there is; the database itself holds the two apart, so it does not matter which process is asked.
"""

import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from dras_service.api.bundles import BundleView
from dras_service.api.jobs import JobState
from dras_service.api.queues import JobQueue
from dras_service.store.changes import JOB_COLUMNS, hint, job_of, send_also, tell
from dras_service.store.database import Database, insert_new
from dras_service.store.errors import BlobGone, QuotaExceeded, RequestKeyReused, UnknownTenant
from dras_service.store.rows import Job, Order, RequestKey, StoredStudy, Submitted
from dras_service.store.schema import bundle, idempotency, job, study, tenant

_PLAIN = Order()


class _Quotas(NamedTuple):
    max_stored_bytes: int | None
    max_queued_jobs: int | None


def _kept() -> bool:
    return True


class Submission:
    """Makes jobs. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(
        self, database: Database, *, pipeline_version: str, first_queue: JobQueue = JobQueue.STUDY
    ) -> None:
        self._database = database
        self._pipeline_version = pipeline_version
        self._first_queue = first_queue

    def submit(
        self,
        stored: StoredStudy,
        order: Order = _PLAIN,
        *,
        tenant: str,
        request: RequestKey | None = None,
        is_kept: Callable[[], bool] = _kept,
    ) -> Submitted:
        """Write the study and a job for it, or find the job that the same request has made.

        `is_kept` says whether the blob is still there, asked when nobody can purge it any more.
        Raises UnknownTenant, QuotaExceeded, RequestKeyReused, BlobGone.
        """
        now = self._database.now()
        with self._database.write("submit", tenant=tenant) as connection:
            quotas = _quotas(connection, tenant)
            if request is not None and (earlier := _earlier(connection, tenant, request)):
                return Submitted(earlier, is_new=False)
            if not is_kept():
                raise BlobGone(stored.key)
            values = self._job(connection, stored, order, tenant=tenant, now=now)
            found = _same(connection, tenant, values["dedupe_key"])
            if found is None:
                _check_quotas(connection, tenant, quotas, stored)
                _keep(connection, tenant, stored, now=now)
                connection.execute(insert(job).values(**values))
                submitted = Submitted(_job(connection, values["id"], tenant=tenant), is_new=True)
                tell(connection, submitted.job, now=now)
                hint(connection, submitted.job, not_before=now, now=now)
            else:
                found = send_also(connection, found, order.send_to, now=now)
                submitted = Submitted(found, is_new=False)
            if request is not None:
                _remember(connection, tenant, request, submitted.job.id, now=now)
        return submitted

    def earlier(self, tenant: str, request: RequestKey) -> Job | None:
        """Return the job that this request has made before, or None. Raises RequestKeyReused."""
        with self._database.read() as connection:
            return _earlier(connection, tenant, request)

    def discard(self, key: str, remove: Callable[[], None], *, tenant: str) -> bool:
        """Call `remove` for a kept blob that no study speaks of, while none can be submitted for it."""
        with self._database.write("purge_study", tenant=tenant) as connection:
            known = connection.execute(
                select(study.c.key).where(
                    study.c.tenant == tenant, study.c.key == key, study.c.purged_at.is_(None)
                )
            ).first()
            if known is None:
                remove()
        return known is None

    def _job(
        self, connection: Connection, stored: StoredStudy, order: Order, *, tenant: str, now: float
    ) -> dict[str, Any]:
        version = self._pipeline_version
        return {
            "id": str(uuid.uuid4()),
            "tenant": tenant,
            "study_key": stored.key,
            "series_uid": order.series_uid,
            "bundle": order.bundle,
            "options": dict(order.options),
            "pipeline_version": version,
            "dedupe_key": None if order.repeat else _dedupe_key(connection, stored, order, version),
            "queue": self._first_queue,
            "priority": order.priority,
            "state": JobState.QUEUED,
            "progress": 0.0,
            "attempts": 0,
            "fence": 0,
            "not_before": now,
            "hints": 0,
            "expires_at": order.expires_at,
            "trace": order.trace,
            "study_uid": order.study_uid,
            "send_to": list(order.send_to) or None,
            "created_at": now,
            "updated_at": now,
        }


def _dedupe_key(connection: Connection, stored: StoredStudy, order: Order, version: str) -> str:
    """Return the digest of everything that a result depends on; the default bundle is the one it is now."""
    documents = connection.execute(select(bundle.c.document)).scalars()
    weights = {view.name: view for view in map(BundleView.model_validate_json, documents)}
    default = next((view for view in weights.values() if view.is_default), None)
    chosen = default if order.bundle is None else weights.get(order.bundle)
    parts = [
        stored.key,
        order.series_uid,
        order.bundle if chosen is None else chosen.sha256,
        dict(order.options),
        version,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _same(connection: Connection, tenant: str, dedupe_key: str | None) -> Job | None:
    """Return the job that stands for this request; the index `job_by_request` allows one."""
    if dedupe_key is None:
        return None
    ended = (JobState.FAILED, JobState.CANCELLED, JobState.QUARANTINED, JobState.EXPIRED)
    row = connection.execute(
        select(*JOB_COLUMNS).where(
            job.c.tenant == tenant,
            job.c.dedupe_key == dedupe_key,
            job.c.state.not_in(ended),
            job.c.purged_at.is_(None),
        )
    ).one_or_none()
    return None if row is None else job_of(row)


def _quotas(connection: Connection, name: str) -> _Quotas:
    row = connection.execute(
        select(tenant.c.max_stored_bytes, tenant.c.max_queued_jobs).where(tenant.c.name == name)
    ).one_or_none()
    if row is None:
        raise UnknownTenant(name)
    return _Quotas(*row)


def _check_quotas(connection: Connection, name: str, quotas: _Quotas, stored: StoredStudy) -> None:
    if quotas.max_queued_jobs is not None:
        queued = connection.execute(
            select(func.count()).where(job.c.tenant == name, job.c.state == JobState.QUEUED)
        ).scalar_one()
        if queued >= quotas.max_queued_jobs:
            raise QuotaExceeded("max_queued_jobs", quotas.max_queued_jobs)
    if quotas.max_stored_bytes is not None:
        others = connection.execute(
            select(func.coalesce(func.sum(study.c.size_bytes), 0)).where(
                study.c.tenant == name, study.c.purged_at.is_(None), study.c.key != stored.key
            )
        ).scalar_one()
        if others + stored.size_bytes > quotas.max_stored_bytes:
            raise QuotaExceeded("max_stored_bytes", quotas.max_stored_bytes)


def _keep(connection: Connection, tenant: str, stored: StoredStudy, *, now: float) -> None:
    is_new = insert_new(
        connection,
        study,
        key=stored.key,
        tenant=tenant,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        n_files=stored.n_files,
        created_at=now,
    )
    if not is_new:  # it may have been purged: it is back
        connection.execute(update(study).where(study.c.key == stored.key).values(purged_at=None))


def _job(connection: Connection, job_id: str, *, tenant: str) -> Job:
    mine = (job.c.tenant == tenant, job.c.id == job_id)
    return job_of(connection.execute(select(*JOB_COLUMNS).where(*mine)).one())


def _earlier(connection: Connection, tenant: str, request: RequestKey) -> Job | None:
    row = connection.execute(
        select(idempotency.c.digest, idempotency.c.job_id).where(
            idempotency.c.tenant == tenant, idempotency.c.key == request.key
        )
    ).one_or_none()
    if row is None:
        return None
    if row.digest != request.digest:
        raise RequestKeyReused(request.key)
    return _job(connection, row.job_id, tenant=tenant)


def _remember(connection: Connection, tenant: str, request: RequestKey, job_id: str, *, now: float) -> None:
    connection.execute(
        insert(idempotency).values(
            tenant=tenant, key=request.key, digest=request.digest, job_id=job_id, created_at=now
        )
    )
