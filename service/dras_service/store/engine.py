"""The engine over a database's URL, with what each kind of database needs to be trusted."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url

READS_ONLY = "dras_reads_only"  # execution option of a connection that takes no write lock
_POOL = 10
_MOST_CONNECTIONS = 50  # more than the gateway has threads, so that none waits for another's
_CONNECT_TIMEOUT_S = 5
_STATEMENT_TIMEOUT_S = 60.0


def open_engine(url: str, *, busy_timeout_s: float = 30.0) -> Engine:
    """Make the engine of `url`; a SQLite file's folder is created, the tables are not."""
    pool = {"pool_size": _POOL, "max_overflow": _MOST_CONNECTIONS - _POOL}
    if make_url(url).get_backend_name() != "sqlite":
        limits = {
            "lock_timeout": busy_timeout_s,
            "statement_timeout": _STATEMENT_TIMEOUT_S,
            # A process that is frozen amid a transaction must not hold its tenant's lock for ever.
            "idle_in_transaction_session_timeout": busy_timeout_s / 3,
        }
        timeouts = " ".join(f"-c {name}={int(limit_s * 1000)}" for name, limit_s in limits.items())
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=busy_timeout_s,
            # A cluster that was made without a locale hands out bytes unless it is told.
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "options": timeouts,
                "client_encoding": "utf8",
            },
            **pool,
        )
    if database := make_url(url).database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s}, **pool)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late, ours is below
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that turns to writing fails at once with SQLITE_BUSY, whatever the timeout.
    reads = connection.get_execution_options().get(READS_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
