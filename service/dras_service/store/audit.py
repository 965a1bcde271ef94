"""The audit log: one entry an action, each carrying the hash of the one before it. Nothing is ever changed.

`hash` is the SHA-256 of the entry's fields as JSON, in the order of `AuditEntry`, without `hash` itself. Who
can write the table can write a new chain; keep the last hash elsewhere to notice that.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from sqlalchemy import delete, insert, select

from dras_service.store.database import EVERYBODY, Database
from dras_service.store.rows import AuditEntry
from dras_service.store.schema import audit, audit_head

FIRST_HASH = "0" * 64  # what the first entry is chained to
_COLUMNS = [audit.c[name] for name in AuditEntry.__dataclass_fields__]
_BLOCK = 1000
_NO_DETAIL: Mapping[str, Any] = {}


class AuditLog:
    """Appends and reads entries. Raises StoreUnavailable and StorageFull from any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self,
        action: str,
        of: str,
        *,
        tenant: str,
        actor: str,
        outcome: str,
        detail: Mapping[str, Any] = _NO_DETAIL,
    ) -> AuditEntry:
        """Write that `actor` did `action` to the object `of`; `detail` must be JSON and name no patient."""
        # One chain for all tenants, so one lock: the entries of a tenant could otherwise be cut off unseen.
        with self._database.write("audit", tenant=EVERYBODY) as connection:
            last = connection.execute(
                select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
            ).one_or_none()
            seq, previous_hash = (0, FIRST_HASH) if last is None else (last.seq, last.hash)
            entry = AuditEntry(
                seq=seq + 1,
                at=self._database.now(),
                tenant=tenant,
                actor=actor,
                action=action,
                object=of,
                outcome=outcome,
                detail=json.dumps(dict(detail), sort_keys=True),
                previous_hash=previous_hash,
                hash="",
            )
            values = dict(zip(AuditEntry.__dataclass_fields__, astuple(entry), strict=True))
            values["hash"] = _hash_of(entry)
            connection.execute(insert(audit).values(**values))
            connection.execute(delete(audit_head))
            connection.execute(insert(audit_head).values(id=1, seq=values["seq"], hash=values["hash"]))
        return AuditEntry(**values)

    def after(self, seq: int, *, tenant: str | None = None, limit: int = 100) -> tuple[AuditEntry, ...]:
        """Return the first entries after `seq`, of a tenant, or of all for the operator."""
        query = select(*_COLUMNS).where(audit.c.seq > seq).order_by(audit.c.seq).limit(limit)
        if tenant is not None:
            query = query.where(audit.c.tenant == tenant)
        with self._database.read() as connection:
            return tuple(AuditEntry(*row) for row in connection.execute(query).all())

    def head(self) -> tuple[int, str]:
        """Return number and hash of the last entry that was written; 0 and FIRST_HASH before the first."""
        with self._database.read() as connection:
            row = connection.execute(select(audit_head.c.seq, audit_head.c.hash)).one_or_none()
        return (0, FIRST_HASH) if row is None else (row.seq, row.hash)

    def first_broken(self) -> int | None:
        """Return the number of the first entry that was changed, added or removed by others; None: all is well."""
        last_seq, last_hash = 0, FIRST_HASH
        while True:
            block = self.after(last_seq, limit=_BLOCK)
            for entry in block:
                chained = entry.seq == last_seq + 1 and entry.previous_hash == last_hash
                if not chained or entry.hash != _hash_of(entry):
                    return last_seq + 1
                last_seq, last_hash = entry.seq, entry.hash
            if not block:
                break
        # What was cut off at the end is missed by the head, and by nothing else. Others may write meanwhile.
        head = self.head()
        if head == (last_seq, last_hash):
            return None
        follows = self.after(last_seq, limit=1)
        return None if follows and follows[0].previous_hash == last_hash else last_seq + 1


def _hash_of(entry: AuditEntry) -> str:
    *fields, _ = astuple(entry)
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()
