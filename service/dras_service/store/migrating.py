"""Bringing a database to the form that this version expects, by Alembic, when a gateway or worker starts.

Whoever comes first does it: on PostgreSQL under an advisory lock, on SQLite under the write lock, all in
one transaction. A database from before there were migrations is known by its tables and taken over.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from dras_service.store.database import EVERYBODY, Database
from dras_service.store.errors import SchemaUnknown

FIRST = "0001"  # the form of the tables before there were migrations
SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Apply what is missing. Raises SchemaUnknown where the database is of a later version."""
    with database.write("migrate", tenant=EVERYBODY) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # large tables take their time
        config = configuration(connection)
        present = MigrationContext.configure(connection).get_current_revision()
        if present is None and inspect(connection).has_table("job"):
            command.stamp(config, FIRST)
            present = FIRST
        if present == newest():
            return
        try:
            command.upgrade(config, "head")
        except CommandError as error:  # "Can't locate revision"
            raise SchemaUnknown(str(present)) from error


def configuration(connection: Connection) -> Config:
    """Return Alembic's settings over an open connection, in whose transaction everything happens."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


def newest() -> str | None:
    """Return the revision that this version's code expects."""
    return ScriptDirectory(str(SCRIPTS)).get_current_head()
