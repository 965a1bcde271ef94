"""API keys at rest: found by their public id, never by their secret, which is kept as a hash.

The plain transactions; what makes a key good enough and a scope sufficient is the gateway's.
"""

from sqlalchemy import Row, insert, select, update

from dras_service.store.database import Database
from dras_service.store.rows import ApiKey
from dras_service.store.schema import api_key

_COLUMNS = [api_key.c[name] for name in ApiKey.__dataclass_fields__]


class Keys:
    """Reads and writes keys. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        key_id: str,
        secret_sha256: str,
        *,
        tenant: str,
        label: str,
        scopes: tuple[str, ...],
        expires_at: float | None = None,
    ) -> ApiKey:
        """Write a key of an existing tenant."""
        values = {
            "id": key_id,
            "tenant": tenant,
            "secret_sha256": secret_sha256,
            "label": label,
            "scopes": list(scopes),
            "created_at": self._database.now(),
            "expires_at": expires_at,
        }
        with self._database.write("api_key", tenant=tenant) as connection:
            row = connection.execute(insert(api_key).values(**values).returning(*_COLUMNS)).one()
        return _key_of(row)

    def find(self, key_id: str) -> ApiKey | None:
        """Return the key of this public id, whoever's: it is what says who asks."""
        with self._database.read() as connection:
            row = connection.execute(select(*_COLUMNS).where(api_key.c.id == key_id)).one_or_none()
        return None if row is None else _key_of(row)

    def all(self, *, tenant: str | None = None) -> tuple[ApiKey, ...]:
        """Return the keys of a tenant, or of all for the operator, oldest first."""
        query = select(*_COLUMNS).order_by(api_key.c.created_at, api_key.c.id)
        if tenant is not None:
            query = query.where(api_key.c.tenant == tenant)
        with self._database.read() as connection:
            return tuple(_key_of(row) for row in connection.execute(query).all())

    def revoke(self, key_id: str, *, tenant: str) -> bool:
        """Revoke a key for good; False where there is none, or it was revoked before."""
        with self._database.write("api_key", tenant=tenant) as connection:
            revoked = connection.execute(
                update(api_key)
                .where(api_key.c.id == key_id, api_key.c.tenant == tenant, api_key.c.revoked_at.is_(None))
                .values(revoked_at=self._database.now())
            )
            return revoked.rowcount == 1

    def used(self, key_id: str, *, tenant: str) -> None:
        """Note that a key was used just now. For callers that do so rarely: it is a transaction."""
        with self._database.write("api_key", tenant=tenant) as connection:
            connection.execute(
                update(api_key)
                .where(api_key.c.id == key_id, api_key.c.tenant == tenant)
                .values(last_used_at=self._database.now())
            )


def _key_of(row: Row[tuple[object, ...]]) -> ApiKey:
    values = row._asdict()
    return ApiKey(**values | {"scopes": tuple(values["scopes"])})
