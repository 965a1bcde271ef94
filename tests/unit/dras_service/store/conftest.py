"""Every test of the store runs on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, insert, text

from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.schema import DEFAULT_TENANT, metadata, tenant
from dras_service.store.store import Store
from servers import PostgreSQL
from unit.dras_service.examples import Clock, Parts


@pytest.fixture(scope="session")
def postgresql_engine(postgresql: PostgreSQL) -> Iterator[Engine]:
    engine = open_engine(postgresql.create("unit"))
    Store(engine).migrate()
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path, migrated) -> Iterator[Engine]:
    """An engine over a migrated database that holds the default tenant and nothing else."""
    if request.param == "sqlite":
        shutil.copy(migrated, tmp_path / "jobs.sqlite3")
        engine = open_engine(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
        yield engine
        engine.dispose()
        return
    engine = request.getfixturevalue("postgresql_engine")
    with engine.begin() as connection:
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        connection.execute(insert(tenant).values(name=DEFAULT_TENANT, created_at=0.0))
    yield engine


@pytest.fixture
def parts(engine: Engine, tmp_path) -> Parts:
    settings = Settings(data=tmp_path / "data")
    clock = Clock()
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    return Parts(store=Store(engine, clock=clock), blobs=blobs, settings=settings, clock=clock)
