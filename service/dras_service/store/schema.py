"""The tables, and the engine that opens them.

Times are seconds since the epoch: the same on SQLite and PostgreSQL, and compared by the database.
"""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    make_url,
)

READS_ONLY = "dras_reads_only"  # execution option of a connection that takes no write lock

metadata = MetaData()

study = Table(
    "study",
    metadata,
    Column("key", String(80), primary_key=True),  # the blob's address, made from its content
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("n_files", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("study_key", ForeignKey("study.key"), nullable=False),
    Column("series_uid", String(64)),
    Column("bundle", String(100)),  # null: the default one
    Column("state", String(32), nullable=False),
    Column("stage", String(32)),
    Column("progress", Float, nullable=False),
    Column("code", String(64)),
    Column("message", Text),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),  # raised by every claim; a holder of an older one is a zombie
    Column("lease_owner", String(255)),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False),
    Column("hints", Integer, nullable=False),  # messages sent for the present stay in `queued`
    Column("hinted_at", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("job_by_state", "state", "not_before"),
)

bundle = Table(
    "bundle",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("place", Integer, nullable=False),  # in the order of the workers' settings
    Column("document", Text, nullable=False),  # a BundleView
    Column("proven_at", Float, nullable=False),
)

result = Table(
    "result",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),  # one result per job
    Column("document", Text, nullable=False),
    Column("outputs_key", String(80), nullable=False),
    Column("created_at", Float, nullable=False),
)

artifact = Table(
    "artifact",
    metadata,
    Column("job_id", ForeignKey("result.job_id"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("media_type", String(127), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
)


def add_missing_columns(connection: Connection) -> None:
    """Add the columns that tables of an earlier version lack; each can be null, and is in the rows there are."""
    found = inspect(connection)
    for table in metadata.sorted_tables:
        there = {column["name"] for column in found.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                described = f"{column.name} {column.type.compile(connection.dialect)}"
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {described}")


def open_engine(url: str, *, busy_timeout_s: float = 30.0) -> Engine:
    """Make the engine of `url`; a SQLite file's folder is created, the tables are not."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if database := make_url(url).database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s})
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
