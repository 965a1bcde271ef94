"""Webhooks of a tenant. That a job's end calls them is written in `changes`; calling them is not done here."""

import uuid
from collections.abc import Iterable

from sqlalchemy import Row, insert, select, update

from dras_service.api.jobs import JobState
from dras_service.store.database import Database
from dras_service.store.rows import Webhook
from dras_service.store.schema import webhook

_COLUMNS = [webhook.c[name] for name in Webhook.__dataclass_fields__]


class Webhooks:
    """Reads and writes webhooks. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, url: str, *, tenant: str, secret: str, states: Iterable[JobState] = ()) -> Webhook:
        """Write a webhook; without `states` it is called for every end of a job. The caller has checked the URL."""
        values = {
            "id": str(uuid.uuid4()),
            "tenant": tenant,
            "url": url,
            "secret": secret,
            "states": sorted(states),
            "created_at": self._database.now(),
        }
        with self._database.write("webhook", tenant=tenant) as connection:
            row = connection.execute(insert(webhook).values(**values).returning(*_COLUMNS)).one()
        return _webhook_of(row)

    def find(self, webhook_id: str, *, tenant: str) -> Webhook | None:
        """Return the webhook, or None."""
        with self._database.read() as connection:
            row = connection.execute(
                select(*_COLUMNS).where(webhook.c.id == webhook_id, webhook.c.tenant == tenant)
            ).one_or_none()
        return None if row is None else _webhook_of(row)

    def all(self, *, tenant: str) -> tuple[Webhook, ...]:
        """Return the tenant's webhooks, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_COLUMNS)
                .where(webhook.c.tenant == tenant)
                .order_by(webhook.c.created_at, webhook.c.id)
            ).all()
        return tuple(_webhook_of(row) for row in rows)

    def disable(self, webhook_id: str, *, tenant: str) -> bool:
        """Call the webhook no more; False where there is none, or it was disabled before."""
        with self._database.write("webhook", tenant=tenant) as connection:
            disabled = connection.execute(
                update(webhook)
                .where(
                    webhook.c.id == webhook_id, webhook.c.tenant == tenant, webhook.c.disabled_at.is_(None)
                )
                .values(disabled_at=self._database.now())
            )
            return disabled.rowcount == 1


def _webhook_of(row: Row[tuple[object, ...]]) -> Webhook:
    values = row._asdict()
    return Webhook(**values | {"states": frozenset(map(JobState, values["states"]))})
