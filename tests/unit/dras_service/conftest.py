import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.store import Store
from unit.dras_service.examples import Clock, Parts


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables of this version, to be copied: making them takes as long as a test."""
    path = tmp_path_factory.mktemp("migrated") / "jobs.sqlite3"
    store = Store(open_engine(f"sqlite:///{path}"))
    store.migrate()
    store.close()
    return path


@pytest.fixture
def parts(tmp_path: Path, migrated: Path) -> Iterator[Parts]:
    settings = Settings(data=tmp_path / "data")
    clock = Clock()
    settings.data.mkdir()
    shutil.copy(migrated, settings.data / "jobs.sqlite3")
    store = Store(open_engine(settings.store_url), clock=clock)
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    yield Parts(store=store, blobs=blobs, settings=settings, clock=clock)
    store.close()


@pytest.fixture
def store(parts: Parts) -> Store:
    return parts.store


@pytest.fixture
def blobs(parts: Parts) -> BlobStore:
    return parts.blobs


@pytest.fixture
def clock(parts: Parts) -> Clock:
    return parts.clock
