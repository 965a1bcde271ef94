"""Transactions: the only two ways to the database, one to read and one to write.

A writing transaction names its failpoint and its tenant. Those of one tenant run one after the other, on
SQLite because all do, on PostgreSQL by an advisory lock taken first: so events are numbered in the order
in which they can be seen, a quota is exact, and what is purged is not submitted in the same moment.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from dras_service.failpoints import hit
from dras_service.store.engine import READS_ONLY
from dras_service.store.errors import translated

_TENANT_LOCK = 0x64726173  # "dras": the first half of an advisory lock's number
EVERYBODY = ""  # no tenant has this name; its lock is for what belongs to none


class Database:
    """An engine, a clock, and the two ways. Both raise StoreUnavailable and StorageFull."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.now = clock
        self._reader = engine.execution_options(**{READS_ONLY: True})

    @contextmanager
    def write(self, point: str, *, tenant: str) -> Iterator[Connection]:
        """Open a transaction that is committed at the end; `point` is its name among the failpoints."""
        with translated():
            with self.engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    lock = func.pg_advisory_xact_lock(_TENANT_LOCK, _signed(zlib.crc32(tenant.encode())))
                    connection.execute(select(lock))
                yield connection
                hit(f"{point}.uncommitted")
            hit(f"{point}.committed")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database and changes nothing."""
        with translated(), self._reader.begin() as connection:
            yield connection


def insert_new(connection: Connection, table: Table, **values: Any) -> bool:
    """Insert a row; False where one of the same key is there already, which is left alone."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(table).values(**values).on_conflict_do_nothing()
    # Not by rowcount, which PostgreSQL's driver is not asked for after an INSERT.
    return connection.execute(row.returning(*table.primary_key)).first() is not None


def _signed(number: int) -> int:
    """Return 32 bits as PostgreSQL's signed integer."""
    return number - (1 << 32) if number >= 1 << 31 else number
