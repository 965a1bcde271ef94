"""The forms the tables have had, one script a step; run by Alembic through `dras_service.store.migrating`."""
