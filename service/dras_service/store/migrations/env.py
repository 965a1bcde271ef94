"""What Alembic runs: the steps, in the transaction of the connection it is given. There is no offline mode."""

from alembic import context

from dras_service.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite's DDL is, whatever Alembic assumes
)
context.run_migrations()
