"""Tenants, their quotas, and what they take up. Used by the command line and the gateway; policy is theirs."""

from collections.abc import Mapping

from sqlalchemy import func, select, update

from dras_service.api.jobs import JobState
from dras_service.store.database import Database, insert_new
from dras_service.store.errors import UnknownTenant
from dras_service.store.rows import Tenant, Usage
from dras_service.store.schema import job, study
from dras_service.store.schema import tenant as tenant_

QUOTAS = ("max_stored_bytes", "max_queued_jobs", "uploads_per_minute")
_COLUMNS = [tenant_.c[name] for name in Tenant.__dataclass_fields__]


class Tenants:
    """Reads and writes tenants. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str) -> bool:
        """Create a tenant without quotas; False where it is there. The caller has checked the name."""
        with self._database.write("tenant", tenant=name) as connection:
            return insert_new(connection, tenant_, name=name, created_at=self._database.now())

    def set_quotas(self, name: str, quotas: Mapping[str, int | None]) -> None:
        """Set those quotas that are named; None lifts one. Raises UnknownTenant, KeyError."""
        values = {quota: quotas[quota] for quota in QUOTAS if quota in quotas}
        if unknown := set(quotas) - set(QUOTAS):
            raise KeyError(*unknown)
        with self._database.write("tenant", tenant=name) as connection:
            changed = connection.execute(update(tenant_).where(tenant_.c.name == name).values(**values))
            if changed.rowcount == 0:
                raise UnknownTenant(name)

    def find(self, name: str) -> Tenant | None:
        """Return the tenant, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(*_COLUMNS).where(tenant_.c.name == name)).one_or_none()
        return None if row is None else Tenant(*row)

    def all(self) -> tuple[Tenant, ...]:
        """Return every tenant, by name. For operators."""
        with self._database.read() as connection:
            rows = connection.execute(select(*_COLUMNS).order_by(tenant_.c.name)).all()
        return tuple(Tenant(*row) for row in rows)

    def usage(self, name: str) -> Usage:
        """Return what the tenant takes up."""
        with self._database.read() as connection:
            stored = connection.execute(
                select(func.coalesce(func.sum(study.c.size_bytes), 0)).where(
                    study.c.tenant == name, study.c.purged_at.is_(None)
                )
            ).scalar_one()
            queued = connection.execute(
                select(func.count()).where(job.c.tenant == name, job.c.state == JobState.QUEUED)
            ).scalar_one()
        return Usage(stored_bytes=int(stored), queued_jobs=queued)
