"""What happened to jobs, in order: what a client that was away reads from the last event it has seen.

Events are written where the change is, in `changes`; here they are read, for one tenant at a time.
"""

from sqlalchemy import ColumnElement, func, select

from dras_service.api.jobs import JobState
from dras_service.store.database import Database
from dras_service.store.rows import JobEvent
from dras_service.store.schema import event

_COLUMNS = [event.c[name] for name in JobEvent.__dataclass_fields__]


class Events:
    """Reads events. Raises StoreUnavailable from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(
        self, last_id: int, *, tenant: str, job_id: str | None = None, limit: int = 100
    ) -> tuple[JobEvent, ...]:
        """Return the first events after `last_id`, 0 for all: of one job, or of all jobs of the tenant."""
        conditions = [event.c.id > last_id, *_of(tenant, job_id)]
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_COLUMNS).where(*conditions).order_by(event.c.id).limit(limit)
            ).all()
        return tuple(JobEvent(**row._asdict() | {"state": JobState(row.state)}) for row in rows)

    def last_id(self, *, tenant: str, job_id: str | None = None) -> int:
        """Return the id of the latest event, 0 where there is none."""
        with self._database.read() as connection:
            last: int = connection.execute(
                select(func.coalesce(func.max(event.c.id), 0)).where(*_of(tenant, job_id))
            ).scalar_one()
        return last


def _of(tenant: str, job_id: str | None) -> list[ColumnElement[bool]]:
    conditions = [event.c.tenant == tenant]
    if job_id is not None:
        conditions.append(event.c.job_id == job_id)
    return conditions
