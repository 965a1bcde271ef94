"""Work items of UPS-RS: the UID and the words by which a workflow manager knows a job. The job's state is theirs.

Kept as long as request keys are, and while their job has not ended.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, update

from dras_service.api.jobs import JobState
from dras_service.store.changes import JOB_COLUMNS, change
from dras_service.store.database import Database, insert_new
from dras_service.store.rows import Job, WorkItem
from dras_service.store.schema import job, workitem

_COLUMNS = [workitem.c.uid, workitem.c.attributes, *JOB_COLUMNS]


class WorkItemRows:
    """Reads and writes work items. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, uid: str, job_id: str, attributes: Mapping[str, Any], *, tenant: str) -> bool:
        """Write a work item; False where there is one of this UID."""
        with self._database.write("workitem", tenant=tenant) as connection:
            return insert_new(
                connection,
                workitem,
                tenant=tenant,
                uid=uid,
                job_id=job_id,
                attributes=dict(attributes),
                created_at=self._database.now(),
            )

    def find(self, uid: str, *, tenant: str) -> WorkItem | None:
        """Return the work item, or None; one whose job was purged is not there."""
        found = self.page(tenant=tenant, uids=(uid,), limit=1)
        return found[0] if found else None

    def page(
        self,
        *,
        tenant: str,
        uids: Sequence[str] = (),
        study_uids: Sequence[str] = (),
        states: Collection[JobState] = (),
        limit: int,
        offset: int = 0,
    ) -> tuple[WorkItem, ...]:
        """Return work items, the latest first; an empty filter leaves nothing out."""
        conditions = [workitem.c.tenant == tenant, job.c.tenant == tenant, job.c.purged_at.is_(None)]
        for column, chosen in (
            (workitem.c.uid, uids),
            (job.c.study_uid, study_uids),
            (job.c.state, states),
        ):
            if chosen:
                conditions.append(column.in_(chosen))
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_COLUMNS)
                .join(job, workitem.c.job_id == job.c.id)
                .where(*conditions)
                .order_by(workitem.c.created_at.desc(), workitem.c.uid)
                .limit(limit)
                .offset(offset)
            ).all()
        return tuple(map(_workitem_of, rows))

    def update(self, uid: str, attributes: Mapping[str, Any], *, priority: int | None, tenant: str) -> bool:
        """Change the words of a work item, and its job's turn; False where it is not there or waits no more."""
        found = self.find(uid, tenant=tenant)
        if found is None:
            return False
        values = {} if priority is None else {"priority": priority}
        waits = (job.c.tenant == tenant) & (job.c.state == JobState.QUEUED)
        with self._database.write("workitem", tenant=tenant) as connection:
            if change(connection, found.job.id, waits, now=self._database.now(), **values) is None:
                return False
            mine = (workitem.c.tenant == tenant, workitem.c.uid == uid)
            now = connection.execute(select(workitem.c.attributes).where(*mine)).scalar_one()
            connection.execute(update(workitem).where(*mine).values(attributes={**now, **attributes}))
        return True


def _workitem_of(row: Row[Any]) -> WorkItem:
    values = row._asdict()
    uid, attributes = values.pop("uid"), values.pop("attributes")
    return WorkItem(uid, attributes, Job(**values | {"state": JobState(values["state"])}))
